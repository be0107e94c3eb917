package transparency

import (
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// away publishes a State without a master: it is being deposed, and nobody has taken its place.
func (f *front) away(epoch uint64) {
	f.publish(&topology.State{Epoch: epoch, Phase: topology.Fencing, Failover: &topology.Failover{Cause: "a test", MasterDown: true}}, f.master(), f.cluster.Nodes[1:]...)
}

// back publishes a stable State.
func (f *front) back(epoch uint64, master *testcluster.Redis, replicas ...*testcluster.Redis) {
	f.publish(&topology.State{Epoch: epoch, Phase: topology.Stable}, master, replicas...)
}

// replicaReads waits until a replica answers reads: it has proven to have what the master has.
func (f *front) replicaReads() {
	f.t.Helper()
	replica := f.cluster.Nodes[1]
	calls := func() string {
		info, err := replica.Info("commandstats")
		if err != nil {
			f.t.Fatal(err)
		}
		return info["cmdstat_get"]
	}
	testcluster.WaitFor(f.t, "a replica that answers reads", func() bool {
		before := calls()
		c := f.dial() // one that has seen nothing yet
		c.do("GET", "a")
		c.conn.Close()
		return calls() != before
	})
}

// held waits until the proxy itself says that a client waits for a master: CLIENT LIST marks it as blocked.
func (f *front) held(c *client) {
	f.t.Helper()
	me := f.dial()
	addr := "addr=" + c.conn.LocalAddr().String() + " "
	testcluster.WaitFor(f.t, "a request to be held", func() bool {
		for line := range strings.Lines(me.do("CLIENT", "LIST")) {
			if _, rest, ok := strings.Cut(line, " flags="); ok && strings.Contains(line, addr) {
				flags, _, _ := strings.Cut(rest, " ")
				return strings.Contains(flags, "b")
			}
		}
		return false
	})
	me.conn.Close()
}

func TestWhatNeedsTheMasterWaitsForItAndIsThenAnsweredInOrder(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	f.dial().expect("+OK", "SET", "a", "1")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	epoch := uint64(1)
	for name, conversation := range map[string][][2]string{
		"writes":            {{"INCR n", ":1\r\n"}, {"GET n", "$1\r\n1\r\n"}, {"DEL n", ":1\r\n"}},
		"AUTH":              {{"AUTH default x", "+OK\r\n"}, {"GET a", "$1\r\n1\r\n"}},
		"a refused AUTH":    {{"AUTH nobody x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"}, {"GET a", "$1\r\n1\r\n"}},
		"SELECT":            {{"SELECT 3", "+OK\r\n"}, {"EXISTS a", ":0\r\n"}, {"SELECT 99", "-ERR DB index is out of range\r\n"}},
		"HELLO":             {{"HELLO 3", ""}, {"HGETALL nope", "%0\r\n"}},
		"MULTI":             {{"MULTI", "+OK\r\n"}, {"PING", "+QUEUED\r\n"}, {"EXEC", "*1\r\n+PONG\r\n"}},
		"a whole block":     {{"MULTI", "+OK\r\n"}, {"INCR m", "+QUEUED\r\n"}, {"DEL m", "+QUEUED\r\n"}, {"EXEC", "*2\r\n:1\r\n:1\r\n"}},
		"WATCH":             {{"WATCH a", "+OK\r\n"}, {"GET a", "$1\r\n1\r\n"}, {"MULTI", "+OK\r\n"}, {"EXEC", "*0\r\n"}},
		"BLPOP":             {{"BLPOP nothing 0.01", "*-1\r\n"}, {"PING", "+PONG\r\n"}},
		"SUBSCRIBE":         {{"SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"}, {"PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"}},
		"WAIT":              {{"WAIT 0 0", ""}, {"PING", "+PONG\r\n"}},
		"EVAL":              {{"EVAL return(7) 0", ":7\r\n"}},
		"INFO":              {{"INFO server", ""}, {"PING", "+PONG\r\n"}},
		"MONITOR":           {{"MONITOR", "+OK\r\n"}},
		"TRACKING":          {{"CLIENT TRACKINGINFO", ""}, {"PING", "+PONG\r\n"}},
		"reads behind SET":  {{"SET b 1", "+OK\r\n"}, {"GET b", "$1\r\n1\r\n"}, {"DEL b", ":1\r\n"}, {"GET b", "$-1\r\n"}},
		"PING behind SET":   {{"SET b 1", "+OK\r\n"}, {"PING", "+PONG\r\n"}, {"DEL b", ":1\r\n"}},
		"CLIENT behind SET": {{"SET b 1", "+OK\r\n"}, {"CLIENT SETNAME x", "+OK\r\n"}, {"CLIENT GETNAME", "$1\r\nx\r\n"}, {"DEL b", ":1\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			epoch++
			f.replicaReads()
			f.away(epoch)
			c := f.dial()
			c.expect("$1\r\n1", "GET", "a") // a replica answers
			var all []byte
			for _, step := range conversation {
				all = append(all, request(strings.Fields(step[0])...)...)
			}
			c.send(all)
			f.held(c)
			f.back(epoch, f.master(), f.cluster.Nodes[1:]...)
			for _, step := range conversation {
				if got := c.reply(); step[1] != "" && got != step[1] {
					t.Fatalf("%s: %q instead of %q", step[0], got, step[1])
				}
			}
		})
	}
}

func TestAfterTheHoldTimeoutRequestsAreDeclinedInOrderAndTheSessionGoesOn(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.HoldTimeout = 300 * time.Millisecond })
	f.dial().expect("+OK", "SET", "a", "1")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.replicaReads()
	f.away(2)
	const declined = "-MASTERDOWN no master was available for 300ms; the command was not sent\r\n"
	c := f.dial()
	steps := [][2]string{
		{"GET a", "$1\r\n1\r\n"}, {"SET a 2", declined}, {"GET a", "$1\r\n1\r\n"}, {"INCR a", declined}, {"PING", "+PONG\r\n"}, {"SELECT 1", declined},
		{"AUTH default x", declined}, {"HELLO 3", declined}, {"BLPOP l 0", declined}, {"SUBSCRIBE c", declined}, {"CLIENT GETNAME", "$-1\r\n"},
		{"MULTI", declined}, {"INFO", declined}, {"WAIT 1 0", declined}, {"EXEC", "-ERR EXEC without MULTI\r\n"}, {"GET a", "$1\r\n1\r\n"},
	}
	var all []byte
	for _, step := range steps {
		all = append(all, request(strings.Fields(step[0])...)...)
	}
	c.send(all)
	for _, step := range steps {
		if got := c.reply(); got != step[1] {
			t.Fatalf("%s: %q instead of %q", step[0], got, step[1])
		}
	}
	block := f.dial()
	block.send(append(append(append(request("MULTI"), request("SET", "a", "3")...), request("EXEC")...), request("PING")...))
	for _, want := range []string{declined, declined, declined, "+PONG\r\n"} {
		if got := block.reply(); got != want {
			t.Fatalf("%q instead of %q", got, want)
		}
	}
	f.back(2, f.master(), f.cluster.Nodes[1:]...)
	c.expect(":2", "INCR", "a")
	block.expect("$1\r\n2", "GET", "a")
}

