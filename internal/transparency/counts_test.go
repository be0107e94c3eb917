package transparency

import (
	"math/rand/v2"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
)

// counting is a client that counts what it asks for as the proxy should.
type counting struct {
	t                       *testing.T
	conn                    redis.Conn
	requests, reads, writes uint64
}

// ask sends requests together, and takes their replies.
func (c *counting) ask(reads, writes uint64, requests ...[]any) (last any) {
	c.t.Helper()
	for _, r := range requests {
		if err := c.conn.Send(r[0].(string), r[1:]...); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.conn.Flush(); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range requests {
		var err error
		if last, err = c.conn.Receive(); err != nil && r[0] != "OBJECT" {
			c.t.Fatalf("%v: %v", r, err)
		}
	}
	c.requests += uint64(len(requests))
	c.reads += reads
	c.writes += writes
	return last
}

// scan goes through all keys.
func (c *counting) scan() {
	c.t.Helper()
	for cursor := "0"; ; {
		reply, err := redis.Values(c.ask(1, 0, []any{"SCAN", cursor, "COUNT", 3}), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		if cursor, err = redis.String(reply[0], nil); err != nil || cursor == "0" {
			return
		}
	}
}

func TestTheCountersOfAMixedLoadTellOfEveryReadOnceAndWhyItWentToTheMaster(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	meter := proxy.NewMeter(f.proxy)
	clients := make([]*counting, 6)
	for i := range clients {
		conn, err := redis.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		clients[i] = &counting{t: t, conn: conn}
	}
	clients[0].ask(0, 0, []any{"CLIENT", "TRACKING", "ON"})
	get, set := []any{"GET", "k"}, []any{"SET", "k", "v"}
	multi, exec := []any{"MULTI"}, []any{"EXEC"}
	loads := []func(c *counting){
		func(c *counting) { c.ask(2, 0, get, []any{"MGET", "k", "l"}) },
		func(c *counting) { c.ask(2, 1, get, set, get) },
		func(c *counting) { c.ask(0, 1, set); c.ask(1, 0, get) },
		func(c *counting) { c.ask(2, 0, []any{"OBJECT", "FREQ", "k"}, get) },
		func(c *counting) { c.ask(1, 1, multi, get, set, exec) },
		func(c *counting) { c.ask(0, 0, multi); c.ask(1, 1, get, set); c.ask(0, 0, exec) },
		func(c *counting) { c.ask(0, 0, []any{"WATCH", "k"}); c.ask(1, 0, get); c.ask(0, 0, []any{"UNWATCH"}) },
		func(c *counting) { c.ask(1, 0, []any{"XREAD", "BLOCK", 1, "STREAMS", "s", "$"}) },
		func(c *counting) { c.ask(0, 1, []any{"BLPOP", "nothing", 0.01}) },
		func(c *counting) {
			c.ask(0, 1, []any{"EVAL", "return 1", 0})
			c.ask(1, 0, []any{"EVAL_RO", "return 1", 0})
		},
		func(c *counting) {
			c.ask(0, 0, []any{"PING"})
			c.ask(0, 0, []any{"CLIENT", "ID"})
			c.ask(1, 0, []any{"INFO", "server"})
		},
		func(c *counting) {
			c.ask(0, 0, []any{"PROXY", "READ", "master"})
			c.ask(2, 0, get, get)
			c.ask(0, 0, []any{"PROXY", "READ", "split"})
		},
		(*counting).scan,
	}
	testcluster.WaitFor(t, "a replica that answers reads", func() bool {
		clients[1].ask(1, 0, get)
		return meter.Traffic().Sessions.Reads > 0
	})
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		loads[random.IntN(len(loads))](clients[random.IntN(len(clients))])
	}

	var want session.Stats
	for _, c := range clients {
		want.Requests += c.requests
		want.Reads += c.reads
		want.Writes += c.writes
	}
	var got session.Stats
	testcluster.WaitFor(t, "as many requests to be counted as were asked for", func() bool {
		got = meter.Traffic().Sessions
		return got.Requests == want.Requests
	})
	if got.Redone > 0 {
		t.Fatal("something was sent again, and counted again: the nodes were disturbed")
	}
	if reads := got.Reads + got.MasterReads(); reads != want.Reads || got.Writes != want.Writes {
		t.Errorf("counted are %d reads and %d writes, and asked for were %d and %d", reads, got.Writes, want.Reads, want.Writes)
	}
	for _, reason := range []freshness.Reason{freshness.ByCommand, freshness.ByPolicy, freshness.BehindWrite, freshness.ByTransaction,
		freshness.ByBlocking, freshness.ByTracking} {
		if got.MasterReadsBy[reason] == 0 {
			t.Errorf("no read was counted for the reason %s", reason)
		}
	}
}
