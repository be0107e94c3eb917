package transparency

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// onServer waits until the master has that many connections whose description contains a text.
func onServer(t *testing.T, f *front, text string, n int) {
	t.Helper()
	testcluster.WaitFor(t, fmt.Sprintf("%d connections with %q at the master", n, text), func() bool {
		return len(clientLines(t, f.master(), text)) == n
	})
}

func TestAClientThatVanishesWhileBlockedStealsNothing(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	for i, blocking := range [][]string{
		{"BLPOP", "queue", "0"}, {"BLMOVE", "queue", "other", "LEFT", "LEFT", "0"}, {"BLMPOP", "0", "1", "queue", "LEFT"}, {"BRPOP", "queue", "30"},
	} {
		c := f.dial()
		c.send(request(blocking...))
		onServer(t, f, "cmd="+strings.ToLower(blocking[0])+" ", 1)
		if i%2 == 0 {
			c.conn.Close()
		} else if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		onServer(t, f, "cmd="+strings.ToLower(blocking[0])+" ", 0)
		waitBlocked(t, f.master(), 0)
		other := f.dial()
		other.expect(":1", "RPUSH", "queue", "job")
		other.expect("$3\r\njob", "LPOP", "queue")
		other.expect(":0", "EXISTS", "queue", "other")
	}
}

func TestOfSeveralPopsOfAClientThatVanishesNoneTakesAnything(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	for _, half := range []bool{false, true} {
		c, feeder := f.dial(), f.dial()
		var all []byte
		for range 10 {
			all = append(all, request("BLPOP", "queue", "0")...)
		}
		c.send(append(all, request("SET", "reached", "1")...))
		waitBlocked(t, f.master(), 1)
		for range 3 {
			feeder.expect(":1", "RPUSH", "queue", "job")
			c.receives("*2\r\n$5\r\nqueue\r\n$3\r\njob")
			waitBlocked(t, f.master(), 1)
		}
		if half {
			if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		} else {
			c.conn.Close()
		}
		waitBlocked(t, f.master(), 0)
		feeder.expect(":1", "RPUSH", "queue", "job")
		feeder.expect("$3\r\njob", "LPOP", "queue")
		feeder.expect(":0", "EXISTS", "reached")
	}
}

func TestAClientThatVanishesInATransactionLeavesNothingBehind(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	for range 20 {
		c := f.dial()
		c.expect("+OK", "WATCH", "a")
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "SET", "a", "1")
		c.conn.Close()
	}
	onServer(t, f, "cmd=set ", 0)
	testcluster.WaitFor(t, "no transaction at the master", func() bool {
		return len(clientLines(t, f.master(), " multi=-1 ")) == len(clientLines(t, f.master(), "id="))
	})
	// What is lent next must not be one of them.
	c := f.dial()
	c.expect("$-1", "GET", "a")
	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "PING")
	c.expect("*1\r\n+PONG", "EXEC")
	c.expect("*-1", "BLPOP", "nothing", "0.01")
}

