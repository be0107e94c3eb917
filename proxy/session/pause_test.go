package session

import (
	"testing"
	"time"
)

// pause has the client c ask for a pause, which the server m lets it do.
func (w *world) pause(c *fakeConn, request string) {
	w.t.Helper()
	c.sends(request)
	r := w.asked()
	r.getsRequests("CLIENT PAUSE UNDERSTUDY-ASKS-FOR-PERMISSION")
	r.says("-ERR timeout is not an integer or out of range\r\n")
	c.gets("+OK\r\n")
}

func TestAPauseHoldsAllClientsAndNoLongerThanAsked(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(), w.client()
	w.pause(a, "CLIENT PAUSE 500")
	b.sends("PING", "GET a")
	w.wait(400 * time.Millisecond)
	b.gets("")
	w.wait(100 * time.Millisecond)
	b.gets("+PONG\r\n")
	w.asked().getsRequests("GET a")
}

func TestAPauseOfWritesLetsReadsPass(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(), w.client()
	w.pause(a, "CLIENT PAUSE 500 WRITE")
	b.sends("GET a", "SET a 1", "GET b")
	r := w.asked()
	r.getsRequests("GET a")
	r.says("$-1\r\n")
	b.gets("$-1\r\n")
	a.sends("MULTI", "INCR a", "EXEC")
	pin := w.accept("m")
	pin.getsRequests("MULTI")
	pin.says("+OK\r\n")
	pin.gets("") // a server holds it as well, before it queues it
	w.wait(500 * time.Millisecond)
	pin.getsRequests("INCR a")
	pin.says("+QUEUED\r\n")
	pin.getsRequests("EXEC")
	w.link("m").getsRequests("SET a 1", "GET b") // the lane
}

func TestThePauseThatIsLongerOrStricterCounts(t *testing.T) {
	w := newWorld(t)
	a := w.client()
	for _, c := range []struct {
		first, second string
		until         time.Duration
		all           bool
	}{
		{"CLIENT PAUSE 100 WRITE", "CLIENT PAUSE 50 WRITE", 100 * time.Millisecond, false},
		{"CLIENT PAUSE 50 WRITE", "CLIENT PAUSE 100 WRITE", 100 * time.Millisecond, false},
		{"CLIENT PAUSE 100 WRITE", "CLIENT PAUSE 50 ALL", 100 * time.Millisecond, true},
	} {
		w.pause(a, c.first)
		w.pause(a, c.second)
		p := w.env.Pause.at(w.now)
		if p == nil || p.until.Sub(w.now) != c.until || p.all != c.all {
			t.Errorf("%s and then %s is %+v", c.first, c.second, p)
		}
		w.wait(100 * time.Millisecond)
		if w.env.Pause.at(w.now) != nil {
			t.Errorf("%s and then %s does not end", c.first, c.second)
		}
	}
}

func TestAPauseForAgesLastsAHundredYears(t *testing.T) {
	w := newWorld(t)
	w.pause(w.client(), "CLIENT PAUSE 9000000000000000")
	if p := w.env.Pause.at(w.now); p == nil || p.until.Sub(w.now) != 100*365*24*time.Hour {
		t.Errorf("the pause is %+v", p)
	}
}

func TestWhoMayNotPauseTheServersClientsMayNotPauseOurs(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("CLIENT PAUSE 1000")
	w.asked().says("-NOPERM this user has no permissions to run the 'client|pause' command\r\n")
	c.gets("-NOPERM this user has no permissions to run the 'client|pause' command\r\n")
	c.sends("PING")
	c.gets("+PONG\r\n")
}
