package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// bulk is a value of that many bytes, as a server sends it.
func bulk(size int) string { return fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("v", size)) }

// many are n times the same request.
func many(n int, request string) []string { return slices.Repeat([]string{request}, n) }

// taughtSmall is a client that has had n small replies, so that its session expects no others.
func taughtSmall(w *world, n int) *fakeConn {
	w.t.Helper()
	c := w.client()
	for range n {
		readsAt(c, "GET s")
	}
	return c
}

func TestAWriteDoesNotWaitBehindReadsOfOthers(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m") // which serves reads, too
	reader, writer := taughtSmall(w, 1000), w.client()
	reader.sends(many(400, "GET a")...)
	writer.sends("INCR b")
	if lane := w.has("INCR b"); lane == w.has("GET a") {
		t.Error("it was sent behind them")
	} else {
		lane.answers(":1\r\n", "INCR b")
	}
	writer.gets(":1\r\n")
}

func TestAWriteBehindManyReadsOfItsOwnSessionDoesNotKeepTheirRepliesFromBeingPaused(t *testing.T) {
	for _, name := range []string{"whole", "in parts"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env.Config.OutputLimit = 16 << 20
			w.state(1, topology.Stable, "m")
			slow, quick := taughtSmall(w, 1500), w.client()
			value := bulk(map[string]int{"whole": 500_000, "in parts": 2_000_000}[name])
			slow.room = 0
			slow.sends(append(many(60, "GET a"), "SET own 2")...)
			want := strings.Repeat(value, 60) + "+OK\r\n"
			for i := 0; len(slow.received) < len(want); i++ {
				if slow.closed || i > 1000 {
					t.Fatalf("closed: %v, after %d bytes", slow.closed, len(slow.received))
				}
				quick.sends("INCR b")
				w.acceptAll()
				w.has("INCR b").handleAll(map[string]string{"GET a": value, "INCR b": ":1\r\n", "SET own 2": "+OK\r\n"})
				quick.gets(":1\r\n")
				for _, link := range w.links {
					link.handleAll(map[string]string{"GET a": value, "SET own 2": "+OK\r\n"})
				}
				if left := slow.session.out.Len(); left > hardOutput+len(value) {
					t.Fatalf("%d bytes are kept for a client that does not read them", left)
				}
				slow.takes(len(value))
			}
			if slow.received != want {
				t.Error("the replies are not those that were asked for")
			}
		})
	}
}

func TestReadsThatWaitBehindLargeRepliesAreAskedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m", "r1")
	large, other := taughtSmall(w, 500), w.client()
	large.sends(many(100, "GET a")...)
	other.sends("GET b")
	first := w.has("GET b")
	if first != w.has("GET a") {
		t.Fatal("they are on different lanes from the start")
	}
	first.received = strings.TrimPrefix(first.received, encoded("GET a"))
	first.says(bulk(100_000)) // and its client reads it at once: nothing piles up
	second := w.accept("r1")
	second.answers("$1\r\nb\r\n", "GET b")
	other.gets("$1\r\nb\r\n")
	// From now on the session is by itself, for a while, whatever the size of its replies is.
	large.received = ""
	first.says(strings.Repeat("$1\r\ns\r\n", 99))
	if !first.closed { // the reply that is still to come is for nobody any more
		t.Error("the lane has not ended")
	}
	large.received = ""
	large.sends("GET c")
	own := w.accept("r1")
	own.answers("$1\r\nc\r\n", "GET c")
	for range 100 {
		large.received = ""
		large.sends("GET c")
		own.answers("$1\r\nc\r\n", "GET c")
	}
	w.wait(apartFor)
	large.received = ""
	large.sends("GET d")
	second.answers("$1\r\nd\r\n", "GET d")
	if !own.closed {
		t.Error("the session's own connection remains")
	}
}