func TestATransactionDoesNotLeakIntoTheNextBorrowerOfItsConnection(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	must(t, f.master(), "ACL", "SETUSER", "few", "on", ">few", "~*", "&*", "+@all")
	for _, ending := range [][][]string{
		{{"MULTI"}, {"SET", "a", "1"}, {"DISCARD", "extra"}, {"DISCARD"}},
		{{"MULTI"}, {"SET", "a", "1"}, {"EXEC", "extra"}},
		{{"WATCH", "a"}, {"UNWATCH", "extra"}, {"UNWATCH"}},
		{{"WATCH", "a"}, {"EXEC"}, {"DISCARD"}, {"UNWATCH"}},
		{{"MULTI"}, {"SELECT", "5"}, {"EXEC"}},
		{{"WATCH", "a"}, {"SELECT", "5"}, {"UNWATCH"}},
		{{"MULTI"}, {"SELECT", "5"}, {"DISCARD"}},
		{{"MULTI"}, {"RESET"}},
		{{"WATCH", "a"}, {"HELLO", "3"}, {"UNWATCH"}},
		{{"WATCH", "a"}, {"AUTH", "default", "x"}, {"UNWATCH"}},
		{{"SUBSCRIBE", "ch"}, {"UNSUBSCRIBE", "ch"}},
		{{"HELLO", "3"}, {"SUBSCRIBE", "ch"}, {"SELECT", "5"}, {"UNSUBSCRIBE", "ch"}},
		{{"HELLO", "3"}, {"CLIENT", "TRACKING", "ON"}, {"CLIENT", "TRACKING", "OFF"}},
		{{"MULTI"}, {"HELLO", "3"}, {"EXEC"}},
		{{"MULTI"}, {"AUTH", "few", "few"}, {"EXEC"}},
		{{"MULTI"}, {"AUTH", "few", "few"}, {"SELECT", "3"}, {"CLIENT", "SETNAME", "x"}, {"EXEC"}},
		{{"WATCH", "a"}, {"AUTH", "few", "few"}, {"MULTI"}, {"DISCARD"}},
		{{"WATCH", "a"}, {"SUBSCRIBE", "ch"}, {"UNSUBSCRIBE", "ch"}},
		{{"WATCH", "a"}, {"CLIENT", "TRACKING", "ON", "BCAST"}, {"CLIENT", "TRACKING", "OFF"}, {"UNWATCH"}},
		{{"MULTI"}, {"SHUTDOWN"}, {"EXEC"}},
		{{"MULTI"}, {"NOSUCHCOMMAND"}, {"EXEC"}},
		{{"MULTI"}, {"SHUTDOWN"}, {"DISCARD"}},
		{{"WAIT", "0", "0"}, {"XREAD", "BLOCK", "1", "STREAMS", "s", "$"}},
	} {
		c := f.dial()
		for _, args := range ending {
			c.do(args...)
		}
		lendsCleanPins(t, f)
		c.conn.Close()
	}
}

// lendsCleanPins checks that a client that takes up what others have given back finds it as new.
func lendsCleanPins(t *testing.T, f *front) {
	t.Helper()
	next := f.dial()
	defer next.conn.Close()
	next.expect("+OK", "SET", "where", "db0")
	next.expect("+OK", "MULTI")
	next.expect("+QUEUED", "GET", "where")
	next.expect("+QUEUED", "ACL", "WHOAMI")
	next.expect("*2\r\n$3\r\ndb0\r\n$7\r\ndefault", "EXEC")
	next.expect("*-1", "BLPOP", "nothing", "0.001")
	next.expect("+OK", "WATCH", "where")
	next.expect("$3\r\ndb0", "GET", "where")
	other := f.dial()
	defer other.conn.Close()
	other.expect("+OK", "SET", "a", "changed") // a key that the former borrower may have watched
	next.expect("+OK", "MULTI")
	next.expect("*0", "EXEC")
}

