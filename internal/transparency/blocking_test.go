package transparency

import (
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// own returns the id that CLIENT ID tells a client.
func own(c *client) string { return strings.TrimSpace(c.do("CLIENT", "ID")[1:]) }

func TestClientsAreUnblockedByOthersAsByAServer(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.Loops = 3 })
	var said [2][]string
	for i, addr := range []string{f.master().Addr, f.addr} {
		must(t, f.master(), "FLUSHALL")
		must(t, f.master(), "XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
		other := dial(t, "tcp", addr)
		for _, proto := range []string{"2", "3"} {
			for _, blocking := range []string{
				"BLPOP q 0", "BRPOP q 100", "BLMOVE q r LEFT LEFT 0", "BRPOPLPUSH q r 0", "BLMPOP 0 1 q LEFT", "BZPOPMIN q 0", "BZMPOP 0 1 q MIN",
				"XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "WAIT 5 0",
			} {
				for _, reason := range []string{"", "timeout", "ERROR"} {
					c := dial(t, "tcp", addr)
					c.do("HELLO", proto)
					id := own(c)
					other.expect(":0", append([]string{"CLIENT", "UNBLOCK", id}, strings.Fields(reason)...)...)
					c.send(append(request(strings.Fields(blocking)...), request("PING")...))
					waitBlocked(t, f.master(), 1)
					other.expect(":1", append([]string{"CLIENT", "UNBLOCK", id}, strings.Fields(reason)...)...)
					reply := c.reply()
					if blocking == "WAIT 5 0" && reply[0] == ':' { // how many have acknowledged at that instant
						reply = ":N"
					}
					said[i] = append(said[i], blocking+" "+reason, reply, c.reply())
					other.expect(":0", "CLIENT", "UNBLOCK", id)
					c.conn.Close()
				}
			}
		}
		me := own(other)
		for _, args := range []string{
			"CLIENT UNBLOCK", "CLIENT UNBLOCK x", "CLIENT UNBLOCK -1", "CLIENT UNBLOCK 99999999999999999999", "CLIENT UNBLOCK 999999", "CLIENT UNBLOCK " + me,
			"CLIENT UNBLOCK " + me + " NOPE", "CLIENT UNBLOCK x NOPE", "CLIENT UNBLOCK " + me + " TIMEOUT x", "CLIENT UNBLOCK 0x1", "CLIENT UNBLOCK 01",
		} {
			said[i] = append(said[i], strings.ReplaceAll(args, " "+me, " me"), other.do(strings.Fields(args)...))
		}
	}
	compare(t, said[0], said[1])
}

func TestACommandThatIsStillOnItsWayIsUnblocked(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), func(c *proxy.Config) { c.Loops = 2 })
	other := f.dial()
	for range 50 {
		c := f.dial()
		id := own(c)
		c.send(request("BLPOP", "q", "0"))
		f.held(c)
		other.expect(":1", "CLIENT", "UNBLOCK", id, "ERROR")
		if got := c.reply(); got != "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n" {
			t.Fatalf("%q", got)
		}
		c.conn.Close()
	}
}

func TestWaitCoversWhatTheSessionHasWritten(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	for _, node := range f.cluster.Nodes {
		must(t, node, "ACL", "SETUSER", "few", "on", ">few", "~*", "+@all", "-ping", "-@dangerous")
	}
	pause := func(do func(*testcluster.Redis) error, nodes ...*testcluster.Redis) {
		for _, node := range nodes {
			if err := do(node); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, user := range []string{"default", "few"} {
		c, other := f.dial(), f.dial()
		for _, each := range []*client{c, other} {
			each.expect("+OK", "AUTH", user, "few")
		}
		for range 2 { // on a new pin, and on one that has been used
			c.expect("+OK", "SET", "a", "1")
			c.expect(":2", "WAIT", "2", "0")
			pause((*testcluster.Redis).Pause, f.cluster.Nodes[1:]...)
			c.expect("+OK", "SET", "a", "2")
			c.expect(":0", "WAIT", "1", "50")
			c.expect(":0", "WAIT", "0", "0")
			c.expect(":0", "WAIT", "0", "50")
			c.expect("+OK", "MULTI")
			c.expect("+QUEUED", "WAIT", "2", "0")
			c.expect("*1\r\n:0", "EXEC")
			c.send(append(request("MULTI"), append(request("SET", "a", "3"), append(request("EXEC"), request("WAIT", "1", "50")...)...)...))
			for _, want := range []string{"+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n", ":0\r\n"} {
				if got := c.reply(); got != want {
					t.Errorf("%q instead of %q", got, want)
				}
			}
			c.send(request("WAIT", "1", "0"))
			waitBlocked(t, f.master(), 1)
			pause((*testcluster.Redis).Resume, f.cluster.Nodes[1])
			if got := c.reply(); got != ":1\r\n" {
				t.Errorf("%q", got)
			}
			pause((*testcluster.Redis).Resume, f.cluster.Nodes[2])
			c.expect(":2", "WAIT", "2", "0")
			other.expect(":2", "WAIT", "2", "0") // takes the pin that is now idle
		}
	}
}