func TestConnectionsForSessionsWithLargeRepliesAreBounded(t *testing.T) {
	const bound = 64
	w := newWorldWith(t, 0, func(cfg *upstream.Config) { cfg.MaxApart = bound })
	w.state(1, topology.Stable, "m", "r1")
	var clients []*fakeConn
	for range 2 * bound {
		c := w.client()
		c.sends("GET a")
		w.has("GET a").answers(bulk(loneReply), "GET a")
		c.received = ""
		clients = append(clients, c)
	}
	before := len(w.links)
	for _, c := range clients { // all at once
		c.sends("GET a")
	}
	w.acceptAll()
	if n := len(w.links) - before; n != bound {
		t.Errorf("%d connections were opened", n)
	}
	for _, link := range w.links {
		link.handleAll(map[string]string{"GET a": bulk(loneReply)})
	}
	for i, c := range clients {
		if c.received != bulk(loneReply) {
			t.Fatalf("client %d got %d bytes", i, len(c.received))
		}
	}
	// One that rests makes room for another.
	late := w.client()
	w.wait(time.Second)
	late.sends("GET b")
	w.has("GET b").answers(bulk(loneReply), "GET b")
	late.received = ""
	late.sends("GET c")
	w.accept("r1").answers("$1\r\nc\r\n", "GET c")
	late.gets("$1\r\nc\r\n")
}

func TestASessionThatShouldHaveAConnectionOfItsOwnAndHasNoneAsksOneAtATime(t *testing.T) {
	w := newWorldWith(t, 0, func(cfg *upstream.Config) { cfg.MaxApart = 1 })
	w.state(1, topology.Stable, "m", "r1")
	for _, name := range []string{"a", "b"} {
		c := taughtSmall(w, 100)
		c.sends("GET " + name)
		w.has("GET "+name).answers(bulk(loneReply), "GET "+name)
		c.received = ""
		c.sends(many(20, "GET "+name)...)
	}
	w.accept("r1").getsRequests(many(20, "GET a")...)
	for range 20 {
		w.has("GET b").answers(bulk(loneReply), "GET b")
	}
}

func TestANewSessionWhoseRequestsAreGivenBackAsksOneAtFirst(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m", "r1")
	large, next := w.client(), w.client()
	large.sends(many(20, "GET a")...)
	next.sends(many(20, "GET b")...)
	lane := w.has("GET a")
	if lane != w.has("GET b") {
		t.Fatal("they do not share a lane")
	}
	lane.says(bulk(loneReply))
	second := w.accept("r1")
	second.answers("$1\r\nb\r\n", "GET b") // the servers are not asked for twenty replies of unknown size twice
	second.answers(strings.Repeat("$1\r\nb\r\n", 2), many(2, "GET b")...)
	second.answers(strings.Repeat("$1\r\nb\r\n", 4), many(4, "GET b")...)
	second.answers(strings.Repeat("$1\r\nb\r\n", 8), many(8, "GET b")...)
	second.answers(strings.Repeat("$1\r\nb\r\n", 5), many(5, "GET b")...)
	next.gets(strings.Repeat("$1\r\nb\r\n", 20))
}

func TestLargeRepliesToAClientThatHasGoneAreNotReadToTheEnd(t *testing.T) {
	for name, first := range map[string]bool{"it goes before the first": true, "it goes between two of them": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.state(1, topology.Stable, "m", "r1")
			gone, stays := w.client(), taughtSmall(w, 1)
			gone.sends(many(20, "GET a")...)
			lane := w.has("GET a")
			stays.sends("GET b")
			if lane != w.has("GET b") {
				t.Fatal("they do not share a lane")
			}
			if first {
				gone.dies()
			}
			lane.says(bulk(loneReply))
			if !first {
				if lane.closed {
					t.Fatal("the lane was closed before the client had gone")
				}
				gone.dies()
			}
			if !lane.closed {
				t.Error("what is still to come for it is waited for")
			}
			w.accept("r1").answers("$1\r\nb\r\n", "GET b")
			stays.gets("$1\r\nb\r\n")
		})
	}
}

