package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// exchanged are the options of a server on which two commands have each other's name.
func exchanged(a, b string) []string {
	return []string{"--rename-command", a, "between", "--rename-command", b, a, "--rename-command", "between", b}
}

// confirmed is the table for a server, and what it has under other names.
func confirmed(t *testing.T, server *testcluster.Redis) (*Table, []Renamed) {
	t.Helper()
	listed, err := Builtin().Refresh(rawReply(t, server, "COMMAND"))
	if err != nil {
		t.Fatal(err)
	}
	names := listed.Names()
	table, renamed, err := listed.Confirm(names, rawReply(t, server, "COMMAND INFO "+strings.Join(names, " ")))
	if err != nil {
		t.Fatal(err)
	}
	return table, renamed
}

func TestANameThatWasGivenToAnotherCommandIsThatCommand(t *testing.T) {
	server := testcluster.NewRedis(t, slices.Concat(exchanged("GET", "SELECT"), exchanged("SORT_RO", "SET"), exchanged("SHUTDOWN", "EXISTS"), exchanged("LRANGE", "MONITOR"),
		[]string{"--rename-command", "FLUSHALL", "secret", "--rename-command", "KEYS", "", "--rename-command", "XINFO", "xi", "--rename-command", "READONLY", "", "--rename-command", "APPEND", "READONLY"})...)
	table, renamed := confirmed(t, server)
	for _, want := range []struct {
		request string
		is      string // "" is unknown
		class   Class
	}{
		{"GET 3", "SELECT", Refused}, {"get 3", "SELECT", Refused}, {"SELECT k", "GET", MasterRead},
		{"SORT_RO k v", "SET", Write}, {"SET k", "SORT_RO", MasterRead}, {"SHUTDOWN k", "EXISTS", MasterRead}, {"EXISTS", "SHUTDOWN", Refused},
		{"LRANGE", "MONITOR", Refused}, {"MONITOR k 0 1", "LRANGE", MasterRead}, {"READONLY k v", "APPEND", Write}, {"APPEND k v", "", Write},
		{"FLUSHALL", "", Write}, {"KEYS *", "", Write}, {"XINFO STREAM k", "", Write}, {"SORT k", "SORT", MasterRead},
		{"MGET a", "MGET", Read}, {"PROXY NODES", "PROXY", Proxy}, {"CONFIG GET x", "CONFIG|GET", MasterRead}, {"RESET", "RESET", Session},
	} {
		if c, class := table.Classify(words(want.request)); c.Name != want.is || class != want.class || c.Nameless(words(want.request)) != (want.is == "") {
			t.Errorf("%s is %s of class %v, want %q of class %v", want.request, c.Name, class, want.is, want.class)
		}
	}
	want := "[{EXISTS SHUTDOWN} {GET SELECT} {LRANGE MONITOR} {MONITOR LRANGE} {READONLY APPEND} {SELECT GET} {SET SORT_RO} {SHUTDOWN EXISTS} {SORT_RO SET}]"
	if got := fmt.Sprint(renamed); got != want {
		t.Errorf("reported as renamed: %s, want %s", got, want)
	}
	for c := range table.All() {
		if args := words(strings.ReplaceAll(c.Name, "|", " ")); table.Lookup(args) != c {
			t.Errorf("%s is listed, and under that name there is %q", c.Name, table.Lookup(args).Name)
		}
	}
}

func TestWithoutRenamedCommandsTheServerConfirmsWhatItLists(t *testing.T) {
	table, renamed := confirmed(t, testcluster.NewRedis(t))
	listed, err := Builtin().Refresh(rawReply(t, testcluster.NewRedis(t), "COMMAND"))
	if err != nil {
		t.Fatal(err)
	}
	if len(renamed) > 0 {
		t.Errorf("reported as renamed: %v", renamed)
	}
	names := func(table *Table) (names []string) {
		for c := range table.All() {
			names = append(names, c.Name+" "+c.Class.String())
		}
		return names
	}
	if got, want := names(table), names(listed); !slices.Equal(got, want) {
		t.Errorf("confirmed %v\nlisted %v", got, want)
	}
}

func TestAnAnswerAboutOtherNamesConfirmsNothing(t *testing.T) {
	for _, reply := range []string{"", "-NOPERM no\r\n", "*0\r\n", "*1\r\n*-1\r\n", "*3\r\n*-1\r\n*-1\r\n*-1\r\n", "+OK\r\n", "*2\r\n*-1\r\n*1\r\n$1\r\na\r\n"} {
		if table, _, err := Builtin().Confirm([]string{"GET", "SET"}, []byte(reply)); err == nil || table != nil {
			t.Errorf("%q confirmed something", reply)
		}
	}
}
