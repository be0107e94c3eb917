package session

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// This file is about a State that comes in the middle of a session's work, and would take away what the session is about to use.

// unseen publishes a State with another master, which the loop takes in when it has done what it is about to do.
func (w *world) unseen(epoch uint64, master string, replicas ...string) {
	w.t.Helper()
	env := w.env
	w.env = nil
	w.state(epoch, topology.Stable, master, replicas...)
	w.env, w.grant = env, topology.Grant{Epoch: epoch}
	w.Post(env.Pool.Refresh) // as the process does when the coordinator tells it
}

// midway are requests in the middle of which a State may come, and what the client gets.
var midway = []struct {
	name     string
	before   func(w *world, c *fakeConn)
	requests []string
	replies  []string // nil: the client is closed
}{
	{"a read", nil, []string{"GET a"}, []string{"+GET\r\n"}},
	{"a read of replicas that are slow", func(w *world, _ *fakeConn) {
		for range 20 {
			w.client().sends("GET a")
		}
		w.wait(tooSlow)
	}, []string{"GET a"}, []string{"+GET\r\n"}},
	{"a write", nil, []string{"INCR a"}, []string{"+INCR\r\n"}},
	{"a pipeline", nil, []string{"GET a", "INCR a", "GET a"}, []string{"+GET\r\n", "+INCR\r\n", "+GET\r\n"}},
	{"a block", nil, []string{"MULTI", "INCR a", "EXEC"}, []string{"+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n"}},
	{"a blocking command on a pin of the stock", func(w *world, c *fakeConn) { c.has("WATCH a", "UNWATCH") }, []string{"BLPOP a 0"}, []string{"+BLPOP\r\n"}},
	{"a script", func(w *world, c *fakeConn) { w.env.Scripts.Remember([]byte("return 1")) }, []string{evalsha}, []string{"+EVALSHA\r\n"}},
	{"a script in a transaction", func(w *world, c *fakeConn) {
		w.client().has("SUBSCRIBE a") // which goes to the next master first
		c.has("MULTI")
		w.env.Scripts.Remember([]byte("return 1"))
	}, []string{evalsha, "EXEC"}, []string{"+QUEUED\r\n", "*1\r\n:1\r\n"}},
	{"a script of a client with MONITOR", func(w *world, c *fakeConn) {
		w.client().has("SUBSCRIBE a")
		c.has("MONITOR")
		w.env.Scripts.Remember([]byte("return 1"))
	}, []string{evalsha}, nil},
	{"a subscription of a client with MONITOR", func(w *world, c *fakeConn) {
		c.session.regroup(upstream.Key{Proto: 3})
		c.has("MONITOR")
	}, []string{"SUBSCRIBE a"}, nil},
	{"tracking", func(w *world, c *fakeConn) { c.has("HELLO 3") }, []string{"CLIENT TRACKING ON", "GET a"}, []string{"+CLIENT\r\n", "+GET\r\n"}},
}

// evalsha runs a script that does nothing much.
var evalsha = fmt.Sprintf("EVALSHA %x 0", sha1.Sum([]byte("return 1")))

// tooSlow is how long a replica must not leave a read unanswered.
const tooSlow = 60 * time.Millisecond

// Each request is made again and again, and each time the State comes at another one of the moments at which anything looks for
// it: with a grant, or a moment before it.
func TestAStateMayComeAtAnyMomentOfARequest(t *testing.T) {
	for _, m := range midway {
		for _, granted := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, granted=%t", m.name, granted), func(t *testing.T) {
				for at, looks := 1, 1; at <= looks; at++ {
					w := newWorld(t)
					c := w.client()
					if m.before != nil {
						m.before(w, c)
					}
					c.received, looks = "", 0
					w.onLook = func() {
						if looks++; looks == at {
							if w.unseen(2, "r1", "m", "r2"); !granted {
								w.grant = topology.Grant{}
							}
						}
					}
					c.sends(m.requests...)
					w.serve()
					if !granted && looks >= at {
						w.grant = topology.Grant{Epoch: 2}
						w.wait(10 * time.Millisecond)
						w.serve()
					}
					w.onLook = nil
					c.gotAll(m.replies, at, looks)
				}
			})
		}
	}
}

