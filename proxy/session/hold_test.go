package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// headless is a world without a master.
func headless(t *testing.T) *world {
	w := newWorld(t)
	w.grant = topology.Grant{}
	w.state(2, topology.Fencing, "m", "r1", "r2")
	w.turn()
	return w
}

// wantHeld fails unless that many clients wait for a master.
func (w *world) wantHeld(n int) {
	w.t.Helper()
	if held := w.env.Pool.Held(); held != n {
		w.t.Errorf("%d clients wait, want %d", held, n)
	}
}

func TestAClientThatLeavesWhileThereIsNoMasterIsForgotten(t *testing.T) {
	w := headless(t)
	var clients []*fakeConn
	for range 5 {
		c := w.client()
		c.sends("SET k v")
		clients = append(clients, c)
	}
	w.wantHeld(5)
	for left, i := range []int{2, 0, 4, 1, 3} { // from within, the beginning, the end
		clients[i].dies()
		w.wantHeld(4 - left)
	}
	w.wait(w.env.Config.HoldTimeout) // nobody is left to give up
	w.wantHeld(0)
}

func TestAClientThatHasWaitedInVainCountsNoMoreAndWaitsAgainForTheNextMaster(t *testing.T) {
	w := headless(t)
	c := w.client()
	c.sends("SET k v")
	w.wait(w.env.Config.HoldTimeout)
	c.gets("-MASTERDOWN no master was available for 10s; the command was not sent\r\n")
	w.wantHeld(0)
	c.sends("SET k v")
	c.gets("-MASTERDOWN no master was available for 10s; the command was not sent\r\n")
	w.wantHeld(0)
	w.state(2, topology.Promoting, "r1", "r2")
	w.turn()
	c.sends("SET k v")
	c.gets("")
	w.wantHeld(1)
}

func TestABlockingCommandThatEndsWithoutAMasterLeavesNothingBehind(t *testing.T) {
	w := headless(t)
	c := w.client()
	wait := func(rounds int) {
		for range rounds {
			c.sends("BLPOP k 1")
			w.wantHeld(1)
			w.wait(time.Second)
			c.gets("*-1\r\n")
			w.wantHeld(0)
		}
	}
	wait(int(w.env.Config.HoldTimeout/time.Second) + 2) // for longer together than any of them may wait
	c.sends("SET k v")
	w.wait(w.env.Config.HoldTimeout - time.Second)
	c.gets("")
	w.wait(time.Second)
	c.gets("-MASTERDOWN no master was available for 10s; the command was not sent\r\n")
	wait(2) // no errors in its place at once, which a worker would ask for again and again
}

func TestASubscriberWhoListensIsNoClientThatWaits(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("SUBSCRIBE a")
	hub := w.accept("m")
	hub.getsRequests("SUBSCRIBE a")
	hub.says("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
	c.gets("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
	w.grant = topology.Grant{}
	w.state(2, topology.Fencing, "m", "r1", "r2")
	hub.dies()
	w.wantHeld(0)
}

func TestWhoWaitsInVainForAGrantIsToldThatItIsNotTheMaster(t *testing.T) {
	w := newWorld(t)
	w.grant = topology.Grant{}
	c := w.client()
	c.sends("SET k v")
	w.wait(w.env.Config.HoldTimeout)
	c.gets("-MASTERDOWN the master may be well, but no permission to write to it came from ZooKeeper for 10s; the command was not sent\r\n")
}

func TestTheTimeOfAWaitThatWasDeclinedIsNotThatOfTheNextBlockingCommand(t *testing.T) {
	w := newWorld(t)
	w.grant = topology.Grant{}
	w.state(2, topology.Stable, "r1", "m") // of which nobody knows the version yet
	c := w.client()
	c.session.regroup(upstream.Key{Proto: 2, User: "u", Password: "p"})
	c.sends("WAIT 1 100")
	w.wait(w.env.Config.HoldTimeout)
	if !strings.HasPrefix(c.received, "-MASTERDOWN") {
		t.Fatalf("got %q", c.received)
	}
	c.received = ""
	w.grant = topology.Grant{Epoch: 2}
	c.sends("BLPOP k 5")
	w.wait(time.Second)
	w.accept("r1")
	w.has("BLPOP k 5")
}

func TestAWaitThatEndsWithoutAReplyOfANodeIsNoPartOfTheNext(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	r.dies()
	w.wait(time.Millisecond)
	w.wantHeld(1)
	w.state(1, topology.Stable, "m")
	c.gets("-" + cursorLost + "\r\n")
	w.grant = topology.Grant{}
	w.state(2, topology.Fencing, "m")
	w.wait(w.env.Config.HoldTimeout - time.Second)
	c.sends("SET k v")
	w.wait(w.env.Config.HoldTimeout - time.Second)
	c.gets("")
	w.wait(time.Second)
	c.gets("-MASTERDOWN no master was available for 10s; the command was not sent\r\n")
}

func TestInputIsNotReadWhileItCannotBeTaken(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	w.grant.Epoch = 0
	for range 20 {
		if c.paused {
			break
		}
		c.sends("SET a " + strings.Repeat("v", 50_000))
	}
	if !c.paused {
		t.Fatal("a client whose requests are held goes on being read from")
	}
	w.grant.Epoch = 1
	w.wait(time.Second)
	w.state(1, "stable", "m", "r1", "r2")
	w.serve()
	if c.paused {
		t.Error("it is still not read from")
	}
}

func TestARequestThatWaitsForAGrantGoesOnWhenItComesWithoutANewState(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	m := w.link("m")
	w.grant = topology.Grant{}
	c.sends("SET a 1")
	w.wait(100 * time.Millisecond)
	m.getsRequests()
	w.grant = topology.Grant{Epoch: 1}
	w.wait(10 * time.Millisecond)
	m.getsRequests("SET a 1")
	m.says("+OK\r\n")
	c.gets("+OK\r\n")
}

func TestNothingIsSentSoLateInALeaseThatItsReplyMayComeAfterIt(t *testing.T) {
	w := newWorld(t)
	w.lease = time.Second
	w.grant = topology.Grant{Epoch: 1, Until: w.now.Add(w.lease)}
	c := w.client()
	m := w.link("m")
	w.wait(850 * time.Millisecond)
	c.sends("SET a 1")
	m.getsRequests("SET a 1")
	w.wait(100 * time.Millisecond)
	m.says("+OK\r\n")
	c.gets("+OK\r\n") // the lease lasts
	c.sends("SET a 2")
	m.getsRequests()
	w.grant.Until = w.now.Add(w.lease)
	w.wait(10 * time.Millisecond)
	m.getsRequests("SET a 2")
}
