package session

import (
	"fmt"
	"testing"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// This file is about a State that the loop meets in the middle of a session's work, which takes away what the session was about
// to use.

// unseen publishes a State with another master, of which the loop hears in the middle of what it does next.
func (w *world) unseen(epoch uint64, master string, replicas ...string) {
	w.t.Helper()
	env := w.env
	w.env = nil
	w.state(epoch, topology.Stable, master, replicas...)
	w.env, w.grant = env, topology.Grant{Epoch: epoch}
}

func TestATransactionThatLosesItsPinWhileItsScriptIsLookedForGoesOnWithoutIt(t *testing.T) {
	w := newWorld(t)
	listener := w.client()
	listener.sends("SUBSCRIBE a")
	hub := w.accept("m")
	hub.answers(subscribedA, "SUBSCRIBE a")
	c := w.client()
	begin(w, c, "MULTI")
	sha := w.env.Scripts.Remember([]byte("return 1"))
	w.unseen(2, "r1", "m", "r2")
	c.sends(fmt.Sprintf("EVALSHA %x 0", sha))
	c.gets("+QUEUED\r\n")
}

func TestTrackingThatLosesItsConnectionBeforeItIsOnIsBegunAnew(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("HELLO 3")
	w.accept("m").answers("%0\r\n", "HELLO 3")
	c.received = ""
	c.sends("CLIENT TRACKING ON")
	w.accept("m").answers("-READONLY You can't write against a read only replica.\r\n", "CLIENT TRACKING ON")
	c.gets("")
	w.unseen(2, "r1", "m", "r2")
	c.session.Resume()
	w.turn()
	for len(w.dials) > 0 {
		w.accept(w.dials[0].addr)
	}
	w.has("CLIENT TRACKING ON").answers("+OK\r\n", "CLIENT TRACKING ON")
	c.gets("+OK\r\n")
}

func TestAClientWithMONITORThatIsClosedWhileItsScriptIsLookedForSendsNothing(t *testing.T) {
	w := newWorld(t)
	listener := w.client()
	listener.sends("SUBSCRIBE a")
	w.accept("m").answers(subscribedA, "SUBSCRIBE a")
	c := w.client()
	c.sends("MONITOR")
	w.accept("m").answers("+OK\r\n", "MONITOR")
	sha := w.env.Scripts.Remember([]byte("return 1"))
	w.unseen(2, "r1", "m", "r2")
	if c.sends(fmt.Sprintf("EVALSHA %x 0", sha)); !c.closed {
		t.Error("the client is not closed though what it watches is gone")
	}
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

func TestAPinOfTheMasterOfBeforeIsNotLentForTheNext(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "MULTI")
	c.sends("DISCARD")
	pin.answers("+OK\r\n", "DISCARD")
	c.gets("+OK\r\n")
	w.unseen(2, "r1", "m", "r2")
	c.sends("BLPOP k 0")
	w.accept("r1")
	w.has("BLPOP k 0")
}

func TestAQuestionWhoseConnectionEndsWhileItsAnswerIsDealtWithIsNotAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.version = "7.2.4"
	w.unseen(2, "r1", "m", "r2")
	w.env.Pool.Refresh()
	w.turn()
	for len(w.dials) > 0 {
		w.accept(w.dials[0].addr)
	}
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
	for len(w.dials) > 0 {
		w.accept(w.dials[0].addr)
	}
	w.has("WAIT 1 0").says("+OK\r\n:1\r\n")
	c.gets(":1\r\n")
}
