package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/command/internal/listing"
	"github.com/understudy/understudy/resp"
)

// redis6Entry is an entry of COMMAND as Redis 6 sends it.
func redis6Entry(name string, arity int, flags string, first, last, step int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*7\r\n$%d\r\n%s\r\n:%d\r\n*%d\r\n", len(name), name, arity, len(strings.Fields(flags)))
	for f := range strings.FieldsSeq(flags) {
		fmt.Fprintf(&b, "+%s\r\n", f)
	}
	fmt.Fprintf(&b, ":%d\r\n:%d\r\n:%d\r\n*1\r\n+@slow\r\n", first, last, step)
	return b.String()
}

// redis6Reply lists a few commands as Redis 6.2 does, and some of a module.
var redis6Reply = func() string {
	entries := []string{
		redis6Entry("get", 2, "readonly fast", 1, 1, 1),
		redis6Entry("mset", -3, "write denyoom", 1, -1, 2),
		redis6Entry("xinfo", -2, "readonly random", 2, 2, 1),
		redis6Entry("xgroup", -2, "write denyoom", 2, 2, 1),
		redis6Entry("object", -2, "readonly random", 2, 2, 1),
		redis6Entry("config", -2, "admin noscript loading stale", 0, 0, 0),
		redis6Entry("client", -2, "admin noscript random loading stale", 0, 0, 0),
		redis6Entry("sort", -2, "write denyoom movablekeys", 1, 1, 1),
		redis6Entry("eval", -3, "noscript movablekeys may_replicate", 0, 0, 0),
		redis6Entry("zunionstore", -4, "write denyoom movablekeys", 1, 1, 1),
		redis6Entry("post", -1, "readonly loading stale", 0, 0, 0),
		redis6Entry("json.get", -2, "readonly module", 1, 1, 1),
		redis6Entry("json.set", -4, "write denyoom module", 1, 1, 1),
		redis6Entry("json.mget", -3, "readonly module", 1, -2, 1),
		redis6Entry("ft.search", -3, "readonly module", 0, 0, 0),
		redis6Entry("ft.cursor", -2, "readonly module", 0, 0, 0),
		redis6Entry("my.wait", -2, "write blocking module", 1, 1, 1),
		redis6Entry("my.move", -2, "write module movablekeys", 1, 1, 1),
		redis6Entry("my.admin", -2, "readonly admin module", 0, 0, 0),
		redis6Entry("my.listen", -2, "pubsub noscript module", 0, 0, 0),
		redis6Entry("two words", 2, "readonly", 1, 1, 1),
	}
	return fmt.Sprintf("*%d\r\n", len(entries)) + strings.Join(entries, "")
}()

func TestTheBuiltInTableIsWhatItsServerWouldRefreshItTo(t *testing.T) {
	reply := rawReply(t, testcluster.NewRedis(t), "COMMAND")
	live, err := Builtin().Refresh(reply)
	if err != nil {
		t.Fatal(err)
	}
	for c := range Builtin().All() {
		args := words(strings.ReplaceAll(c.Name, "|", " "))
		got := live.Lookup(args)
		switch {
		case got.Name != c.Name:
			if c.Name != "WAITAOF" && got.Name != "CLIENT" {
				t.Errorf("%s became %q", c.Name, got.Name)
			}
		case got.Class != c.Class || got.Arity != c.Arity || got.Flags != c.Flags || got.Since != c.Since || got.Group != c.Group || got.Keyed() != c.Keyed() ||
			got.Unbounded(args) != c.Unbounded(args) || got.Refusal() != c.Refusal():
			t.Errorf("%+v became %+v", c, got)
		}
	}
	for line := range strings.Lines(keyShapes) {
		if args := words(line); len(args) > 0 {
			if got, want := live.Lookup(args).Keys(nil, args), Builtin().Lookup(args).Keys(nil, args); !equalSlices(got, want) {
				t.Errorf("keys of %s became %q from %q", strings.TrimSpace(line), got, want)
			}
		}
	}
}

func TestAnOlderServerIsCompletedFromTheBuiltInListing(t *testing.T) {
	table, err := Builtin().Refresh([]byte(redis6Reply))
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]Class{
		"GET k": Read, "MSET a 1": Write, "XINFO STREAM k": Read, "XGROUP CREATE k g 0": Write, "OBJECT FREQ k": MasterRead, "OBJECT ENCODING k": Read,
		"CONFIG GET x": MasterRead, "CONFIG SET x y": Write, "CLIENT SETNAME n": Session, "CLIENT REPLY OFF": Pinned, "SORT k": MasterRead,
		// The proxy's own, though this server does not list them.
		"RESET": Session, "SHUTDOWN": Refused, "FAILOVER": Failover, "PROXY NODES": Proxy, "POST": Refused,
		// Not listed by this server.
		"SET k v": Write, "GETEX k": Write, "MGET a b": Write, "WAITAOF 1 1 0": Write, "MEMORY USAGE k": Write,
	} {
		if _, got := table.Classify(words(request)); got != want {
			t.Errorf("%s is %v, want %v", request, got, want)
		}
	}
	if c := table.Lookup(words("MGET a")); c.Known() {
		t.Error("MGET is known though the server does not list it")
	}
	for request, want := range map[string]string{
		"MSET a 1 b 2": "a b", "XINFO STREAM k": "k", "ZUNIONSTORE d 2 a b": "d a b", "EVAL s 1 a b": "a", "SORT k BY x STORE d": "k d", "CONFIG GET x": "",
	} {
		args := words(request)
		if got := table.Lookup(args).Keys(nil, args); !equalSlices(got, words(want)) {
			t.Errorf("keys of %s are %q", request, got)
		}
	}
}

