package session

import "testing"

func TestEveryRequestOfAClientIsCountedOnceWhateverBecomesOfIt(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	m := w.link("m")
	counts := func(n uint64, what string) {
		t.Helper()
		if got := w.env.Stats.Requests; got != n || c.session.taken != n {
			t.Fatalf("after %s %d requests are counted, and %d of this client, instead of %d", what, got, c.session.taken, n)
		}
	}
	c.sends("SET a 1", "GET a", "PING")
	m.answers("+OK\r\n$1\r\n1\r\n+PONG\r\n", "SET a 1", "GET a", "PING")
	counts(3, "a pipeline")
	c.sends("PING", "CLIENT ID", "EXEC", "DEBUG SLEEP 1")
	counts(7, "what the proxy answers itself")
	c.sends("SCRIPT EXISTS x", "PUBSUB CHANNELS")
	w.link("m").answers("*1\r\n:0\r\n", "SCRIPT EXISTS x")
	w.link("m").answers("*0\r\n", "PUBSUB CHANNELS")
	counts(9, "requests that are sent by themselves")
	c.sends("NOSUCH a")
	own := w.link("m")
	own.answers("*1\r\n*-1\r\n", "COMMAND INFO NOSUCH")
	counts(10, "a name that the master is asked about")
	c.sends("MULTI", "INCR a", "INCR b", "EXEC")
	w.link("m").answers("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n:1\r\n", "MULTI", "INCR a", "INCR b", "EXEC")
	counts(14, "a transaction that came as a whole")
	c.received = ""
	begin(w, c, "MULTI", "INCR a").dies()
	counts(16, "a transaction in parts")
	c.sends("DISCARD")
	counts(17, "its end")
	c.received = ""
	c.sends("BLPOP l 0")
	pin := w.accept("m")
	pin.answers("*2\r\n$1\r\nl\r\n$1\r\ne\r\n", "BLPOP l 0")
	counts(18, "a blocking command")
	w.replicate()
	c.received = ""
	c.sends("GET z")
	w.asked().dies()
	counts(19, "a read")
	if w.env.Stats.Redone == 0 {
		t.Error("nothing was sent again")
	}
}
