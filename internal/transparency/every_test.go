package transparency

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/command"
)

// apart are commands that this test does not send, with the reason. Conversations or tests of their own do.
var apart = map[string]string{
	"MONITOR":           "what it shows is the traffic itself",
	"CLIENT|REPLY":      "no reply marks the end of silence",
	"SHUTDOWN":          "ends the server",
	"DEBUG":             "refused, or ends the server",
	"REPLICAOF":         "refused",
	"SLAVEOF":           "refused",
	"PSYNC":             "refused",
	"SYNC":              "refused",
	"REPLCONF":          "refused",
	"FAILOVER":          "asks for a switchover",
	"SCRIPT|DEBUG":      "refused",
	"PROXY":             "the server does not have it",
	"POST":              "the server hangs up without a word",
	"HOST:":             "the server hangs up without a word",
	"SAVE":              "takes its time, as do BGSAVE and BGREWRITEAOF, and depends on whether another is under way",
	"BGSAVE":            "see SAVE",
	"BGREWRITEAOF":      "see SAVE",
	"RANDOMKEY":         "answers by chance, as do SPOP and those like it",
	"SPOP":              "see RANDOMKEY",
	"SRANDMEMBER":       "see RANDOMKEY",
	"HRANDFIELD":        "see RANDOMKEY",
	"ZRANDMEMBER":       "see RANDOMKEY",
	"ACL|GENPASS":       "see RANDOMKEY",
	"OBJECT|IDLETIME":   "tells the time since something happened, as do OBJECT FREQ and XPENDING",
	"OBJECT|FREQ":       "see OBJECT IDLETIME",
	"XPENDING":          "see OBJECT IDLETIME",
	"LOLWUT":            "see RANDOMKEY",
	"MIGRATE":           "connects to where its arguments say",
	"LATENCY|HISTOGRAM": "tells what was called before",
}

// shapes are ways to call a command, most of them wrong.
func shapes(c *command.Command) [][]string {
	name := strings.Split(c.Name, "|")
	least := c.Arity
	if least < 0 {
		least = -least
	}
	fills := []string{"k0", "1", "0", "-1", "x", "", "*", "99999999999999999999"}
	if c.Flags.Has(command.FlagBlocking) || c.Class == command.Blocking || c.Class == command.Wait {
		fills = []string{"k0", "0.01", "-1", "x", ""} // nothing that blocks for long
	}
	of := func(n int, word func(i int) string) []string {
		args := slices.Clone(name)
		for len(args) < n {
			args = append(args, word(len(args)))
		}
		return args
	}
	all := [][]string{name, of(least-1, func(int) string { return "k0" })}
	for _, fill := range fills {
		for more := range 3 {
			all = append(all, of(least+more, func(int) string { return fill }))
		}
	}
	key := homes[c.Group]
	if key == "" {
		key = "k0"
	}
	for shift := range fills { // mixtures, with a key that fits in front
		for more := range 2 {
			all = append(all, of(least+more, func(i int) string {
				if i == len(name) {
					return key
				}
				return fills[(i+shift)%len(fills)]
			}))
		}
	}
	lower := of(least, func(int) string { return key })
	lower[0] = strings.ToLower(lower[0])
	all = append(all, lower)
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(args []string) bool {
		line := fmt.Sprintf("%q", args)
		again := seen[line]
		seen[line] = true
		return again
	})
}

// furnish makes a value of every kind, and nothing else.
var furnish = [][]string{
	{"FLUSHALL"}, {"SET", "k0", "v"}, {"HSET", "h0", "f", "1", "g", "x"}, {"RPUSH", "l0", "a", "b", "c"}, {"SADD", "s0", "1", "2", "3"}, {"ZADD", "z0", "1", "a", "2", "b"},
	{"XADD", "x0", "1-1", "f", "v"}, {"GEOADD", "g0", "13.3", "38.1", "p"},
}

// harmful reports whether a call would change who may be served or how, for those that follow.
func harmful(args []string) bool {
	line := strings.ToUpper(strings.Join(args, " "))
	if c := command.Builtin().Lookup([][]byte{[]byte(args[0])}); c.Class == command.Scan && slices.ContainsFunc(args, func(a string) bool { return a == "1" || a == "-1" }) {
		return true // a cursor that no server gave
	}
	for _, prefix := range []string{"CONFIG SET", "CONFIG REWRITE", "ACL SETUSER", "ACL LOAD", "ACL SAVE", "MODULE LOAD", "CLIENT PAUSE 1", "CLIENT KILL"} {
		if strings.HasPrefix(line+" ", prefix+" ") && len(args) > len(strings.Fields(prefix))-1 {
			return true
		}
	}
	return false
}

// account is what a server says to one call: everything before the reply to an ECHO that follows.
func account(t *testing.T, addr string, proto int, c **client, args []string) []string {
	t.Helper()
	const mark = "the call is over"
	if *c == nil {
		*c = dial(t, "tcp", addr)
		(*c).do("HELLO", fmt.Sprint(proto))
	}
	var all []byte
	for _, args := range furnish {
		all = append(all, request(args...)...)
	}
	all = append(all, request(args...)...)
	(*c).send(append(all, request("ECHO", mark)...))
	for range len(furnish) {
		if got := (*c).reply(); got[0] == '-' {
			t.Fatalf("before %q: %q", args, got)
		}
	}
	var said []string
	for {
		frame, err := (*c).next()
		switch text := string(frame); {
		case err != nil:
			*c = nil
			return append(said, "the connection is closed")
		case text == fmt.Sprintf("$%d\r\n%s\r\n", len(mark), mark):
			return said
		case len(said) > 0 && (text == "+QUEUED\r\n" || strings.Contains(text, "Can't execute 'echo'")),
			len(said) > 0 && strings.Contains(text, "NOAUTH"):
			return append(said, text)
		}
		said = append(said, string(normalise(args, frame)))
	}
}

func TestEveryCommandIsAnsweredAsByTheServerHoweverItIsCalled(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2, "--slowlog-log-slower-than", "-1"), nil)
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) {
			clean(t, f)
			var clients [2]*client
			addrs := [2]string{f.master().Addr, f.addr}
			calls, answered, wrong := 0, 0, 0
			for c := range command.Builtin().All() {
				if apart[c.Name] != "" || c.Class == command.Refused {
					continue
				}
				fresh := c.Class != command.Read && c.Class != command.Write && c.Class != command.MasterRead && c.Class != command.Scan
				for _, args := range shapes(c) {
					if harmful(args) {
						continue
					}
					var said [2][]string
					for i, addr := range addrs {
						said[i] = account(t, addr, proto, &clients[i], args)
						if fresh && clients[i] != nil {
							clients[i].conn.Close()
							clients[i] = nil
						}
					}
					calls++
					if len(said[0]) > 0 && said[0][0] != "" && said[0][0][0] != '-' {
						answered++
					}
					if !slices.Equal(said[0], said[1]) {
						if wrong++; wrong < 40 {
							t.Errorf("%q: the server says %.200q, the proxy %.200q", args, said[0], said[1])
						}
					}
				}
			}
			t.Logf("%d calls, %d of them answered without an error, %d differ", calls, answered, wrong)
			if answered < calls/10 {
				t.Errorf("only %d of %d calls were answered without an error: they prove little", answered, calls)
			}
		})
	}
}