func TestAWriteOfAnotherIsAnsweredOnTheLaneOfAClientThatHasGone(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m")
	gone, writer := w.client(), w.client()
	gone.sends(append([]string{"SET own 1"}, many(8, "GET a")...)...)
	lane := w.has("SET own 1")
	writer.sends("INCR b")
	lane.getsRequests(append(append([]string{"SET own 1"}, many(8, "GET a")...), "INCR b")...)
	gone.dies()
	lane.says("+OK\r\n" + strings.Repeat(bulk(loneReply), 8))
	if lane.closed {
		t.Fatal("the lane was closed")
	}
	lane.says(":1\r\n")
	writer.gets(":1\r\n")
	if !lane.closed {
		t.Error("the lane is kept")
	}
}

func TestALargeReplyThatCannotBePausedIsBrokenOffAndGoesOnLater(t *testing.T) {
	w := newWorld(t)
	w.env.Config.OutputLimit = 16 << 20
	slow, quick := w.client(), w.client()
	slow.room = 0
	slow.sends("SET own 1", "GET a") // the write keeps the read on the lane of the writes
	quick.sends("INCR b")
	m := w.has("INCR b")
	m.getsRequests("SET own 1", "GET a", "INCR b")
	value := bulk(40 << 20)
	m.received = encoded("GET a")
	m.says("+OK\r\n")
	m.handleAll(map[string]string{"GET a": value})
	m.says(":1\r\n")
	quick.gets(":1\r\n")
	slow.takesAll(len("+OK\r\n"+value), map[string]string{"GET a": value})
	slow.gets("+OK\r\n" + value)
}

func TestRequestsThatAreNotAnsweredAreBoundedByTheirBytes(t *testing.T) {
	set := "SET a " + strings.Repeat("v", 100_000)
	for name, first := range map[string]string{"ordinary": "", "transaction": "MULTI", "attached": "CLIENT TRACKING ON"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			if first != "" {
				c.sends("HELLO 3")
				w.serve()
				c.received = ""
				c.sends(first)
				w.serve()
				c.received = ""
			}
			c.room = 0
			const n = 50
			for range n {
				c.handler.Data([]byte(encoded(set))) // whatever it has asked for
			}
			w.turn()
			if size := len(w.has(set).received); size > maxRequestBytes+len(encoded(set)) {
				t.Errorf("%d bytes were sent before any answer", size)
			}
			w.serve()
			c.room = 1 << 30
			c.handler.Flush()
			w.serve()
			if got := strings.Count(c.received, "\r\n"); got != n {
				t.Errorf("%d answers", got)
			}
			if s := c.session; s.underway != 0 {
				t.Errorf("%d bytes count as under way when nothing is", s.underway)
			}
		})
	}
}

func TestAnAttachedSessionHasAsManyRequestsUnderWayAsAnyOther(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("HELLO 3")
	w.serve()
	c.received = ""
	c.sends("CLIENT TRACKING ON")
	w.serve()
	c.received = ""
	c.handler.Data([]byte(encoded(many(3*maxOutstanding, "GET a")...)))
	w.turn()
	if n := strings.Count(w.has("GET a").received, "GET"); n > maxOutstanding {
		t.Errorf("%d requests were sent before any answer", n)
	}
	w.serve()
	c.gets(strings.Repeat("+GET\r\n", 3*maxOutstanding))
}

func TestAClientThatDoesNotReadDoesNotKeepAPlannedFenceWaitingForItsWrite(t *testing.T) {
	w := newWorld(t)
	w.planned = true
	slow := w.client()
	slow.room = 0
	slow.sends("SET own 1", "GET a", "GET a", "GET a", "GET a", "GET a", "GET a", "SET own 2")
	m := w.has("SET own 1")
	m.received = ""
	w.state(2, topology.Fencing, "m", "r1", "r2")
	m.says("+OK\r\n")
	for range 6 {
		m.says(bulk(1 << 20))
	}
	m.says("+OK\r\n")
	if len(w.fenced) != 1 {
		t.Errorf("fenced: %v", w.fenced)
	}
	slow.takes(1 << 30)
	slow.gets("+OK\r\n" + strings.Repeat(bulk(1<<20), 6) + "+OK\r\n")
}
