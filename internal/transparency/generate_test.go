package transparency

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/command"
)

var (
	generated = flag.Int("commands", 3000, "how many random commands each run of the comparison sends")
	firstSeed = flag.Uint64("seed", 1, "of the random commands of the first run")
)

// generator makes random commands of small arguments, so that many of them meet.
type generator struct {
	*rand.Rand
	commands []*command.Command
}

// unpredictable commands answer by chance or by the clock, or wait; PFCOUNT changes how the value looks on the master.
var unpredictable = []string{
	"SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER", "RANDOMKEY", "OBJECT|IDLETIME", "OBJECT|FREQ", "MIGRATE", "RESTORE-ASKING",
	"MEMORY|USAGE", "PFCOUNT", "XPENDING", "XINFO|CONSUMERS", "XINFO|STREAM", "XAUTOCLAIM", "XCLAIM", "PTTL", "PEXPIRETIME", "EXPIRETIME", "PSETEX", "PEXPIRE",
}

// storage are commands that show how a node has come to store a value, which a replica may do in another way.
var storage = []string{"DUMP", "OBJECT|ENCODING", "OBJECT|REFCOUNT"}

func newGenerator(seed uint64, reads bool) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for c := range command.Builtin().All() {
		class := c.Class
		if !c.Keyed() || c.Script() || c.Flags.Has(command.FlagBlocking) || slices.Contains(unpredictable, c.Name) {
			continue
		}
		if !reads || (class == command.Read || class == command.MasterRead) && !slices.Contains(storage, c.Name) {
			g.commands = append(g.commands, c)
		}
	}
	return g
}

func (g *generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) key() string {
	return g.one("k0", "k1", "k2", "k3", "k4", "h0", "l0", "s0", "z0", "x0", "g0", "")
}

// homes are the keys that usually hold a value of a kind.
var homes = map[string]string{"hash": "h0", "list": "l0", "set": "s0", "sorted-set": "z0", "stream": "x0", "geo": "g0"}

func (g *generator) value() string {
	switch g.IntN(6) {
	case 0:
		return g.one("a", "b", "c", "d", "field", "member", "", "\x00\r\n\xff")
	case 1:
		return g.one("0", "1", "2", "-1", "3", "10", "100000")
	case 2:
		return g.one("1.5", "-2.25", "inf", "-inf", "(1", "[a", "+", "-", "1-1", "2-2", "3e2")
	case 3:
		return g.key()
	case 4:
		return g.one("LIMIT", "COUNT", "NX", "XX", "GT", "LT", "CH", "INCR", "GET", "KEEPTTL", "WITHSCORES", "REV", "BYSCORE", "BYLEX", "LEFT",
			"RIGHT", "BEFORE", "AFTER", "MAXLEN", "MINID", "STREAMS", "GROUP", "CREATE", "WEIGHTS", "AGGREGATE", "SUM", "MIN", "MAX", "STORE", "ASC", "DESC",
			"ALPHA", "BY", "u8", "i16", "SET", "OVERFLOW", "SAT", "AND", "OR", "NOT", "XOR", "REPLACE", "DB", "m", "km", "FROMMEMBER", "BYRADIUS", "WITHDIST")
	}
	return strings.Repeat(g.one("x", "yz"), g.IntN(40))
}

// next returns a command. A third of them are written so that they certainly fit, to give the others something to meet.
func (g *generator) next() []string {
	number := func() string { return fmt.Sprint(g.IntN(10)) }
	if g.IntN(3) == 0 {
		switch g.IntN(9) {
		case 0:
			return []string{"SET", g.key(), g.value()}
		case 1:
			return []string{"HSET", g.one("h0", "k0"), g.value(), g.value()}
		case 2:
			return []string{g.one("RPUSH", "LPUSH"), g.one("l0", "k1"), g.value(), g.value()}
		case 3:
			return []string{"SADD", g.one("s0", "k2"), g.value(), number()}
		case 4:
			return []string{"ZADD", g.one("z0", "k3"), number(), g.value(), number(), number()}
		case 5:
			return []string{"XADD", g.one("x0", "k4"), fmt.Sprintf("%d-%d", g.IntN(50), 1+g.IntN(50)), "f", g.value()}
		case 6:
			return []string{"GEOADD", "g0", fmt.Sprint(g.IntN(180)), fmt.Sprint(g.IntN(80)), g.value()}
		case 7:
			return []string{"DEL", g.key()}
		default:
			return []string{"SETBIT", g.key(), number(), g.one("0", "1")}
		}
	}
	return g.random()
}