func TestWhatAClientLeavesInTheMiddleIsNotLentToTheNext(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	large := strings.Repeat("x", 5<<20)
	f.dial().expect("+OK", "SET", "large", large)
	in := func(requests ...string) (all []byte) {
		for _, r := range requests {
			all = append(all, request(strings.Fields(r)...)...)
		}
		return all
	}
	for _, test := range []struct {
		sent    []byte
		replies int // that the client waits for, and gets, before it goes
	}{
		{in("MULTI", "SET a 1"), 2},
		{in("MULTI", "SET a 1"), 0},
		{in("MULTI", "SET a 1", "SELECT 3", "EXEC", "MULTI"), 3},
		{append(in("MULTI", "SET a 1"), "*1\r\n$4\r\nEX"...), 2},
		{in("WATCH a"), 1},
		{in("WATCH a", "SELECT 4", "MULTI"), 3},
		{in("WATCH a", "BLPOP nothing 0"), 1},
		{in("WATCH a", "HELLO 3", "BLPOP nothing 0", "SET a 2"), 2},
		{in("MULTI", "GET large", "GET large", "EXEC"), 3},
		{in("MULTI", "PING", "GET large", "GET large", "EXEC"), 3},
		{in("WATCH a", "GET large", "GET large"), 1},
		{in("BLPOP nothing 0", "BLPOP nothing 0"), 0},
		{in("SET b 1", "BLPOP nothing 0", "DEL b"), 1},
		{in("BRPOPLPUSH nothing a 0"), 0},
		{in("XREAD BLOCK 0 STREAMS nothing $"), 0},
		{in("WAIT 9 0", "WAIT 9 0"), 0},
		{in("CLIENT REPLY OFF", "MULTI", "SET a 1"), 0},
		{in("CLIENT REPLY OFF", "WATCH a", "CLIENT REPLY ON"), 1},
		{in("CLIENT REPLY SKIP", "MULTI", "SELECT 7"), 1},
		{in("SUBSCRIBE ch", "PING"), 1},
		{in("WATCH a", "SUBSCRIBE ch"), 2},
		{in("MONITOR"), 1},
		{append(in("SELECT 2", "MULTI"), bytes.Repeat(in("GET large"), 20)...), 3},
	} {
		for _, reset := range []bool{false, true} {
			c := f.dial()
			c.send(test.sent)
			for range test.replies {
				c.reply()
			}
			if reset {
				if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
					t.Fatal(err)
				}
			}
			c.conn.Close()
			lendsCleanPins(t, f)
			testcluster.WaitFor(t, fmt.Sprintf("the end of %q", test.sent[:min(len(test.sent), 300)]), func() bool { return f.proxy.Clients() <= 1 })
		}
	}
	waitBlocked(t, f.master(), 0)
	testcluster.WaitFor(t, "the proxy to notice that the clients have gone", func() bool { return f.proxy.Clients() <= 1 })
	testcluster.WaitFor(t, "no transaction at the master", func() bool {
		return len(clientLines(t, f.master(), " multi=-1 ")) == len(clientLines(t, f.master(), "id="))
	})
	f.dial().expect("$1\r\n1", "GET", "b") // what stands behind a pop that never ends was not done
}

