package session

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// atATime is how many connections to one node are opened at a time.
const atATime = 128

// crowd has n clients block, each on a key of its own.
func (w *world) crowd(n int) []*fakeConn {
	w.t.Helper()
	var clients []*fakeConn
	for i := range n {
		c := w.client()
		c.sends(fmt.Sprintf("BLPOP q%d 0", i))
		clients = append(clients, c)
	}
	return clients
}

// dialled checks how many connections are being opened.
func (w *world) dialled(n int) {
	w.t.Helper()
	if len(w.dials) != n {
		w.t.Fatalf("%d connections are being opened instead of %d", len(w.dials), n)
	}
}

func TestPinsAreOpenedInOrderAndNotAllAtATime(t *testing.T) {
	w := newWorld(t)
	clients := w.crowd(atATime + 70)
	clients[atATime+3].dies()
	w.dialled(atATime)
	reached := 0
	for len(w.dials) > 0 {
		c := w.connect("m")
		before := len(w.dials)
		c.handshake()
		if reached == atATime+3 {
			reached++ // has gone meanwhile
		}
		c.getsRequests(fmt.Sprintf("BLPOP q%d 0", reached))
		if reached++; reached < len(clients)-atATime-1 && len(w.dials) != before+1 {
			t.Fatalf("after %d connections the next one is not opened", reached)
		}
	}
	if reached != len(clients) {
		t.Errorf("%d of %d are connected", reached, len(clients))
	}
}

func TestALaneDoesNotStandInLineBehindPins(t *testing.T) {
	w := newWorld(t)
	w.crowd(2 * atATime)
	c := w.client()
	c.sends("SELECT 1")
	c.sends("SET a 1")
	w.dialled(atATime + 1)
}

func TestPinsThatStandInLineForANodeThatFailsAreNotTriedOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	clients := w.crowd(3 * atATime)
	failing := w.dials
	w.dials = nil
	for _, d := range failing {
		d.done(nil, errors.New("connection refused"))
		w.turn()
	}
	w.dialled(0)
	w.wait(20 * time.Millisecond) // the node may be tried again
	w.dialled(atATime)
	var pins []*fakeConn
	for range clients {
		pins = append(pins, w.acceptOne("m"))
	}
	w.has("PING").answers("+PONG\r\n", "PING") // they are sent one behind the other
	for i, pin := range pins {
		pin.getsRequests(fmt.Sprintf("BLPOP q%d 0", i))
	}
}