// random returns one of the generator's commands with random arguments.
func (g *generator) random() []string {
	c := g.commands[g.IntN(len(g.commands))]
	args := strings.Split(c.Name, "|")
	if g.IntN(8) == 0 {
		args[0] = strings.ToLower(args[0])
	}
	n := c.Arity
	if n < 0 {
		n = -n + g.IntN(4)
	}
	if g.IntN(50) == 0 {
		n--
	}
	for len(args) < n {
		if home := homes[c.Group]; home != "" && len(args) <= 2 && g.IntN(3) > 0 {
			args = append(args, home)
		} else if len(args) == 1 || g.IntN(4) == 0 {
			args = append(args, g.key())
		} else {
			args = append(args, g.value())
		}
	}
	if strings.Contains(c.Name, "EXPIRE") || c.Name == "SETEX" || c.Name == "RESTORE" {
		for i := 2; i < len(args); i++ { // far in the past or the future: nothing expires in between
			args[i] = g.one("0", "-1", "100000", "99999999999", "NX", "GT", "x")
		}
	}
	return args
}

// send writes commands in pieces of random sizes and returns the replies.
func (g *generator) send(c *client, commands [][]string) []string {
	var replies []string
	for len(commands) > 0 {
		n := min(len(commands), 1+g.IntN(40))
		var all []byte
		for _, args := range commands[:n] {
			all = append(all, request(args...)...)
		}
		for len(all) > 0 {
			k := min(len(all), 1+g.IntN(2000))
			c.send(all[:k])
			all = all[k:]
		}
		for range n {
			replies = append(replies, c.reply())
		}
		commands = commands[n:]
	}
	return replies
}

func TestRandomCommandsAreAnsweredTheSame(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	for run := range 4 {
		seed, proto := *firstSeed+uint64(run), 2+run%2
		t.Run(fmt.Sprintf("seed %d RESP%d", seed, proto), func(t *testing.T) {
			g := newGenerator(seed, false)
			var commands [][]string
			for range *generated {
				commands = append(commands, g.next())
			}
			var replies [2][]string
			for i, addr := range []string{f.master().Addr, f.addr} {
				clean(t, f)
				c := dial(t, "tcp", addr)
				c.do("HELLO", fmt.Sprint(proto))
				replies[i] = g.send(c, commands)
			}
			answered := 0
			for i, args := range commands {
				direct, proxied := normaliseTTL(args, replies[0][i]), normaliseTTL(args, replies[1][i])
				if direct != proxied {
					t.Fatalf("command %d %q: the server says %q, the proxy %q", i, args, excerpt(direct, 0), excerpt(proxied, 0))
				}
				if direct[0] != '-' {
					answered++
				}
			}
			if answered < *generated/4 {
				t.Errorf("only %d of %d commands were answered without an error: they prove little", answered, *generated)
			}
			compareReplicas(t, f, seed, proto)
		})
	}
}

// normaliseTTL takes the passing of time out of a reply.
func normaliseTTL(args []string, reply string) string {
	if strings.EqualFold(args[0], "TTL") && len(reply) > 6 && reply[0] == ':' {
		return ":some\r\n"
	}
	return reply
}

// compareReplicas compares what a client that has not written, and so is served by replicas, reads with what the
// master says. Sets and hashes have no order: each server has its own.
func compareReplicas(t *testing.T, f *front, seed uint64, proto int) {
	t.Helper()
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := newGenerator(seed, true)
	var commands [][]string
	for range *generated / 4 {
		commands = append(commands, g.random())
	}
	var replies [2][]string
	for i, addr := range []string{f.master().Addr, f.addr} {
		c := dial(t, "tcp", addr)
		c.do("HELLO", fmt.Sprint(proto))
		replies[i] = g.send(c, commands)
	}
	for i, args := range commands {
		direct, proxied := normaliseTTL(args, replies[0][i]), normaliseTTL(args, replies[1][i])
		if group := command.Builtin().Lookup([][]byte{[]byte(args[0])}).Group; group == "set" || group == "hash" || strings.EqualFold(args[0], "SORT") {
			direct, proxied = sortedLines(direct), sortedLines(proxied)
		}
		if direct != proxied {
			t.Fatalf("read %d %q: the master says %q, the proxy %q", i, args, excerpt(direct, 0), excerpt(proxied, 0))
		}
	}
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\r\n")
	slices.Sort(lines)
	return strings.Join(lines, "\r\n")
}