func TestModuleCommandsAreTreatedByTheirFlags(t *testing.T) {
	table, err := Builtin().Refresh([]byte(redis6Reply))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		request   string
		class     Class
		keys      string
		keyed     bool
		unbounded bool
	}{
		{"JSON.GET k .a", Read, "k", true, false},
		{"json.set k . 1", Write, "k", true, false},
		{"JSON.MGET a b $", Read, "a b", true, false},
		{"FT.SEARCH i q", Read, "", false, true},
		{"FT.CURSOR READ i 1", Write, "", false, true},
		{"MY.WAIT k", Blocking, "k", true, true},
		{"MY.MOVE a b", Write, "a", true, true},
		{"MY.ADMIN x", MasterRead, "", false, true},
		{"MY.LISTEN x", Pinned, "", false, true},
		{"TWO WORDS", Write, "", false, true},
	} {
		args := words(want.request)
		c, class := table.Classify(args)
		if class != want.class || c.Keyed() != want.keyed || c.Unbounded(args) != want.unbounded || !c.Script() {
			t.Errorf("%s is %+v of class %v", want.request, c, class)
		}
		if got := c.Keys(nil, args); !equalSlices(got, words(want.keys)) {
			t.Errorf("keys of %s are %q", want.request, got)
		}
	}
}

func TestBothProtocolVersionsGiveTheSameListing(t *testing.T) {
	server := testcluster.NewRedis(t)
	two, err := listing.FromCommand(rawReply(t, server, "COMMAND"))
	if err != nil {
		t.Fatal(err)
	}
	raw := rawReply(t, server, "HELLO 3\r\nCOMMAND")
	_, hello, err := resp.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	three, err := listing.FromCommand(raw[hello:])
	if err != nil {
		t.Fatal(err)
	}
	if !two.Detailed || two.Format() != three.Format() {
		t.Errorf("RESP2:\n%s\nRESP3:\n%s", two.Format(), three.Format())
	}
}

func TestRefreshLeavesTheTableItCameFromAlone(t *testing.T) {
	before := slices.Collect(Builtin().All())
	if _, err := Builtin().Refresh([]byte(redis6Reply)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, slices.Collect(Builtin().All())) {
		t.Error("the built-in table changed")
	}
	if c := Builtin().Lookup(words("WAITAOF")); c.Class != Wait {
		t.Errorf("WAITAOF became %v", c.Class)
	}
}

func TestASubcommandOfClientThatTheServerLacksIsUnknown(t *testing.T) {
	seven, err := Builtin().Refresh(rawReply(t, testcluster.NewRedis(t), "COMMAND"))
	if err != nil {
		t.Fatal(err)
	}
	six, err := Builtin().Refresh([]byte(redis6Reply))
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]*Table{"7.0": seven, "6.2": six} {
		for request, lacks := range map[string]bool{
			"CLIENT SETINFO LIB-NAME x": true, "CLIENT CAPA redirect": true, "CLIENT NO-TOUCH on": true, "CLIENT IMPORT-SOURCE on": true, "CLIENT SETNAME x": false, "CLIENT ID": false,
			"CLIENT NO-EVICT on": name == "6.2",
		} {
			args := words(request)
			if cmd, class := table.Classify(args); class != Session || cmd.Lacks(len(args)) != lacks {
				t.Errorf("%s is %v of %s at Redis %s", request, class, cmd.Name, name)
			}
		}
	}
}

func TestANewSubcommandOfClientIsPinned(t *testing.T) {
	get := "*10\r\n$3\r\nget\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n"
	sub := "*10\r\n$12\r\nclient|quiet\r\n:2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n"
	client := "*10\r\n$6\r\nclient\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*1\r\n" + sub
	table, err := Builtin().Refresh([]byte("*2\r\n" + get + client))
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]Class{"CLIENT QUIET": Pinned, "CLIENT NOSUCH": Session, "CLIENT NO-TOUCH on": Session, "CLIENT SETINFO a b": Session} {
		if _, got := table.Classify(words(request)); got != want {
			t.Errorf("%s is %v, want %v", request, got, want)
		}
	}
}

func TestAReplyThatIsNoListingIsAnError(t *testing.T) {
	for _, reply := range []string{
		"", "+OK\r\n", "*0\r\n", "*-1\r\n", "$-1\r\n", "-NOPERM this user has no permissions\r\n", "*1\r\n", "*1\r\n*1\r\n$3\r\nget\r\n", "*1000000000\r\n",
		"*1\r\n$9223372036854775807\r\n", "*1\r\n*9223372036854775807\r\n", "%9223372036854775807\r\n", redis6Reply[:len(redis6Reply)-1],
		"*1\r\n*7\r\n$3\r\nget\r\n$1\r\nx\r\n*0\r\n:1\r\n:1\r\n:1\r\n*0\r\n", strings.Repeat("*1\r\n", 10000), "*1\r\n?\r\n", "*x\r\n", "$x\r\n",
	} {
		if table, err := Builtin().Refresh([]byte(reply)); err == nil {
			t.Errorf("%.60q gives a table of %d commands", reply, len(table.commands))
		} else if table != nil {
			t.Errorf("%.60q gives a table and an error", reply)
		}
	}
	_, err := Builtin().Refresh([]byte("-NOPERM this user has no permissions\r\n"))
	if err == nil || !strings.Contains(err.Error(), "NOPERM this user has no permissions") {
		t.Errorf("the server's error is lost: %v", err)
	}
}
