package session

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestWhereConnectionsAreResetAsSoonAsTheyAreMadeNoneIsTriedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m")
	for _, link := range w.links {
		link.dies()
	}
	w.wait(time.Second)
	c := w.client()
	c.sends("SET a 1")
	w.suspects = nil
	for _, d := range w.dials {
		d.done(&fakeConn{world: w, addr: d.addr, closed: true}, nil) // the handshake cannot be written
	}
	w.dials = nil
	w.turn()
	if len(w.dials) > 0 {
		t.Error("it is tried again at once")
	}
	if len(w.suspects) == 0 {
		t.Error("nobody suspects the node")
	}
	w.wait(time.Second)
	w.accept("m").answers("+OK\r\n", "SET a 1")
	c.gets("+OK\r\n")
}

func TestConnectionsThatEndTogetherAreOneFailure(t *testing.T) {
	w := newWorld(t)
	var pins []*fakeConn
	for range 30 {
		w.client().sends("BLPOP k 0")
		pins = append(pins, w.accept("m"))
	}
	for _, pin := range pins {
		pin.dies()
	}
	w.wait(10 * time.Millisecond)
	w.client().sends("BLPOP l 0")
	if len(w.dials) == 0 {
		t.Error("the node is left alone for long")
	}
}

func TestASessionThatGetsNoConnectionOfItsOwnIsServedByALane(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m")
	c := w.client()
	c.session.largeAt = w.now
	c.sends("GET a")
	w.connect("m").says("-ERR max number of clients reached\r\n")
	if len(w.dials) > 0 {
		t.Error("it is tried again at once")
	}
	w.has("GET a").answers("$1\r\n1\r\n", "GET a")
	c.gets("$1\r\n1\r\n")
}
