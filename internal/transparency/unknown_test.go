package transparency

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// nobodysNames are requests that name no command that a server has, or no subcommand.
func nobodysNames() [][]string {
	long := strings.Repeat("n", 300)
	return [][]string{
		{"NOSUCH"}, {"NoSuch", "a", "b"}, {"NOSUCH\x00"}, {"NO\x00SUCH", "a\x00b", "c"}, {"\x00"}, {""}, {"\x00SELECT", "1"},
		{long, "a"}, {"a", long, "b"}, {long + "\x00", long, long}, {"NOSUCH", strings.Repeat("a", 60), strings.Repeat("b", 60), "c", "d"},
		{"NO\r\nSUCH", "a\r\n+OK"}, {"two words", "a"}, {"MULTI|x"}, {"CONFIG|GET", "maxmemory"}, {"CLIENT|REPLY", "OFF"}, {"NOSUCH\xff\xc5\xbf", "\xff"},
		{"SELECT\xc5\xbf"}, {"\xc5\xbfELECT", "1"}, {"OB\x00JECT", "ENCODING", "k"},
		{"CONFIG", "NOSUCH"}, {"config", "NO\x00SUCH", "x"}, {"CLIENT", "NO\x00SUCH", "OFF"}, {"CLIENT", "NOSUCH" + long}, {"SCRIPT", "\x00"}, {"xinfo", "NO\r\nSUCH\x00x", "k"},
		{"OBJECT", "nosuch\x00", "k"}, {"MEMORY", ""},
	}
}

func TestWhatAServerDoesNotKnowIsAnsweredInItsWordsInEveryState(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	states := map[string][][]string{
		"nothing before it":  nil,
		"WATCH before it":    {{"WATCH", "k"}},
		"MULTI before it":    {{"MULTI"}, {"SET", "k", "v"}},
		"SUBSCRIBE":          {{"SUBSCRIBE", "c"}},
		"SUBSCRIBE in RESP3": {{"HELLO", "3"}, {"SUBSCRIBE", "c"}},
	}
	for name, before := range states {
		t.Run(name, func(t *testing.T) {
			for _, args := range nobodysNames() {
				var got [2]string
				for i, addr := range []string{f.master().Addr, f.addr} {
					c := dial(t, "tcp", addr)
					for _, b := range before {
						c.do(b...)
						if b[0] == "HELLO" && i == 0 { // its reply is another one, which is not the subject
							continue
						}
					}
					got[i] = c.do(args...)
					if before != nil && before[len(before)-1][0] != "SUBSCRIBE" {
						got[i] += c.do("EXEC")
					}
					got[i] += c.do("PING")
				}
				if got[0] != got[1] {
					t.Errorf("%q is answered\n%q instead of\n%q", args, got[1], got[0])
				}
			}
		})
	}
}

func TestWhatAServerDoesNotKnowIsSkippedLikeAnythingElse(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	for _, args := range nobodysNames() {
		c := f.dial()
		c.send(slices.Concat(request("CLIENT", "REPLY", "SKIP"), request(args...), request("PING"), request("CLIENT", "REPLY", "OFF"), request(args...), request("CLIENT", "REPLY", "ON")))
		if got := c.reply() + c.reply(); got != "+PONG\r\n+OK\r\n" {
			t.Errorf("%q is answered %q", args, got)
		}
	}
}

func TestWhatAServerDoesNotKnowIsAnsweredInItsWordsToPeopleWhoType(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	for _, line := range []string{"nosuch a b", `"no\x00such" a`, `config "no\x00such" a`, `nosuch "a\x00b" c`} {
		var got [2]string
		for i, addr := range []string{f.master().Addr, f.addr} {
			c := dial(t, "tcp", addr)
			c.send([]byte(line + "\r\nPING\r\n"))
			got[i] = c.reply() + c.reply()
		}
		if got[0] != got[1] {
			t.Errorf("%s is answered\n%q instead of\n%q", line, got[1], got[0])
		}
	}
}

// dangerous are requests that may not reach a connection which others use. A server finds a name with a NUL about once in 256
// times.
var dangerous = [][]string{
	{"SELECT", "7"}, {"MULTI"}, {"SUBSCRIBE", "c"}, {"MONITOR"}, {"RESET"}, {"QUIT"}, {"HELLO", "3"}, {"BLPOP", "nobody", "0"}, {"REPLICAOF", "127.0.0.1", "1"},
	{"SHUTDOWN", "NOSAVE"}, {"DEBUG", "SLEEP", "2"}, {"AUTH", "x"}, {"WAIT", "9", "0"},
	{"CLIENT", "REPLY", "OFF"}, {"CLIENT", "TRACKING", "ON"}, {"CLIENT", "PAUSE", "60000"}, {"SCRIPT", "DEBUG", "YES"},
}

