package session

import (
	"testing"
	"time"
)

// begin takes a client into a transaction on a pin, and returns the pin.
func begin(w *world, c *fakeConn, requests ...string) *fakeConn {
	w.t.Helper()
	c.sends(requests[0])
	pin := w.accept("m")
	for i, r := range requests {
		if i > 0 {
			c.sends(r)
		}
		pin.getsRequests(r)
		answer := "+QUEUED\r\n"
		if r == "MULTI" || r[:2] == "WA" {
			answer = "+OK\r\n"
		}
		pin.says(answer)
		c.gets(answer)
	}
	return pin
}

func TestAnExecThatWasSentIsNotSentAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "MULTI", "INCR a")
	c.sends("EXEC", "PING")
	pin.getsRequests("EXEC")
	pin.dies()
	c.gets(unknownResult + "+PONG\r\n")
	c.sends("EXEC")
	c.gets("-ERR EXEC without MULTI\r\n")
}

func TestAnExecThatWasNotSentTakesTheWholeTransactionAlong(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "MULTI", "INCR a", "INCR b")
	pin.room = 3
	c.sends("EXEC", "PING")
	pin.gets("*1\r")
	pin.dies()
	w.wait(time.Second)
	pin = w.accept("m")
	pin.getsRequests("MULTI", "INCR a", "INCR b", "EXEC")
	pin.says("+OK\r\n+QUEUED\r\n+QUEUED\r\n")
	c.gets("")
	pin.says("*2\r\n:1\r\n:1\r\n")
	c.gets("*2\r\n:1\r\n:1\r\n+PONG\r\n")
}

func TestATransactionIsBegunAnewUntilItsExecWasSent(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	begin(w, c, "MULTI", "INCR a", "SELECT 5").dies()
	c.sends("EXEC", "PING")
	for _, answers := range []string{"", "+OK\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n"} {
		w.wait(time.Second)
		pin := w.connect("m")
		pin.handshakeWith(len(encoded("MULTI", "INCR a", "SELECT 5")) + 3)
		pin.gets(encoded("MULTI", "INCR a", "SELECT 5") + "*1\r")
		pin.says(answers)
		c.gets("")
		pin.dies()
	}
	w.wait(time.Second)
	pin := w.accept("m")
	pin.getsRequests("MULTI", "INCR a", "SELECT 5", "EXEC")
	pin.says("+OK\r\n-READONLY no\r\n")
	pin.says("+QUEUED\r\n")
	if !pin.closed {
		t.Error("the pin to a replica remains")
	}
	c.gets("")
	w.wait(time.Second)
	pin = w.accept("m")
	pin.getsRequests("MULTI", "INCR a", "SELECT 5", "EXEC")
	pin.says("+OK\r\n")
	pin.dies()
	c.gets(unknownResult + "+PONG\r\n")
}

func TestATransactionThatAnotherMasterWillNotQueueIsAborted(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	begin(w, c, "MULTI", "INCR a").dies()
	c.sends("EXEC", "PING")
	w.wait(time.Second)
	pin := w.accept("m")
	pin.getsRequests("MULTI", "INCR a", "EXEC")
	pin.says("+OK\r\n-NOPERM no\r\n")
	c.gets("")
	pin.says("-EXECABORT Transaction discarded because of previous errors.\r\n")
	c.gets("-EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n")
	if c.session.tx != nil || pin.closed {
		t.Errorf("the transaction is over: %v, the pin is closed: %v", c.session.tx == nil, pin.closed)
	}
}

func TestQueuedCommandsOfADemotedMasterAreQueuedHere(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "MULTI")
	c.sends("INCR a", "INCR b", "EXEC")
	pin.getsRequests("INCR a", "INCR b")
	pin.says("-READONLY You can't write against a read only replica.\r\n")
	if !pin.closed {
		t.Error("a pin to a replica remains")
	}
	c.gets("+QUEUED\r\n+QUEUED\r\n")
	w.wait(time.Second)
	pin = w.accept("m")
	pin.getsRequests("MULTI", "INCR a", "INCR b", "EXEC")
	pin.says("+OK\r\n+QUEUED\r\n+QUEUED\r\n")
	pin.says("*2\r\n:1\r\n:1\r\n")
	c.gets("*2\r\n:1\r\n:1\r\n")
}

func TestWhatWasSentBetweenWatchAndMultiIsUnknownWhenItIsLost(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "WATCH a")
	c.sends("GET b", "SET b 1", "GET b")
	pin.getsRequests("GET b", "SET b 1", "GET b")
	pin.dies()
	w.serveOne("$1\r\n0\r\n")
	c.gets(unknownResult + unknownResult + "$1\r\n0\r\n") // the first GET would see what SET may have made
	c.sends("MULTI", "INCR a", "EXEC")
	c.gets("+OK\r\n+QUEUED\r\n*-1\r\n")
}