func TestATransactionDeclinedInTheMiddleIsAborted(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.HoldTimeout = 200 * time.Millisecond })
	c, watching := f.dial(), f.dial()
	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "SET", "a", "1")
	watching.expect("+OK", "WATCH", "a")
	f.away(2)
	c.expect("+QUEUED", "SET", "a", "2") // nothing is needed for that
	c.expect("-MASTERDOWN no master was available for 200ms; the command was not sent", "EXEC")
	c.expect("-ERR EXEC without MULTI", "EXEC")
	watching.expect("+OK", "MULTI")
	watching.expect("+QUEUED", "SET", "a", "1")
	watching.expect("*-1", "EXEC")
	f.back(2, f.master(), f.cluster.Nodes[1:]...)
	c.expect("$-1", "GET", "a")
}

func TestAMasterThatHasBecomeAReplicaIsNotBelieved(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	old, heir := f.cluster.Nodes[0], f.cluster.Nodes[1]
	plain, block, spread, watching, script, blocked := f.dial(), f.dial(), f.dial(), f.dial(), f.dial(), f.dial()
	plain.expect(":1", "INCR", "n")
	spread.expect("+OK", "MULTI")
	spread.expect("+QUEUED", "INCR", "n")
	watching.expect("+OK", "WATCH", "n")
	watching.expect("+OK", "MULTI")
	watching.expect("+QUEUED", "INCR", "n")
	script.expect("+PONG", "PING")
	blocked.send(request("BLPOP", "queue", "0"))
	waitBlocked(t, old, 1)
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, heir, "REPLICAOF", "NO", "ONE")
	must(t, old, "REPLICAOF", "127.0.0.1", heir.Port)
	testcluster.WaitFor(t, "the roles to have changed", func() bool { return len(f.cluster.Replicas()) == 1 })

	plain.send(append(request("INCR", "n"), request("ECHO", "behind")...))
	block.send(append(append(request("MULTI"), request("INCR", "n")...), request("EXEC")...))
	spread.send(request("EXEC"))
	watching.send(request("EXEC"))
	for _, c := range []*client{plain, block, spread, blocked} {
		f.held(c)
	}
	f.back(2, heir, old)
	if got := plain.reply(); got[0] != ':' {
		t.Errorf("INCR: %q", got)
	}
	plain.receives("$6\r\nbehind")
	for _, want := range []string{"+OK", "+QUEUED", "*1\r\n:"} {
		if got := block.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("%q instead of %q", got, want)
		}
	}
	if got := spread.reply(); !strings.HasPrefix(got, "*1\r\n:") {
		t.Errorf("EXEC: %q", got)
	}
	if got := watching.reply(); got != "*-1\r\n" {
		t.Errorf("EXEC with watched keys: %q", got)
	}
	plain.expect("$1\r\n4", "GET", "n")
	waitBlocked(t, heir, 1)
	plain.expect(":1", "RPUSH", "queue", "job")
	if got := blocked.reply(); got != "*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n" {
		t.Errorf("BLPOP: %q", got)
	}
	if n, err := redis.String(heir.Do("GET", "n")); err != nil || n != "4" {
		t.Errorf("the new master has %q, %v", n, err)
	}
}