// attempts are more than enough that a server that is sent all of them finds one.
const attempts = 600

func TestNoNULPutsACommandOnASharedConnection(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	c, subscriber, other := f.dial(), f.dial(), f.dial()
	subscriber.do("SUBSCRIBE", "s")
	must(t, f.master(), "CONFIG", "RESETSTAT")
	for _, args := range dangerous {
		for _, sub := range []int{0, 1} {
			if sub >= len(args) || sub == 1 && args[0] != "CLIENT" && args[0] != "SCRIPT" {
				continue
			}
			for _, who := range []*client{c, subscriber} {
				for i := range attempts {
					args := append([]string(nil), args...)
					args[sub] += fmt.Sprintf("\x00%d", i)
					if got := who.do(args...); !strings.HasPrefix(got, "-ERR unknown ") {
						t.Fatalf("%q is answered %q", args, got)
					}
				}
			}
		}
		other.expect("+OK", "SET", "k", "v")
		other.expect("$1\r\nv", "GET", "k")
	}
	for _, args := range dangerous {
		name := strings.ToLower(args[0])
		if name == "client" || name == "script" {
			name += "|" + strings.ToLower(args[1])
		}
		if calls := callsOf(t, f.master(), name); calls != "" {
			t.Errorf("the server was sent %s: %s", name, calls)
		}
	}
	for _, name := range []string{"POST\x00", "host:\x00x"} { // which a server hangs up on
		c := f.dial()
		c.send(request(name))
		c.closed()
	}
	other.expect("$1\r\nv", "GET", "k")
	must(t, f.master(), "PUBLISH", "s", "heard")
	if got := subscriber.reply(); !strings.Contains(got, "heard") {
		t.Errorf("the subscriber heard %q", got)
	}
}

