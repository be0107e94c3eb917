package session

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
)

// counted are the reads and writes of a world by where they went, and the reads that went to the master by why.
func (w *world) counted() map[string]uint64 {
	counts := map[string]uint64{}
	note := func(what string, n uint64) {
		if n > 0 {
			counts[what] = n
		}
	}
	note("replica", w.env.Stats.Reads)
	note("writes", w.env.Stats.Writes)
	for reason, n := range w.env.Stats.MasterReadsBy {
		note(freshness.Reason(reason).String(), n)
	}
	return counts
}

// want is what is counted, and the total of the reads at the master with it.
func (w *world) wantCounted(want map[string]uint64) {
	w.t.Helper()
	if got := w.counted(); !maps.Equal(got, want) {
		w.t.Errorf("counted are %v instead of %v", got, want)
	}
	total := uint64(0)
	for what, n := range want {
		if what != "replica" && what != "writes" {
			total += n
		}
	}
	if got := w.env.Stats.MasterReads(); got != total {
		w.t.Errorf("the total is %d reads at the master and the reasons add up to %d", got, total)
	}
}

func TestEveryReadAtTheMasterCountsForTheOneReasonThatSentItThere(t *testing.T) {
	const nilReply = "$-1\r\n"
	pinned := func(c *fakeConn, requests ...string) { // one by one on the session's newest connection to the master
		w := c.world
		for _, r := range requests {
			c.sends(r)
			if len(w.dials) > 0 {
				w.accept("m")
			}
			answer := "+OK\r\n"
			switch {
			case strings.HasPrefix(r, "EXEC"):
				answer = "*0\r\n"
			case strings.HasPrefix(r, "XREAD"):
				answer = "*-1\r\n"
			case strings.HasPrefix(r, "GET"), strings.HasPrefix(r, "BLPOP"):
				answer = nilReply
			case strings.Contains(r, "SCAN"):
				answer = scanned(0)
			}
			w.link("m").answers(answer, r)
		}
	}
	for _, test := range []struct {
		what string
		do   func(w *world, c *fakeConn)
		want map[string]uint64
	}{
		{"at a replica", func(w *world, c *fakeConn) { c.sends("GET a", "GET b") }, map[string]uint64{"replica": 2}},
		{"a command for the master", func(w *world, c *fakeConn) { c.sends("OBJECT FREQ a") }, map[string]uint64{"command": 1}},
		{"reads with and behind a command for the master", func(w *world, c *fakeConn) {
			c.sends("OBJECT FREQ a", "GET a")
			c.sends("GET b")
		}, map[string]uint64{"command": 3}},
		{"the proxy looks at the reply", func(w *world, c *fakeConn) { c.sends("INFO") }, map[string]uint64{"command": 1}},
		{"policy", func(w *world, c *fakeConn) { c.sends("PROXY READ master", "GET a", "GET b") }, map[string]uint64{"policy": 2}},
		{"behind a write", func(w *world, c *fakeConn) {
			c.sends("SET a 1", "GET a")
			c.sends("GET b")
			w.link("m").says("+OK\r\n")
			c.sends("GET c")
		}, map[string]uint64{"behind_write": 3, "writes": 1}},
		{"a written key", func(w *world, c *fakeConn) {
			wrote(w, "SET a 1", "+OK\r\n")
			c.sends("GET a", "GET a")
			c.sends("GET a")
		}, map[string]uint64{"written_key": 3, "writes": 1}},
		{"a session that has seen the master", func(w *world, c *fakeConn) {
			c.sends("SET a 1")
			w.link("m").answers("+OK\r\n", "SET a 1")
			c.sends("GET other")
		}, map[string]uint64{"replica": 1, "writes": 1}},
		{"any key may have been written", func(w *world, c *fakeConn) {
			wrote(w, "FLUSHALL", "+OK\r\n")
			c.sends("GET a")
		}, map[string]uint64{"floor": 1, "writes": 1}},
		{"no replica", func(w *world, c *fakeConn) {
			w.state(1, "stable", "m")
			w.env.Pool.Refresh()
			c.sends("GET a", "GET b")
		}, map[string]uint64{"no_replica": 2}},
		{"a transaction in parts", func(w *world, c *fakeConn) {
			pinned(c, "MULTI", "GET a", "SET b 1", "GET c", "EXEC")
		}, map[string]uint64{"transaction": 2, "writes": 1}},
		{"a transaction as a whole", func(w *world, c *fakeConn) {
			c.sends("MULTI", "GET a", "SET b 1", "SET c 1", "EXEC")
		}, map[string]uint64{"transaction": 1, "writes": 2}},
		{"watched keys", func(w *world, c *fakeConn) {
			pinned(c, "WATCH a", "GET a", "SELECT 3", "HSCAN h 0", "SET b 1", "UNWATCH")
		}, map[string]uint64{"transaction": 2, "writes": 1}},
		{"blocking, and reading", func(w *world, c *fakeConn) {
			pinned(c, "XREAD BLOCK 10 STREAMS s 1-1")
		}, map[string]uint64{"blocking": 1}},
		{"blocking, and writing", func(w *world, c *fakeConn) { pinned(c, "BLPOP l 0") }, map[string]uint64{"writes": 1}},
		{"an iteration that began at the master", func(w *world, c *fakeConn) {
			c.sends(fmt.Sprintf("SCAN %d", packed(5, "m")))
		}, map[string]uint64{"iteration": 1}},
		{"an iteration that began at a replica", func(w *world, c *fakeConn) {
			c.sends(fmt.Sprintf("SCAN %d", packed(5, "r1")))
		}, map[string]uint64{"replica": 1}},
		{"tracking", func(w *world, c *fakeConn) {
			pinned(c, "CLIENT TRACKING ON")
			c.sends("GET a", "GET b")
		}, map[string]uint64{"tracking": 2}},
		{"a connection with state at the server", func(w *world, c *fakeConn) {
			c.sends("MONITOR")
			w.accept("m").answers("+OK\r\n", "MONITOR")
			c.sends("GET a", "SET a 1", "PING", "BITFIELD a GET u8 0", "BITFIELD a SET u8 0 1")
		}, map[string]uint64{"pinned": 2, "writes": 2}},
	} {
		t.Run(test.what, func(t *testing.T) {
			w := newWorld(t)
			w.link("m")
			test.do(w, w.client())
			w.wantCounted(test.want)
		})
	}
}

