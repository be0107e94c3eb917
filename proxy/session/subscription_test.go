package session

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// pong is how a server answers PING on a connection that listens, in RESP2.
const pong = "*2\r\n$4\r\npong\r\n$0\r\n\r\n"

const subscribedA, subscribedB = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"

// message is what a subscriber in RESP2 gets.
func message(channel, text string) string {
	return fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(channel), channel, len(text), text)
}

// listensFirst subscribes a client to channel a, to which nobody listens yet, and returns the connection on which the
// messages come.
func listensFirst(w *world, c *fakeConn) (hub *fakeConn) {
	w.t.Helper()
	c.sends("SUBSCRIBE a")
	hub = w.accept("m")
	hub.answers(subscribedA, "SUBSCRIBE a")
	if c.session.key.Proto == 3 {
		c.gets(">" + subscribedA[1:])
	} else {
		c.gets(subscribedA)
	}
	return hub
}

// listens is the same for any channel when there is that connection.
func listens(w *world, c, hub *fakeConn, channel string) {
	w.t.Helper()
	c.sends("SUBSCRIBE " + channel)
	hub.getsRequests("SUBSCRIBE " + channel)
	confirmation := fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(channel), channel)
	hub.says(confirmation)
	c.gets(confirmation)
}

func TestConfirmationsThatAreDueComeFromTheNextConnection(t *testing.T) {
	for answered := range 3 {
		w := newWorld(t)
		c := w.client()
		c.sends("SUBSCRIBE a b", "PING")
		hub := w.accept("m")
		hub.getsRequests("SUBSCRIBE a b")
		want := ""
		for _, confirmation := range []string{subscribedA, subscribedB}[:answered] {
			hub.says(confirmation)
			want += confirmation
		}
		c.gets(want)
		if answered == 2 {
			hub.getsRequests("PING")
		}
		hub.dies()
		w.wait(time.Second)
		hub = w.accept("m")
		switch answered {
		case 0:
			hub.getsRequests("SUBSCRIBE a b")
			hub.says(subscribedA + subscribedB)
			c.gets(subscribedA + subscribedB)
		case 1:
			hub.getsRequests("SUBSCRIBE a", "SUBSCRIBE b")
			hub.says(subscribedA + subscribedB)
			c.gets(subscribedB)
		case 2:
			if strings.HasPrefix(hub.received, encoded("SUBSCRIBE b")) { // the order is of no importance
				hub.getsRequests("SUBSCRIBE b", "SUBSCRIBE a", "PING")
			} else {
				hub.getsRequests("SUBSCRIBE a", "SUBSCRIBE b", "PING")
			}
			hub.says(subscribedA + subscribedB)
			c.gets("")
		}
		if answered < 2 {
			hub.getsRequests("PING")
		}
		hub.says(pong)
		c.gets(pong)
	}
}

func TestADeniedSubscriptionIsForgotten(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("SUBSCRIBE secret other")
	hub := w.accept("m")
	hub.getsRequests("SUBSCRIBE secret other")
	hub.says("-NOPERM no\r\n")
	c.gets("-NOPERM no\r\n")
	c.sends("GET x")
	w.asked().getsRequests("GET x") // and the session is like any other again
}

func TestAMessageIsForEverybodyWhoListensAndForNobodyElse(t *testing.T) {
	w := newWorld(t)
	two, three, other := w.client(), w.client(), w.client()
	three.session.key.Proto = 3
	hub := listensFirst(w, two)
	three.sends("SUBSCRIBE a")
	hub.getsRequests("SUBSCRIBE a")
	hub.says(message("a", "before")) // it is not confirmed yet, so this is not for the second one
	two.gets(message("a", "before"))
	hub.says(subscribedA)
	three.gets(">" + subscribedA[1:])
	before := w.tracker.Floor()
	w.tracker.NewSamples().Begin(w.now)
	hub.says(message("a", "both"))
	if w.tracker.Floor() <= before {
		t.Error("what a message may speak of does not count for other sessions")
	}
	two.gets(message("a", "both"))
	three.gets(">" + message("a", "both")[1:])
	long := strings.Repeat("x", 5000)
	hub.says(message("a", long))
	two.gets(message("a", long))
	three.gets(">" + message("a", long)[1:])
	other.gets("")

	// Of two who listen one may leave: the server is told when the other one does.
	two.sends("UNSUBSCRIBE a")
	hub.getsRequests("UNSUBSCRIBE understudy:nobody")
	hub.says(message("a", "still"))
	two.gets(message("a", "still"))
	three.gets(">" + message("a", "still")[1:])
	hub.says("*3\r\n$11\r\nunsubscribe\r\n$17\r\nunderstudy:nobody\r\n:1\r\n")
	two.gets("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n")
	hub.says(message("a", "one"))
	two.gets("")
	three.gets(">" + message("a", "one")[1:])
	three.dies()
	hub.getsRequests("UNSUBSCRIBE a")
}

