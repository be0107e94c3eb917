package session

import (
	"fmt"
	"strings"
	"testing"
)

const (
	invalidatedK = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
	invalidated0 = ">2\r\n$10\r\ninvalidate\r\n_\r\n"
	helloReply   = "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
)

// pushed is a message of channel a as a client in RESP3 gets it.
func pushed(text string) string { return ">" + message("a", text)[1:] }

// cachesAndListens is a client with tracking that listens to channel a on the same connection.
func cachesAndListens(w *world) (c, pin, hub *fakeConn) {
	w.t.Helper()
	c, pin = tracked(w, 3)
	return c, pin, listensFirst(w, c)
}

func TestAMessageComesBehindTheInvalidationsThatWereSentBeforeIt(t *testing.T) {
	w := newWorld(t)
	c, pin, hub := cachesAndListens(w)
	hub.says(message("a", "one"))
	pin.getsRequests("HELLO")
	hub.says(message("a", "two")) // what goes before this one may not have been sent yet when the server was asked
	pin.says(invalidatedK)
	c.gets(invalidatedK)
	pin.says(helloReply)
	c.gets(pushed("one"))
	pin.getsRequests("HELLO")
	pin.says(invalidatedK + helloReply)
	c.gets(invalidatedK + pushed("two"))
	pin.getsRequests()
	c.sends("GET k")
	pin.answers("$1\r\nv\r\n", "GET k")
	c.gets("$1\r\nv\r\n")
}

func TestMessagesDoNotWaitForInvalidationsThatCannotBeAskedFor(t *testing.T) {
	for name, do := range map[string]struct {
		before, after func(c, pin, hub *fakeConn)
		want          string
	}{
		"the connection is lost": {
			after: func(_, pin, _ *fakeConn) { pin.dies() },
			want:  invalidated0 + pushed("one"),
		},
		"another subscription is confirmed": {
			after: func(c, _, hub *fakeConn) {
				c.sends("SUBSCRIBE b")
				hub.answers(strings.Replace(subscribedA, "$1\r\na\r\n:1", "$1\r\nb\r\n:1", 1), "SUBSCRIBE b")
			},
			want: pushed("one") + ">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
		},
		"tracking ends": {
			after: func(c, pin, _ *fakeConn) {
				c.sends("CLIENT TRACKING OFF")
				pin.received = ""
				pin.says(helloReply + "+OK\r\n")
			},
			want: pushed("one") + "+OK\r\n",
		},
		"the client leaves in order": {
			after: func(c, _, _ *fakeConn) { c.sends("QUIT") },
			want:  pushed("one") + "+OK\r\n",
		},
		"in a transaction": {
			before: func(c, pin, _ *fakeConn) {
				c.sends("MULTI")
				pin.answers("+OK\r\n", "MULTI")
			},
			want: "+OK\r\n" + pushed("one"),
		},
		"behind CLIENT CACHING": {
			before: func(c, pin, _ *fakeConn) {
				c.sends("CLIENT CACHING YES")
				pin.answers("+OK\r\n", "CLIENT CACHING YES")
			},
			want: "+OK\r\n" + pushed("one"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c, pin, hub := cachesAndListens(w)
			if do.before != nil {
				do.before(c, pin, hub)
			}
			hub.says(message("a", "one"))
			if do.after != nil {
				c.gets("")
				do.after(c, pin, hub)
			}
			c.gets(do.want)
		})
	}
}

func TestMessagesThatWaitForInvalidationsInVainAreBounded(t *testing.T) {
	w := newWorld(t)
	c, _, hub := cachesAndListens(w)
	want := ""
	for i := range 2 {
		text := fmt.Sprint(i) + strings.Repeat("m", maxBehind/2)
		hub.says(message("a", text))
		want += pushed(text)
	}
	c.gets("")
	hub.says(message("a", "last"))
	c.gets(want + pushed("last"))
}
