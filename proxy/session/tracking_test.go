package session

import (
	"bytes"
	"testing"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// tracked is a client with tracking, and the connection that is its own for that.
func tracked(w *world, proto int) (c, pin *fakeConn) {
	w.t.Helper()
	c = w.client()
	c.session.regroup(upstream.Key{Proto: proto})
	c.sends("CLIENT TRACKING ON")
	pin = w.accept("m")
	pin.answers("+OK\r\n", "CLIENT TRACKING ON")
	c.gets("+OK\r\n")
	return c, pin
}

func TestTheClientToRedirectToIsFoundWhereTheServerWouldFindIt(t *testing.T) {
	for request, want := range map[string]struct {
		id      uint64
		without string
	}{
		"CLIENT TRACKING ON REDIRECT 7":                         {7, "CLIENT TRACKING ON"},
		"CLIENT TRACKING on bcast redirect 7 NOLOOP":            {7, "CLIENT TRACKING on bcast NOLOOP"},
		"CLIENT TRACKING ON REDIRECT 7 REDIRECT 8":              {7, "CLIENT TRACKING ON REDIRECT 8"},
		"CLIENT TRACKING ON BCAST PREFIX a PREFIX b":            {0, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b"},
		"CLIENT TRACKING ON BCAST PREFIX REDIRECT PREFIX 7":     {0, "CLIENT TRACKING ON BCAST PREFIX REDIRECT PREFIX 7"},
		"CLIENT TRACKING ON BCAST PREFIX REDIRECT REDIRECT 7 x": {7, "CLIENT TRACKING ON BCAST PREFIX REDIRECT x"},
		"CLIENT TRACKING ON REDIRECT x":                         {0, "CLIENT TRACKING ON REDIRECT x"},
		"CLIENT TRACKING ON REDIRECT +7":                        {0, "CLIENT TRACKING ON REDIRECT +7"},
		"CLIENT TRACKING ON REDIRECT":                           {0, "CLIENT TRACKING ON REDIRECT"},
	} {
		args := bytes.Fields([]byte(request))
		at, id := redirected(args)
		if got, without := withoutRedirect(args, at), resp.AppendRequest(nil, bytes.Fields([]byte(want.without))...); id != want.id || !bytes.Equal(got, without) {
			t.Errorf("%s: redirected to %d, and without that it is %q", request, id, got)
		}
	}
}

func TestATransactionThatIsAbortedStaysSoWhenTheConnectionWithTrackingIsLost(t *testing.T) {
	for name, end := range map[string]func(*fakeConn){
		"answered":      func(pin *fakeConn) { pin.says("+OK\r\n") },
		"not permitted": func(pin *fakeConn) { pin.says("-NOPERM this user has no permissions to run the 'discard' command\r\n") },
		"lost":          func(pin *fakeConn) { pin.dies() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c, pin := tracked(w, 2)
			c.sends("MULTI")
			pin.answers("+OK\r\n", "MULTI")
			c.sends("CLIENT LIST", "EXEC", "PING")
			pin.getsRequests("DISCARD")
			end(pin)
			c.gets("+OK\r\n-ERR CLIENT|LIST is not supported inside a transaction through Understudy\r\n" +
				"-EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n")
			if kept := !pin.closed; kept != (name == "answered") {
				t.Errorf("the connection is kept: %v", kept)
			}
		})
	}
}

func TestWhoAuthenticatesOnAConnectionWithTrackingWhileKeysAreWatchedKeepsBoth(t *testing.T) {
	w := newWorld(t)
	c, pin := tracked(w, 3)
	for _, request := range []string{"WATCH a", "AUTH bob secret", "MULTI"} {
		c.sends(request)
		pin.answers("+OK\r\n", request)
		c.gets("+OK\r\n")
	}
	c.sends("EXEC")
	pin.answers("*0\r\n", "EXEC")
	c.gets("*0\r\n")
	c.sends("GET a")
	pin.answers("$1\r\n1\r\n", "GET a")
	c.gets("$1\r\n1\r\n")
}
