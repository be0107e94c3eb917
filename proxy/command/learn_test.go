package command

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestNoSpellingPutsACommandOnASharedConnection(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var requests [][]byte
	for _, list := range shapes {
		for line := range strings.Lines(list) {
			requests = append(requests, []byte(strings.TrimSpace(line)))
		}
	}
	mutated := 0
	for range 50000 {
		args := words(string(requests[rnd.IntN(len(requests))]))
		is := ""
		if len(args) > 0 {
			is = laneless(args)
		}
		if is == "" {
			continue
		}
		for i := range args {
			for j, b := range args[i] {
				if rnd.IntN(3) == 0 && b|0x20 >= 'a' && b|0x20 <= 'z' {
					args[i][j] = b ^ 0x20
				}
			}
			if rnd.IntN(3) == 0 {
				args[i] = append(append(args[i], 0), "junk"[:rnd.IntN(5)]...)
			}
		}
		mutated++
		if c := Builtin().Lookup(args); !c.Nameless(args) && laneless(args) == "" {
			t.Fatalf("%q would come to a shared connection, and may be %s", args, is)
		}
	}
	if mutated < 5000 {
		t.Errorf("only %d requests were looked at", mutated)
	}
}

func TestACommandWithAnotherNameIsSentToTheMasterOnlyOrRefused(t *testing.T) {
	var options []string
	names := map[string]*Command{}
	for c := range Builtin().All() {
		switch {
		case strings.ContainsAny(c.Name, "|:"), c.Since == "-", c.Since == "", c.Name == "COMMAND", c.Name == "INFO", c.Name == "CLIENT", c.Name == "PING", c.Name == "QUIT", c.Name == "SHUTDOWN":
		case c.Since >= "7.2":
		default:
			names[c.Name] = c
			options = append(options, "--rename-command", c.Name, "other."+c.Name)
		}
	}
	server := testcluster.NewRedis(t, options...)
	for name, c := range names {
		said := []byte("other." + strings.ToLower(name))
		table, err := Builtin().Learn(said, rawReply(t, server, "COMMAND INFO "+string(said)))
		if err != nil || table == nil {
			t.Fatalf("%s is not known by another name: %v", name, err)
		}
		got := table.Lookup([][]byte{said})
		want := c.Class
		switch want {
		case Write, MasterRead, Blocking:
		case Read:
			want = MasterRead
		default:
			want = Refused
		}
		if got.Name != name || got.Class != want || got.Arity != c.Arity || (want == Refused) != strings.HasPrefix(got.Refusal(), "ERR "+name+" is not") && got.Refusal() != refuseCluster {
			t.Errorf("%s under another name is %+v", name, got)
		}
		if table.Lookup(words(name)) != c || Builtin().Lookup([][]byte{said}).Known() {
			t.Errorf("what is known of %s has changed", name)
		}
	}
	for _, test := range []struct {
		request string
		class   Class
	}{{"other.config GET maxmemory", MasterRead}, {"OTHER.CONFIG SET requirepass x", Refused}, {"other.config NOSUCH", Write}, {"other.script DEBUG YES", Refused},
		{"other.script LOAD x", Refused}, {"other.sort k STORE d", Write}, {"other.sort k", MasterRead}, {"other.xread BLOCK 0 STREAMS k $", Blocking}, {"other.xread STREAMS k 0", MasterRead}} {
		args := words(test.request)
		table, err := Builtin().Learn(args[0], rawReply(t, server, "COMMAND INFO "+string(args[0])))
		if err != nil {
			t.Fatal(err)
		}
		if _, class := table.Classify(args); class != test.class {
			t.Errorf("%s is %v, want %v", test.request, class, test.class)
		}
	}
	if table, err := Builtin().Learn([]byte("nosuch"), rawReply(t, server, "COMMAND INFO nosuch")); table != nil || err != nil {
		t.Errorf("a command that is none has become one: %v", err)
	}
	for _, reply := range []string{"-NOPERM no\r\n", "*0\r\n", "*2\r\n*-1\r\n*-1\r\n", "+OK\r\n", "*1\r\n*1\r\n$1\r\na\r\n"} {
		if table, err := Builtin().Learn([]byte("x"), []byte(reply)); table != nil || err == nil {
			t.Errorf("%q made a table", reply)
		}
	}
}

func TestWhatAModuleSaysOfItsCommandsDecidesWhoseConnectionTheyGet(t *testing.T) {
	for flags, want := range map[string]struct {
		class Class
		soils bool
	}{
		"write module": {Write, false}, "readonly module": {Read, false}, "readonly admin module": {MasterRead, false}, "write noscript module": {Blocking, false},
		"readonly blocking module": {Blocking, false}, "noscript no_auth module": {Blocking, true}, "pubsub module": {Blocking, true}, "pubsub noscript module": {Pinned, true},
		"noscript loading stale": {Blocking, false},
	} {
		table, err := Builtin().Refresh([]byte("*1\r\n" + redis6Entry("my.own", -1, flags, 0, 0, 0)))
		if err != nil {
			t.Fatal(err)
		}
		if c := table.Lookup(words("MY.OWN")); c.Class != want.class || c.Soils() != want.soils {
			t.Errorf("a command with %s is %v and soils its connection: %v", flags, c.Class, c.Soils())
		}
	}
}