func TestATransactionThatIsBegunAnewIsNotCountedTwice(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	begin(w, c, "MULTI", "GET a", "INCR b").dies()
	c.sends("EXEC")
	w.accept("m").answers("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$-1\r\n:1\r\n", "MULTI", "GET a", "INCR b", "EXEC")
	c.gets("*2\r\n$-1\r\n:1\r\n")
	w.wantCounted(map[string]uint64{"transaction": 1, "writes": 1})
}

func TestHowLongACommandBlocksSaysNothingOfHowQuickTheMasterIs(t *testing.T) {
	latency := func(w *world) time.Duration {
		for _, n := range w.env.Pool.Nodes() {
			if n.Addr == "m" {
				return n.Latency
			}
		}
		t.Fatal("nothing is known of the master")
		return 0
	}
	for _, test := range []struct {
		first   []string // on the pin
		request string
		counts  bool
	}{
		{nil, "BLPOP l 0", false},
		{nil, "XREAD BLOCK 0 STREAMS s 1-1", false},
		{nil, "WAIT 1 0", false},
		{[]string{"WATCH a"}, "BLPOP l 0", false},
		{[]string{"WATCH a"}, "LPOP l", true},
		{[]string{"MULTI"}, "BLPOP l 0", true}, // within MULTI it does not block
	} {
		w := newWorld(t)
		c := w.client()
		var pin *fakeConn
		if test.first != nil {
			pin = begin(w, c, test.first...)
		}
		c.sends(test.request)
		if pin == nil {
			pin = w.accept("m")
		}
		before := latency(w)
		w.now = w.now.Add(8 * time.Second)
		pin.received = ""
		pin.says("$-1\r\n")
		if test.request == "WAIT 1 0" {
			pin.says("$-1\r\n")
		}
		if after := latency(w); (after > before) != test.counts {
			t.Errorf("after %s, answered in 8 s behind %v, the latency is %v and was %v", test.request, test.first, after, before)
		}
		if c.received == "" {
			t.Errorf("%s was not answered", test.request)
		}
	}
}