// gotAll checks that a client got a reply to each request, or the news that it cannot be known what has become of it; or is closed.
func (c *fakeConn) gotAll(replies []string, at, looks int) {
	c.world.t.Helper()
	if replies == nil {
		if looks >= at && !c.closed {
			c.world.t.Errorf("at look %d of %d: the client is not closed", at, looks)
		}
		return
	}
	rest := strings.Replace(c.received, ">2\r\n$10\r\ninvalidate\r\n_\r\n", "", 1) // of a connection with tracking that was lost
	for _, reply := range replies {
		after, ok := strings.CutPrefix(rest, reply)
		if !ok && (len(replies) > 1 || !strings.HasPrefix(reply, "+GET")) {
			after, ok = strings.CutPrefix(rest, unknownResult)
		}
		if rest = after; !ok {
			break
		}
	}
	if c.closed || rest != "" || c.received == "" {
		c.world.t.Errorf("at look %d of %d: %q instead of %q, closed=%t", at, looks, c.received, replies, c.closed)
	}
}

// has sends requests that are answered, whatever by.
func (c *fakeConn) has(requests ...string) {
	c.world.t.Helper()
	c.sends(requests...)
	c.world.serve()
	if c.received == "" {
		c.world.t.Fatalf("%v is not answered", requests)
	}
	c.received = ""
}

func TestTrackingThatLosesItsConnectionBeforeItIsOnIsBegunAnew(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.session.regroup(upstream.Key{Proto: 3})
	c.sends("CLIENT TRACKING ON")
	w.accept("m").answers("-READONLY You can't write against a read only replica.\r\n", "CLIENT TRACKING ON")
	c.gets("")
	w.unseen(2, "r1", "m", "r2")
	c.session.Resume()
	w.turn()
	w.acceptAll()
	w.has("CLIENT TRACKING ON").answers("+OK\r\n", "CLIENT TRACKING ON")
	c.gets("+OK\r\n")
}

func TestAClientThatIsClosedWhileItBeginsToListenIsNotListenedFor(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.session.regroup(upstream.Key{Proto: 3})
	c.sends("MONITOR")
	w.accept("m").answers("+OK\r\n", "MONITOR")
	c.gets("+OK\r\n")
	w.unseen(2, "r1", "m")
	if c.sends("SUBSCRIBE a"); !c.closed {
		t.Fatal("the client is not closed though what it watches is gone")
	}
	for len(w.dials) > 0 {
		if hub := w.accept(w.dials[0].addr); hub.received != "" {
			t.Errorf("%q is sent for nobody", hub.received)
		}
	}
}

func TestAQuestionIsAskedAnewIfAnotherMasterComesBeforeWhatIsToFollowIt(t *testing.T) {
	w := newWorld(t)
	w.version = "7.2.4"
	w.unseen(2, "r1", "m", "r2")
	w.look()
	w.acceptAll()
	c := w.client()
	c.session.regroup(upstream.Key{Proto: 2, User: "bob", Password: "secret"})
	c.sends("WAIT 1 0")
	lane := w.accept("r1")
	answered := c.session.await.reply
	c.session.await.reply = func(conn *upstream.Conn, frame []byte) {
		w.unseen(3, "m", "r1", "r2")
		answered(conn, frame)
	}
	lane.answers(":2\r\n", "WAIT 0 0")
	w.acceptAll()
	w.has("WAIT 0 0").answers(":2\r\n", "WAIT 0 0")
	w.acceptAll()
	w.has("WAIT 1 0").says("+OK\r\n:1\r\n")
	c.gets(":1\r\n")
}
