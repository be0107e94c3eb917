package session

import (
	"testing"
	"time"
)

func TestAClientThatStopsReadingIsIdleAndOneThatWaitsForItsReplyIsNot(t *testing.T) {
	w := newWorld(t)
	w.env.Config.IdleTimeout = time.Minute
	slow, waiting := w.client(), w.client()
	slow.room = 0
	slow.sends("SET a 1", "GET a")
	m := w.link("m")
	m.getsRequests("SET a 1", "GET a")
	m.says("+OK\r\n") // and the second reply is still to come
	waiting.sends("INCR b")
	w.wait(50 * time.Second)
	slow.takes(1) // it reads a little
	w.wait(50 * time.Second)
	slow.session.Tick(w.now)
	waiting.session.Tick(w.now)
	if slow.closed || waiting.closed {
		t.Fatalf("closed: %v, %v", slow.closed, waiting.closed)
	}
	w.wait(11 * time.Second)
	slow.session.Tick(w.now)
	waiting.session.Tick(w.now)
	if !slow.closed || waiting.closed {
		t.Errorf("closed: %v, %v", slow.closed, waiting.closed)
	}
}

func TestAnIdleClientIsClosedUnlessSomethingIsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.env.Config.IdleTimeout = time.Minute
	idle, busy, fresh := w.client(), w.client(), w.client()
	busy.sends("GET a")
	w.wait(2 * time.Minute)
	fresh.sends("PING")
	for s := range w.env.Sessions {
		s.Tick(w.now)
	}
	if !idle.closed || busy.closed || fresh.closed {
		t.Errorf("closed: idle %v, busy %v, fresh %v", idle.closed, busy.closed, fresh.closed)
	}
}