// serveOne answers the one request that is at some node.
func (w *world) serveOne(reply string) {
	w.t.Helper()
	w.wait(time.Second)
	for _, link := range w.links {
		if !link.closed && link.received != "" {
			link.received = ""
			link.says(reply)
			return
		}
	}
	w.t.Fatal("nothing was asked")
}

func TestAPinGoesToTheNextInTheDatabaseItWasLentIn(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "MULTI", "SELECT 5")
	c.sends("EXEC")
	pin.getsRequests("EXEC")
	pin.says("*1\r\n+OK\r\n")
	c.gets("*1\r\n+OK\r\n")
	if !pin.closed {
		t.Error("a pin in another database was kept")
	}
	if c.session.key.DB != 5 {
		t.Errorf("the session is in database %d", c.session.key.DB)
	}
	other := w.client()
	pin = begin(w, other, "MULTI", "SELECT 99")
	other.sends("EXEC")
	pin.getsRequests("EXEC")
	pin.says("*1\r\n-ERR DB index is out of range\r\n")
	if pin.closed || other.session.key.DB != 0 {
		t.Errorf("closed %v, database %d", pin.closed, other.session.key.DB)
	}
}

func TestAPinOnWhichSomebodyAuthenticatedIsNotLentAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("AUTH bob secret")
	pin := w.accept("m")
	pin.getsRequests("AUTH bob secret")
	pin.says("+OK\r\n")
	c.gets("+OK\r\n")
	if !pin.closed {
		t.Error("it was kept")
	}
}

func TestAPinIsLentToTheNextWhenTheTransactionIsOver(t *testing.T) {
	for _, test := range []struct {
		begin []string
		end   string
		reply string
	}{
		{[]string{"MULTI", "INCR a"}, "EXEC", "*1\r\n:1\r\n"},
		{[]string{"MULTI", "INCR a"}, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
		{[]string{"WATCH a", "MULTI", "INCR a"}, "EXEC", "*-1\r\n"},
		{[]string{"MULTI", "INCR a"}, "DISCARD", "+OK\r\n"},
		{[]string{"WATCH a"}, "UNWATCH", "+OK\r\n"},
	} {
		w := newWorld(t)
		c, next := w.client(), w.client()
		pin := begin(w, c, test.begin...)
		c.sends(test.end)
		pin.getsRequests(test.end)
		pin.says(test.reply)
		c.gets(test.reply)
		if c.session.tx != nil || c.session.pin != nil {
			t.Errorf("%v %s: the session keeps the pin", test.begin, test.end)
		}
		next.sends("BLPOP l 0")
		pin.getsRequests("BLPOP l 0")
		pin.says("*-1\r\n")
		next.gets("*-1\r\n")
		c.sends("GET a")
		pin.gets("")
	}
}

func TestAnErrorDoesNotEndATransaction(t *testing.T) {
	for _, end := range []string{"DISCARD", "UNWATCH"} {
		w := newWorld(t)
		c := w.client()
		requests := []string{"WATCH a"}
		if end == "DISCARD" {
			requests = []string{"MULTI"}
		}
		pin := begin(w, c, requests...)
		c.sends(end)
		pin.getsRequests(end)
		pin.says("-NOPERM no\r\n")
		c.gets("-NOPERM no\r\n")
		if c.session.tx == nil || c.session.pin == nil {
			t.Errorf("%s was denied, and the pin was given back", end)
		}
	}
}

func TestAPinThatWasPausedForOneClientIsNotResumedForItWhenAnotherHasIt(t *testing.T) {
	w := newWorld(t)
	first, second := w.client(), w.client()
	pin := begin(w, first, "MULTI", "GET a")
	first.room = 0
	first.sends("EXEC")
	value := bulk(3 << 20)
	pin.answers("*1\r\n"+value, "EXEC") // all at once
	second.sends("MULTI")
	pin.answers("+OK\r\n", "MULTI") // it is lent again
	second.sends("GET b")
	pin.answers("+QUEUED\r\n", "GET b")
	second.gets("+OK\r\n+QUEUED\r\n")
	second.room = 0
	second.sends("EXEC")
	pin.getsRequests("EXEC")
	pin.says("*1\r\n" + value[:2<<20])
	if !pin.paused {
		t.Fatal("it is read in front of a client that does not read")
	}
	first.takes(1 << 30)
	if !pin.paused {
		t.Error("the other client has taken its reply, and that resumed it")
	}
}