func TestAScriptThatMeetsADemotedMasterIsNotRepeated(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	old, heir := f.cluster.Nodes[0], f.cluster.Nodes[1]
	c := f.dial()
	c.expect(":1", "EVAL", "return redis.call('INCR',KEYS[1])", "1", "n")
	must(t, heir, "REPLICAOF", "NO", "ONE")
	must(t, old, "REPLICAOF", "127.0.0.1", heir.Port)
	if got := c.do("EVAL", "return redis.call('INCR',KEYS[1])", "1", "n"); !strings.HasPrefix(got, "-READONLY") {
		t.Errorf("%q", got)
	}
}

func TestAReplicaThatCannotServeIsPassedOver(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2, "--replica-serve-stale-data", "no"), nil)
	f.dial().expect("+OK", "SET", "a", "1")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	port, release, err := testcluster.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	readers := []*client{f.dial(), f.dial(), f.dial()}
	for i, node := range f.cluster.Nodes[1:] {
		must(t, node, "REPLICAOF", "127.0.0.1", port) // nobody is there: the link is down
		for range 200 {
			for _, c := range readers {
				c.expect("$1\r\n1", "GET", "a")
			}
		}
		t.Logf("%d of 2 replicas answered -MASTERDOWN", i+1)
	}
	c := f.dial()
	c.send(append(append(request("GET", "a"), request("STRLEN", "a")...), request("EXISTS", "a")...))
	for _, want := range []string{"$1\r\n1\r\n", ":1\r\n", ":1\r\n"} {
		if got := c.reply(); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestWritesWaitWhileTheReplicasOfANewMasterAreOnTheirWay(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	old, heir := f.cluster.Nodes[0], f.cluster.Nodes[1]
	c := f.dial()
	c.expect("+OK", "SET", "a", "1")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, heir, "CONFIG", "SET", "min-replicas-to-write", "1")
	must(t, heir, "REPLICAOF", "NO", "ONE")
	f.away(2)
	c.send(append(append(append(append(append(request("INCR", "a"), request("MULTI")...), request("INCR", "a")...), request("EXEC")...), request("PING")...), request("INCR", "a")...))
	f.back(3, heir)
	f.held(c)
	must(t, old, "REPLICAOF", "127.0.0.1", heir.Port)
	for _, want := range []string{":2\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n:3\r\n", "+PONG\r\n", ":4\r\n"} {
		if got := c.reply(); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}
