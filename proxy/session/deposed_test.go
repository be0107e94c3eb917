package session

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// fence raises a planned fence as the coordinator does, from another goroutine: the loop does not know of it before it
// looks.
func fence(w *world) {
	s := *w.snapshot.State
	s.Epoch, s.Phase, s.Failover = 2, topology.Fencing, &topology.Failover{Planned: true}
	w.snapshot = topology.Snapshot{State: &s, Version: w.snapshot.Version + 1}
	w.grant = topology.Grant{}
}

func TestAReplyOfAMasterThatMayBeDeposedIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.env.Config.Policy = Strong
	c, m := sent(w, "INCR a", "GET a")
	w.grant = topology.Grant{} // the lease has ended: another member may have promoted somebody
	m.says(":1\r\n$1\r\n1\r\n")
	w.grant = topology.Grant{Epoch: 1} // nobody was promoted after all
	w.wait(10 * time.Millisecond)
	again := w.link("m")
	again.getsRequests("GET a")
	again.says("$1\r\n1\r\n")
	c.gets(unknownResult + "$1\r\n1\r\n")
}

func TestReadsOfAMasterThatMayBeDeposedAreAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.env.Config.Policy = Strong
	c, m := sent(w, "GET a", "GET a")
	w.grant = topology.Grant{}
	m.says("$3\r\nold\r\n$3\r\nold\r\n")
	c.gets("")
	w.inherits("r", "m")
	r := w.link("r")
	r.getsRequests("GET a", "GET a")
	r.says("$3\r\nnew\r\n$3\r\nnew\r\n")
	c.gets("$3\r\nnew\r\n$3\r\nnew\r\n")
}

func TestAReplyIsBelievedAlsoIfTheFenceComesWhileItIsRead(t *testing.T) {
	w := newWorld(t)
	c, m := sent(w, "INCR a")
	w.onGrant = func() { fence(w) } // after the loop has looked at the State
	m.says(":1\r\n")
	c.gets(":1\r\n")
	if w.onGrant != nil {
		t.Fatal("the fence was not raised")
	}
}

func TestAReplyThatWasReadAfterTheLeaseIsNotBelievedHoweverLongAgoTheTurnBegan(t *testing.T) {
	for _, c := range []struct {
		name  string
		acks  int
		raise func(w *world)
	}{
		{"behind a fence", 0, func(w *world) { fence(w); w.look() }},
		{"with a fence that comes meanwhile", 0, func(w *world) { w.onGrant = func() { fence(w) } }},
		{"of a durable write, behind a fence", 1, func(w *world) { fence(w); w.look() }},
	} {
		for _, stopped := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond} {
			w := newDurableWorld(t, c.acks)
			w.grant.Until = w.now.Add(time.Second)
			client, m := sent(w, "INCR a")
			c.raise(w)
			w.stopped = stopped // the process is stopped in the turn in which it reads the reply
			m.says(":1\r\n")
			if c.acks > 0 {
				w.reaches(c.acks)
			}
			want := ":1\r\n"
			if stopped > time.Second {
				want = unknownResult
			}
			if client.received != want {
				t.Errorf("%s, stopped for %v: %q, want %q", c.name, stopped, client.received, want)
			}
		}
	}
}

func TestRepliesOfAMasterThatIsBeingReplacedInOrderAreBelieved(t *testing.T) {
	w := newWorld(t)
	c, m := sent(w, "INCR a")
	fence(w)
	w.look()
	if len(w.fenced) > 0 {
		t.Fatal("the fence was acknowledged with a write in flight")
	}
	m.says(":1\r\n")
	c.gets(":1\r\n")
	if len(w.fenced) != 1 {
		t.Fatalf("fences acknowledged: %v", w.fenced)
	}
	c.sends("INCR a")
	c.gets("")
	heir := w.inherits("r1", "r2")
	heir.getsRequests("INCR a")
	heir.says(":2\r\n")
	c.gets(":2\r\n")
}