func TestOptionsWithNULsStayFromSharedConnections(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	c, other := f.dial(), f.dial()
	c.expect("+OK", "XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
	for _, args := range [][]string{
		{"XREADGROUP", "BLOCK", "0", "GROUP", "g", "c", "STREAMS", "s", ">"},
		{"XREADGROUP", "NOACK", "GROUP", "g", "COUNT", "BLOCK", "0", "STREAMS", "s", ">"},
		{"XREADGROUP", "GROUP", "g", "c", "BLOCK\x00", "0", "STREAMS", "s", ">"},
		{"XREAD", "block\x00x", "0", "STREAMS", "s", "$"},
	} {
		f.dial().send(request(args...))
	}
	testcluster.WaitFor(t, "four clients to be blocked", func() bool {
		clients, err := f.master().Info("clients")
		return err == nil && clients["blocked_clients"] == "4"
	})
	other.expect("+OK", "SET", "k", "v")

	for _, args := range [][]string{
		{"CLIENT", "TRACKING", "ON\x00"}, {"CLIENT", "TRACKING", "ON\x00", "BCAST\x00"}, {"CLIENT", "NO-EVICT", "OFF\x00"}, {"CLIENT", "REPLY", "ON\x00"},
	} {
		c := f.dial()
		c.do("HELLO", "3")
		c.expect("+OK", args...)
	}
	c = f.dial()
	c.do("HELLO", "3")
	c.expect("$1\r\nv", "GET", "k")
	other.expect("+OK", "SET", "k", "w")
	c.expect("$1\r\nw", "GET", "k") // and nothing pushed before it
}

func TestRenamedCommandsAreWhatTheyAre(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1,
		"--rename-command", "MULTI", "xmulti", "--rename-command", "SELECT", "two words", "--rename-command", "SUBSCRIBE", "xsubscribe", "--rename-command", "MONITOR", "xmonitor",
		"--rename-command", "BLPOP", "xblpop", "--rename-command", "SHUTDOWN", "xshutdown", "--rename-command", "DEBUG", "xdebug", "--rename-command", "GETRANGE", "xgetrange",
		"--rename-command", "FLUSHALL", "xflushall", "--rename-command", "SLOWLOG", "xslowlog", "--rename-command", "KEYS", ""),
		func(c *proxy.Config) { c.CommandInterval = 1 << 40 })
	c, other := f.dial(), f.dial()
	for _, args := range [][]string{{"XMULTI"}, {"two words", "7"}, {"xsubscribe", "c"}, {"XMONITOR"}} {
		for range 2 {
			if got := c.do(args...); !strings.Contains(got, "under another name") {
				t.Errorf("%q is answered %q", args, got)
			}
		}
	}
	for _, args := range [][]string{{"XSHUTDOWN", "NOSAVE"}, {"xdebug", "SLEEP", "2"}} {
		if got := c.do(args...); !strings.Contains(got, "is not available through Understudy") {
			t.Errorf("%q is answered %q", args, got)
		}
	}
	c.expect("-ERR unknown command 'KEYS', with args beginning with: '*' ", "KEYS", "*")
	c.expect("-ERR unknown command 'GETRANGE', with args beginning with: 'k' '0' '0' ", "GETRANGE", "k", "0", "0")
	other.expect("+OK", "SET", "k", "v")
	c.expect("$1\r\nv", "XGETRANGE", "k", "0", "0")
	c.expect(":0", "XSLOWLOG", "LEN")
	c.expect("-ERR unknown subcommand 'NOSUCH'. Try XSLOWLOG HELP.", "XSLOWLOG", "NOSUCH")
	c.expect("-ERR unknown subcommand 'GET'. Try XSLOWLOG HELP.", "XSLOWLOG", "GET\x00x")
	c.expect("-ERR wrong number of arguments for 'getrange' command", "XGETRANGE", "k")

	// It blocks its own client, nobody else.
	c.send(request("XBLPOP", "l", "0"))
	testcluster.WaitFor(t, "the client to be blocked", func() bool {
		clients, err := f.master().Info("clients")
		return err == nil && clients["blocked_clients"] == "1"
	})
	other.expect("+OK", "SET", "k", "w")
	other.expect(":1", "RPUSH", "l", "e")
	if got := c.reply(); got != "*2\r\n$1\r\nl\r\n$1\r\ne\r\n" {
		t.Errorf("the client got %q", got)
	}

	// Within a transaction the proxy is no less careful; this one begins without MULTI.
	c.expect("+OK", "WATCH", "k")
	if got := c.do("two words", "7"); !strings.Contains(got, "under another name") {
		t.Errorf("SELECT after WATCH is answered %q", got)
	}
	c.expect("$1\r\nw", "XGETRANGE", "k", "0", "-1")
	c.expect("+OK", "UNWATCH")
	c.expect("+OK", "XFLUSHALL")
	other.expect(":0", "DBSIZE")
}

func TestCommandsThatHaveEachOthersNamesAreWhatTheyAre(t *testing.T) {
	var exchanged []string
	for _, pair := range [][2]string{{"GET", "SELECT"}, {"DEL", "EXISTS"}, {"SORT_RO", "SADD"}} {
		exchanged = append(exchanged, "--rename-command", pair[0], "between", "--rename-command", pair[1], pair[0], "--rename-command", "between", pair[1])
	}
	cluster := testcluster.New(t, 1, append(exchanged, "--rename-command", "FLUSHALL", "secret")...)
	f := newFront(t, cluster, func(c *proxy.Config) { c.CommandInterval = 1 << 40 })
	c, other := f.dial(), f.dial()
	c.expect("+OK", "SET", "k", "v")
	for range 2 {
		if got := c.do("GET", "7"); !strings.Contains(got, "SELECT is not available through Understudy under another name") {
			t.Errorf("SELECT is answered %q", got)
		}
	}
	other.expect("$1\r\nv", "SELECT", "k")
	other.expect("$1\r\nv", "GETRANGE", "k", "0", "-1") // in the database that it had

	// Whoever writes, by whatever name, has it seen.
	for i := range 100 {
		c.expect("+OK", "SET", "k", fmt.Sprint(i))
		c.expect(":1", "EXISTS", "k")
		other.expect("$0\r\n", "GETRANGE", "k", "0", "-1")
		other.expect(":0", "DEL", "k")
	}
	c.expect(":1", "SORT_RO", "s", "1")
	c.expect("*1\r\n$1\r\n1", "SORT", "s")
	c.expect("-ERR unknown command 'FLUSHALL', with args beginning with: ", "FLUSHALL")
	c.expect("+OK", "SECRET")
	other.expect(":0", "DBSIZE")
}
