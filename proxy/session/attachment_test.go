package session

import (
	"testing"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

func TestAClientThatIsClosedWhileItBeginsToListenIsNotListenedFor(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.session.regroup(upstream.Key{Proto: 3})
	c.sends("MONITOR")
	w.accept("m").answers("+OK\r\n", "MONITOR")
	c.gets("+OK\r\n")
	env := w.env
	w.env = nil // so that the loop hears of the next State in the middle of what it does
	w.state(2, topology.Stable, "r1", "m")
	w.env, w.grant = env, topology.Grant{Epoch: 2}
	if c.sends("SUBSCRIBE a"); !c.closed {
		t.Fatal("the client is not closed though what it watches is gone")
	}
	for len(w.dials) > 0 {
		if hub := w.accept(w.dials[0].addr); hub.received != "" {
			t.Errorf("%q is sent for nobody", hub.received)
		}
	}
}
