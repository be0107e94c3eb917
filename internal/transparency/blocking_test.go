package transparency

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// own returns the id that CLIENT ID tells a client.
func own(c *client) string { return strings.TrimSpace(c.do("CLIENT", "ID")[1:]) }

// lastCommand is what CLIENT LIST says of a client's command.
var lastCommand = regexp.MustCompile(` cmd=\S*`)

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
					said[i] = append(said[i], lastCommand.FindString(other.do("CLIENT", "LIST", "ID", id)))
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

func TestABlockingCommandIsAnsweredWithoutAMasterAsByAServerWithoutData(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	must(t, f.master(), "XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
	var said [2][]string
	for i, addr := range []string{f.master().Addr, f.addr} {
		for _, proto := range []string{"2", "3"} {
			var clients []*client
			var requests []string
			for _, blocking := range []string{
				"BLPOP q T", "BRPOP q r T", "BLMOVE q r LEFT right T", "BRPOPLPUSH q r T", "BLMPOP T 2 q r LEFT", "BLMPOP T 1 q RIGHT COUNT 2", "BZPOPMIN z T", "BZPOPMAX z T",
				"BZMPOP T 1 z MIN", "BZMPOP T 2 z y max COUNT 3", "XREAD BLOCK MS STREAMS s $", "XREAD COUNT 1 BLOCK MS STREAMS s t 1-1 5", "XREADGROUP GROUP g c BLOCK MS STREAMS s >",
			} {
				times := []string{"0.05", "5e-2", "+.05", "-1", "-0.5", "abc", "1,5", "", "1e", "5_0"}
				if strings.Contains(blocking, "MS") {
					times = []string{"50", "1", "-1", "abc", "1.5", "+5", "05", "-0", "", "9223372036854775808"}
				}
				for _, term := range times {
					args := strings.Fields(blocking)
					for k := range args {
						if args[k] == "T" || args[k] == "MS" {
							args[k] = term
						}
					}
					c := dial(t, "tcp", addr)
					c.do("HELLO", proto)
					clients = append(clients, c)
					requests = append(requests, string(request(args...)))
				}
			}
			if i == 1 {
				f.away(2)
			}
			for k, c := range clients {
				c.send([]byte(requests[k]))
			}
			for k, c := range clients {
				said[i] = append(said[i], "RESP"+proto+" "+requests[k], c.reply())
				c.conn.Close()
			}
			if i == 1 {
				f.back(2, f.master())
			}
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
		c.receives("-UNBLOCKED client unblocked via CLIENT UNBLOCK")
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
	server := dial(t, "tcp", f.master().Addr)
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
			server.expect("+OK", "SET", "b", "2")
			for _, each := range []*client{server, c} { // where it waits for nobody, and says who has acknowledged
				each.expect("+OK", "MULTI")
				each.expect("+QUEUED", "WAIT", "2", "0")
				each.expect("*1\r\n:0", "EXEC")
				each.expect(":0", "WAIT", "-1", "0")
			}
			c.send(append(request("MULTI"), append(request("SET", "a", "3"), append(request("EXEC"), request("WAIT", "1", "50")...)...)...))
			for _, want := range []string{"+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n", ":0\r\n"} {
				if got := c.reply(); got != want {
					t.Errorf("%q instead of %q", got, want)
				}
			}
			c.send(request("WAIT", "1", "0"))
			waitBlocked(t, f.master(), 1)
			pause((*testcluster.Redis).Resume, f.cluster.Nodes[1])
			c.receives(":1")
			pause((*testcluster.Redis).Resume, f.cluster.Nodes[2])
			c.expect(":2", "WAIT", "2", "0")
			other.expect(":2", "WAIT", "2", "0") // takes the pin that is now idle
		}
	}
}

func TestAClientThatIsToBlockWhenThereIsAMasterCanLeaveAndBeSentAway(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.DrainTimeout = 10 * time.Second })
	f.away(2)
	var clients []*client
	for i := range 7 {
		c := f.dial()
		c.send(append(request("BLPOP", fmt.Sprint("queue", i), "0"), request("INCR", "behind")...))
		f.held(c)
		clients = append(clients, c)
	}
	clients[0].conn.Close()
	if err := clients[1].conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	clients[1].closed()
	other := f.dial()
	other.expect(":1", "CLIENT", "KILL", "ADDR", clients[2].conn.LocalAddr().String())
	clients[2].closed()
	id := func(c *client) string {
		for line := range strings.Lines(other.do("CLIENT", "LIST")) {
			if strings.Contains(line, "addr="+c.conn.LocalAddr().String()+" ") {
				id, _, _ := strings.Cut(line[strings.Index(line, "id=")+3:], " ")
				return id
			}
		}
		t.Fatal("a client is not listed")
		return ""
	}
	other.expect(":1", "CLIENT", "UNBLOCK", id(clients[3]))
	clients[3].receives("*-1")
	other.expect(":1", "CLIENT", "UNBLOCK", id(clients[4]), "ERROR")
	clients[4].receives("-UNBLOCKED client unblocked via CLIENT UNBLOCK")
	f.back(2, f.master(), f.cluster.Nodes[1:]...)
	for i, c := range clients[3:5] {
		if got := c.reply(); got != fmt.Sprintf(":%d\r\n", i+1) && got != fmt.Sprintf(":%d\r\n", 2-i) {
			t.Errorf("%q", got)
		}
	}
	waitBlocked(t, f.master(), 2)
	other.expect(":1", "RPUSH", "queue5", "job")
	clients[5].receives("*2\r\n$6\r\nqueue5\r\n$3\r\njob")
	clients[5].receives(":3")
	f.stop() // with the last one blocked
	clients[6].closed()
	waitBlocked(t, f.master(), 0)
	if n, err := redis.Int(f.master().Do("GET", "behind")); err != nil || n != 3 {
		t.Errorf("what stands behind a command that has not ended was done: %d, %v", n, err)
	}
}

