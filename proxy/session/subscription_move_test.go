package session

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// listenerAndPublisher are a client that listens to a, the connection on which the server knows that, and another client.
func listenerAndPublisher(w *world) (listener, hub, publisher *fakeConn) {
	w.t.Helper()
	listener = w.client()
	return listener, listensFirst(w, listener), w.client()
}

// published reports whether some server was asked to.
func (w *world) published() bool {
	return slices.ContainsFunc(w.links, func(c *fakeConn) bool { return strings.Contains(c.received, encoded("PUBLISH a x")) })
}

// wantPublishedAfterSubscribing fails unless what is published waits until the new master has confirmed the subscription.
func wantPublishedAfterSubscribing(next *fakeConn) {
	w := next.world
	w.t.Helper()
	next.getsRequests("SUBSCRIBE a")
	if w.published() {
		w.t.Fatal("it was published before there was a subscription")
	}
	next.says(subscribedA)
	if !w.published() {
		w.t.Fatal("it is not published")
	}
}

func TestInASwitchoverTheFormerMasterIsHeardOutAndWhatIsPublishedWaitsForTheSubscription(t *testing.T) {
	w := newWorld(t)
	w.planned = true
	c, former, publisher := listenerAndPublisher(w)
	w.state(2, topology.Fencing, "m", "r1")
	publisher.sends("PUBLISH a x")
	former.says(message("a", "of somebody who has not heard of the fence"))
	c.gets(message("a", "of somebody who has not heard of the fence"))
	w.grant = topology.Grant{Epoch: 2}
	w.state(2, topology.Stable, "r1", "m")
	former.getsRequests("PING")
	next := w.accept("r1")
	next.gets("") // as a replica the former one repeats what it says, so there are never both
	former.says(message("a", "of before") + pong)
	c.gets(message("a", "of before"))
	if !former.closed {
		t.Error("the former master is listened to no less")
	}
	wantPublishedAfterSubscribing(next)
	next.says(message("a", "x"))
	c.gets(message("a", "x"))
}

func TestWhatIsPublishedWaitsForTheSubscriptionAlsoWhenTheMasterHasDied(t *testing.T) {
	w := newWorld(t)
	_, former, publisher := listenerAndPublisher(w)
	former.dies()
	w.state(2, topology.Fencing, "m", "r1")
	publisher.sends("PUBLISH a x")
	wantPublishedAfterSubscribing(w.inherits("r1"))
}

func TestASubscriptionThatIsNotConfirmedKeepsNobodyWaitingForLong(t *testing.T) {
	for _, silent := range []string{"the former master", "the new master"} {
		t.Run(silent, func(t *testing.T) {
			w := newWorld(t)
			w.planned = true
			c, former, publisher := listenerAndPublisher(w)
			w.state(2, topology.Fencing, "m", "r1")
			publisher.sends("PUBLISH a x")
			next := w.inherits("r1", "m")
			if silent == "the new master" {
				former.says(pong)
			}
			w.wait(190 * time.Millisecond)
			if w.published() {
				t.Error("it was published before there was a subscription")
			}
			w.wait(20 * time.Millisecond)
			if !w.published() {
				t.Error("it is not published")
			}
			next.answers(subscribedA+message("a", "late"), "SUBSCRIBE a")
			c.gets(message("a", "late"))
		})
	}
}

// Whoever hangs does not say that there is nothing more to come.
func TestAFormerMasterThatHangsIsNotHeardOutByWhoReachesTheNewOneLate(t *testing.T) {
	w := newWorld(t)
	w.planned = true
	c, former, _ := listenerAndPublisher(w)
	w.state(2, topology.Fencing, "m", "r1")
	w.grant = topology.Grant{Epoch: 2}
	w.state(2, topology.Stable, "r1", "m")
	for range 30 {
		for len(w.dials) > 0 {
			d := w.dials[0]
			w.dials = w.dials[1:]
			d.done(nil, errors.New("connection refused"))
			w.turn()
		}
		w.wait(10 * time.Millisecond)
	}
	if former.closed {
		t.Fatal("it has gone, and does not hang")
	}
	w.wait(time.Second) // until it is tried again
	w.acceptAll()
	for _, next := range w.links {
		if next.addr == "r1" && !next.closed && strings.Contains(next.received, encoded("SUBSCRIBE a")) {
			next.says(subscribedA + message("a", "x"))
		}
	}
	c.gets(message("a", "x"))
}

func TestASwitchoverThatIsGivenUpLeavesSubscriptionsWhereTheyAre(t *testing.T) {
	w := newWorld(t)
	w.planned = true
	c, hub, publisher := listenerAndPublisher(w)
	w.state(2, topology.Fencing, "m", "r1")
	publisher.sends("PUBLISH a x")
	w.grant = topology.Grant{Epoch: 3}
	w.state(3, topology.Stable, "m", "r1")
	w.accept("m")
	if !w.published() {
		t.Error("it is not published")
	}
	hub.gets("")
	hub.says(message("a", "x"))
	c.gets(message("a", "x"))
}