func TestAClientThatDoesNotReadItsMessagesIsDisconnectedAndSlowsNobody(t *testing.T) {
	w := newWorld(t)
	w.env.Config.Push = PushLimit{Hard: 64 << 10, Soft: 16 << 10, Time: time.Minute}
	slow, late, quick := w.client(), w.client(), w.client()
	hub := listensFirst(w, slow)
	listens(w, late, hub, "a")
	listens(w, quick, hub, "a")
	slow.room, late.room = 0, 0
	m := message("a", strings.Repeat("m", 10<<10))
	for i := range 7 {
		hub.says(m)
		quick.gets(m)
		late.takes(len(m) / 2)
		if want := i == 6; slow.closed != want {
			t.Fatalf("after %d messages: closed %v", i+1, slow.closed)
		}
	}
	if late.closed || w.env.Stats.Closes[ByPushLimit] != 1 {
		t.Fatalf("closed %v, %v", late.closed, w.env.Stats.Closes)
	}
	// The other one has more than the soft limit to read, and does not come below it for a minute.
	w.wait(time.Minute + time.Second)
	late.session.Tick(w.now)
	if !late.closed || quick.closed || w.env.Stats.Closes[ByPushLimit] != 2 {
		t.Fatalf("closed %v and %v, %v", late.closed, quick.closed, w.env.Stats.Closes)
	}
	hub.says(m)
	quick.gets(m)
}

func TestWhoMayNotListenAnyMoreIsDisconnected(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(), w.client()
	hub := listensFirst(w, a)
	listens(w, b, hub, "b")
	hub.dies() // as when the server ends the subscribers of a user who has lost a right
	w.wait(time.Second)
	hub = w.accept("m")
	for _, channel := range []string{"a", "b"} {
		if !strings.Contains(hub.received, "\r\n"+channel+"\r\n") {
			t.Fatalf("%q", hub.received)
		}
	}
	first, second := "-NOPERM no\r\n", subscribedB
	if strings.HasPrefix(hub.received, encoded("SUBSCRIBE b")) {
		first, second = second, first
	}
	hub.says(first + second)
	if !a.closed || b.closed || w.env.Stats.Closes[ByExpulsion] != 1 {
		t.Fatalf("closed %v and %v, %v", a.closed, b.closed, w.env.Stats.Closes)
	}
	hub.says(message("b", "x"))
	b.gets(message("b", "x"))
}

func TestSubscribesInAPipelineGoOutTogetherAndAreMadeAgainOneByOne(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("SUBSCRIBE a", "SUBSCRIBE b", "SUBSCRIBE secret", "PSUBSCRIBE c", "UNSUBSCRIBE a", "UNSUBSCRIBE b", "PING")
	hub := w.accept("m")
	hub.getsRequests("SUBSCRIBE a", "SUBSCRIBE b", "SUBSCRIBE secret", "PSUBSCRIBE c")
	hub.says(subscribedA)
	c.gets(subscribedA)
	hub.dies()
	w.wait(time.Second)
	hub = w.accept("m")
	hub.answers(subscribedA+subscribedB, "SUBSCRIBE a", "SUBSCRIBE b")
	c.gets(subscribedB)
	hub.answers("-NOPERM no\r\n", "SUBSCRIBE secret")
	c.gets("-NOPERM no\r\n")
	hub.answers("*3\r\n$10\r\npsubscribe\r\n$1\r\nc\r\n:3\r\n", "PSUBSCRIBE c")
	c.gets("*3\r\n$10\r\npsubscribe\r\n$1\r\nc\r\n:3\r\n")
	const goneA, goneB = "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"
	hub.answers(goneA+goneB, "UNSUBSCRIBE a", "UNSUBSCRIBE b")
	c.gets(goneA + goneB)
	hub.answers(pong, "PING")
	c.gets(pong)
}