func TestTenThousandClientsThatLeaveInTheMiddleLeaveNothingBehind(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	c := f.dial()
	c.expect("+OK", "SET", "a", "1")
	halves := [][]byte{
		[]byte("*3\r\n$3\r\nSET\r\n$1\r\na"), []byte("*"), []byte("GET"), nil, request("GET", "a"), request("SET", "a", "2"),
		append(request("GET", "a"), "*2\r\n$3\r\nGE"...), request("MULTI"), append(request("WATCH", "a"), "*1\r\n$5"...),
		append(append(request("MULTI"), request("SET", "a", "1")...), "*1"...), request("BLPOP", "nothing", "0"), request("SUBSCRIBE", "ch"),
		append(request("SUBSCRIBE", "ch"), "UNSUB"...), request("HELLO", "3"), append(request("SELECT", "1"), request("GET", "a")...),
		append(request("BLPOP", "nothing", "0"), request("GET", "a")...), []byte("*1\r\n$1000000\r\nxxx"), []byte("*bad\r\n"), request("QUIT"),
		append(request("AUTH", "x"), request("GET", "a")...), request("CLIENT", "LIST"), request("INFO"), request("WAIT", "5", "100"),
	}
	cycle := func(n int) {
		var running sync.WaitGroup
		for w := range 8 {
			running.Go(func() {
				for i := w; i < n; i += 8 {
					nc, err := net.Dial("tcp", f.addr)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := nc.Write(halves[i%len(halves)]); err != nil {
						t.Error(err)
					}
					if i%3 == 0 {
						if err := nc.(*net.TCPConn).SetLinger(0); err != nil { // a reset
							t.Error(err)
						}
					}
					nc.Close()
				}
			})
		}
		running.Wait()
		testcluster.WaitFor(t, "the proxy to notice that the clients have gone", func() bool { return f.proxy.Clients() == 1 })
		waitBlocked(t, f.master(), 0)
	}
	cycle(200) // opens what stays open
	settled := func() (goroutines, files int) { return runtime.NumGoroutine(), openFiles(t) }
	goroutines, files := settled()
	cycle(10_000)
	testcluster.WaitFor(t, "as many goroutines and descriptors as before", func() bool {
		g, n := settled()
		return g <= goroutines+5 && n <= files+70 // idle connections to nodes, of which a few are kept
	})
	c.expect("$1\r\n2", "GET", "a")
	if n := len(clientLines(t, f.master(), "id=")); n > 150 {
		t.Errorf("the master has %d connections", n)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS != "linux" {
		t.Skip("only Linux tells what descriptors a process has: run it there")
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestClientKillEndsTheClientsMeantAndNoOthers(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	me := f.dial()
	id := func(c *client) string { return strings.TrimSpace(c.do("CLIENT", "ID")[1:]) }
	victim, other := f.dial(), f.dial()
	me.expect(":1", "CLIENT", "KILL", "ID", id(victim))
	victim.closed()
	other.expect("+PONG", "PING")

	victim = f.dial()
	victim.expect("+PONG", "PING")
	me.expect("+OK", "CLIENT", "KILL", victim.conn.LocalAddr().String())
	victim.closed()

	blocked := f.dial()
	blocked.send(request("BLPOP", "queue", "0"))
	onServer(t, f, "cmd=blpop ", 1)
	me.expect(":1", "CLIENT", "KILL", "ADDR", blocked.conn.LocalAddr().String())
	blocked.closed()
	onServer(t, f, "cmd=blpop ", 0)

	sub := f.dial()
	sub.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1", "SUBSCRIBE", "ch")
	me.expect(":1", "CLIENT", "KILL", "TYPE", "pubsub")
	sub.closed()
	onServer(t, f, "sub=1 ", 0)

	me.expect(":1", "CLIENT", "KILL", "TYPE", "normal") // all but me
	other.closed()
	me.expect(":1", "CLIENT", "KILL", "ID", id(me), "SKIPME", "no")
	me.closed()
}

func TestClientsMayComeByUnixSocketAndIPv6(t *testing.T) {
	cluster := testcluster.New(t, 1)
	path := filepath.Join(t.TempDir(), "proxy.sock")
	f := newFront(t, cluster, func(c *proxy.Config) {
		c.Listen = []proxy.Listen{{Network: "unix", Addr: path}, {Network: "tcp", Addr: "[::1]:0"}, {Network: "tcp", Addr: "127.0.0.1:0"}}
	})
	addrs := f.proxy.Addrs()
	for _, c := range []*client{dial(t, "unix", path), dial(t, "tcp", addrs[1].String()), dial(t, "tcp", addrs[2].String())} {
		c.expect("+OK", "SET", "a", "1")
		c.expect("$1\r\n1", "GET", "a")
		if list := c.do("CLIENT", "INFO"); !strings.Contains(list, "laddr="+c.conn.RemoteAddr().String()) {
			t.Errorf("%s: %q", c.conn.RemoteAddr(), list)
		}
	}
	f.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket file remains: %v", err)
	}
}

func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.DrainTimeout = 10 * time.Second })
	idle, busy, blocked, subscribed := f.dial(), f.dial(), f.dial(), f.dial()
	idle.expect("+PONG", "PING")
	blocked.send(request("BLPOP", "queue", "0"))
	subscribed.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1", "SUBSCRIBE", "ch")
	waitBlocked(t, f.master(), 1)
	const script = "local t = redis.call('TIME'); local e = t[1]*1e6+t[2]+400000; repeat t = redis.call('TIME') until t[1]*1e6+t[2] > e; return redis.call('INCR', KEYS[1])"
	// The write comes with the rest in one piece, so its reply shows that all of it has arrived.
	busy.send(append(append(request("SET", "arrived", "1"), request("EVAL", script, "1", "n")...), request("GET", "n")...))
	busy.receives("+OK")
	stopped := make(chan struct{})
	go func() { f.stop(); close(stopped) }()
	busy.receives(":1")
	busy.receives("$1\r\n1")
	for _, c := range []*client{busy, idle, blocked, subscribed} {
		c.closed()
	}
	<-stopped
	if _, err := net.Dial("tcp", f.addr); err == nil {
		t.Error("the proxy still accepts")
	}
}