func TestAFailoverBlocksClientsAnewForTheTimeThatIsLeft(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	old, heir := f.cluster.Nodes[0], f.cluster.Nodes[1]
	must(t, old, "XADD", "s", "1-1", "f", "v")
	must(t, old, "XGROUP", "CREATE", "s", "g", "$")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	read, group, pop, short := f.dial(), f.dial(), f.dial(), f.dial()
	read.send(request("XREAD", "BLOCK", "100000", "STREAMS", "s", "none", "$", "$"))
	group.send(request("XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"))
	pop.send(request("BLPOP", "queue", "100"))
	short.send(request("BRPOP", "nothing", "1.5"))
	waitBlocked(t, old, 4)
	began := time.Now()
	must(t, heir, "REPLICAOF", "NO", "ONE")
	must(t, heir, "XADD", "s", "2-2", "while", "away") // by a client of another member that was faster
	must(t, old, "REPLICAOF", "127.0.0.1", heir.Port)
	for _, c := range []*client{group, pop, short} {
		f.held(c)
	}
	f.back(2, heir, old)
	if got := read.reply(); !strings.Contains(got, "2-2") || strings.Contains(got, "1-1") {
		t.Errorf("XREAD: %q", got)
	}
	if got := group.reply(); !strings.Contains(got, "2-2") {
		t.Errorf("XREADGROUP: %q", got)
	}
	if got := short.reply(); got != "*-1\r\n" {
		t.Errorf("BRPOP: %q", got)
	}
	if took := time.Since(began); took < 1400*time.Millisecond {
		t.Errorf("BRPOP ended after %v, before its time", took)
	}
	waitBlocked(t, heir, 1)
	if lines := clientLines(t, heir, "cmd=blpop "); len(lines) != 1 {
		t.Errorf("%q", lines)
	}
	f.dial().expect(":1", "RPUSH", "queue", "job")
	if got := pop.reply(); got != "*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n" {
		t.Errorf("BLPOP: %q", got)
	}
}

func TestClientsThatBlockAreServedAfterASwitchoverInTheOrderInWhichTheyBlocked(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	old, heir := f.cluster.Nodes[0], f.cluster.Nodes[1]
	var clients []*client
	for i := range 30 {
		c := f.dial()
		c.send(request("BLPOP", "queue", "100"))
		waitBlocked(t, old, i+1)
		clients = append(clients, c)
	}
	for epoch := uint64(2); epoch < 6; epoch++ {
		f.publish(&topology.State{Epoch: epoch, Phase: topology.Fencing, Failover: &topology.Failover{Cause: "a test"}}, old, heir)
		waitBlocked(t, old, 0)
		c := f.dial() // blocks behind the others, and has not before
		c.send(request("BLPOP", "queue", "100"))
		f.held(c)
		clients = append(clients, c)
		must(t, heir, "REPLICAOF", "NO", "ONE")
		must(t, old, "REPLICAOF", "127.0.0.1", heir.Port)
		f.back(epoch, heir, old)
		old, heir = heir, old
		waitBlocked(t, old, len(clients))
	}
	pusher := f.dial()
	var got, want []string
	for i := range clients {
		pusher.expect(":1", "RPUSH", "queue", fmt.Sprint(100+i))
		want = append(want, fmt.Sprintf("*2\r\n$5\r\nqueue\r\n$3\r\n%d\r\n", 100+i))
	}
	for _, c := range clients {
		got = append(got, c.reply())
	}
	compare(t, want, got)
}

// Since Redis 7.2 WAIT waits for the last write of its own connection. This is the write that goes ahead of it there.
func TestADatabaseThatIsSwappedWithItselfIsAWriteThatChangesNothing(t *testing.T) {
	cluster := testcluster.New(t, 1)
	master := cluster.Nodes[0]
	offset := func() string {
		info, err := master.Info("replication")
		if err != nil {
			t.Fatal(err)
		}
		return info["master_repl_offset"]
	}
	c := dial(t, "tcp", master.Addr)
	c.expect("+OK", "SET", "a", "1")
	c.expect("+OK", "WATCH", "a", "none")
	before := offset()
	must(t, master, "SWAPDB", "0", "0")
	if after := offset(); after == before {
		t.Errorf("the offset remains at %s: nothing was passed on to replicas", after)
	}
	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "GET", "a")
	c.expect("*1\r\n$1\r\n1", "EXEC") // nobody who watches is disturbed
}
