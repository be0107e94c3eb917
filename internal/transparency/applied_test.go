package transparency

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

func TestAWriteThatWasAppliedAndNotAnsweredIsNeverRepeated(t *testing.T) {
	cluster := testcluster.New(t, 0)
	relay := testcluster.NewRelay(t, cluster.Nodes[0].Addr)
	f := newFront(t, cluster, nil)
	f.publish(&topology.State{Epoch: 2, Phase: topology.Stable}, &testcluster.Redis{Addr: relay.Addr})
	together := func(requests ...string) []byte {
		var all [][]byte
		for _, r := range requests {
			all = append(all, request(strings.Fields(r)...))
		}
		return bytes.Join(all, nil)
	}
	for _, test := range []struct {
		name   string
		before []string // one by one, answered
		sent   []byte
		due    []string // ahead of the unknown result
		after  string   // what the key n is once applied
	}{
		{"a write", nil, together("APPEND n x"), nil, "x"},
		{"a script", nil, together("EVAL return(redis.call('APPEND',KEYS[1],'x')) 1 n"), nil, "x"},
		{"a whole transaction", nil, together("MULTI", "APPEND n x", "APPEND n y", "EXEC"), []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"}, "xy"},
		{"a spread transaction", []string{"MULTI", "APPEND n x", "PING"}, together("EXEC"), nil, "x"},
		{"a transaction with watched keys", []string{"WATCH n", "GET n", "MULTI", "APPEND n x"}, together("EXEC"), nil, "x"},
		{"a write between WATCH and MULTI", []string{"WATCH other"}, together("APPEND n x"), nil, "x"},
		{"a transaction sent twice", []string{"MULTI", "APPEND n x", "cut", "PING", "cut"}, together("EXEC"), nil, "x"},
		{"a blocking pop", []string{"BLPOP other 0.001", "RPUSH n a", "RPUSH n b"}, together("BLPOP n 0"), nil, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, f.master(), "FLUSHALL")
			c := dial(t, "tcp", f.addr)
			c.expect("+OK", "SET", "warm", "1")
			for _, r := range test.before {
				if r == "cut" {
					relay.Reset()
					continue
				}
				c.do(strings.Fields(r)...)
			}
			if test.name == "a transaction sent twice" { // so that EXEC goes on a connection that is there
				other := f.dial()
				other.expect("+OK", "MULTI")
				other.expect("*0", "EXEC")
			}
			relay.Blackhole(testcluster.Downward)
			c.send(test.sent)
			content := func() string {
				if kind, err := redis.String(f.master().Do("TYPE", "n")); err == nil && kind == "list" {
					all, err := redis.Strings(f.master().Do("LRANGE", "n", 0, -1))
					if err != nil {
						t.Fatal(err)
					}
					return strings.Join(all, "")
				}
				text, err := redis.String(f.master().Do("GET", "n"))
				if err != nil && err != redis.ErrNil && !strings.Contains(err.Error(), "nil returned") {
					t.Fatal(err)
				}
				return text
			}
			testcluster.WaitFor(t, "the write to be applied", func() bool { return content() == test.after })
			relay.Reset()
			relay.Heal()
			for _, want := range test.due {
				if got := c.reply(); !strings.HasPrefix(got, want) {
					t.Fatalf("%q instead of %q", got, want)
				}
			}
			c.receives(unknown)
			c.expect("$3\r\nend", "ECHO", "end")
			c.expect("+OK", "SET", "warm", "3")
			if got := content(); got != test.after {
				t.Errorf("n is %q instead of %q: it was applied twice", got, test.after)
			}
		})
	}
}
