package session

import (
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/upstream"
)

// listensIn3 is a client in RESP3 that listens to channel a, and the connection on which its messages come.
func listensIn3(w *world) (c, hub *fakeConn) {
	w.t.Helper()
	c = w.client()
	c.session.regroup(upstream.Key{Proto: 3})
	return c, listensFirst(w, c)
}

// listensAndReads is listensIn3 for a client that has asked a replica for a large value, and the reply to come.
func listensAndReads(w *world) (c, hub, replica *fakeConn, value string) {
	w.t.Helper()
	c, hub = listensIn3(w)
	c.sends("GET big")
	replica = w.accept(w.dials[0].addr)
	replica.getsRequests("GET big")
	return c, hub, replica, bulk(3 << 20)
}

func TestMessagesDoNotFallIntoTheMiddleOfALargeReply(t *testing.T) {
	w := newWorld(t)
	c, hub, replica, value := listensAndReads(w)
	replica.says(value[:2<<20])
	hub.says(message("a", "meanwhile"))
	replica.says(value[2<<20:])
	c.gets(value + ">" + message("a", "meanwhile")[1:])
}

func TestMessagesDoNotFallIntoTheMiddleOfALargeReplyThatIsBrokenOff(t *testing.T) {
	w := newWorld(t)
	w.env.Config.OutputLimit = 16 << 20
	slow, hub := listensIn3(w)
	quick := w.client()
	quick.session.regroup(upstream.Key{Proto: 3})
	slow.room = 0
	slow.sends("SET own 1", "GET a") // the write keeps the read on the lane of the writes
	m := w.accept("m")
	quick.sends("INCR b")
	m.getsRequests("SET own 1", "GET a", "INCR b")
	value := bulk(40 << 20)
	m.says("+OK\r\n")
	for rest := value; rest != ""; {
		part := rest[:min(len(rest), 1<<20)]
		rest = rest[len(part):]
		m.says(part)
		if n := len(rest); n < 20<<20 && n >= 19<<20 {
			hub.says(message("a", "meanwhile"))
		}
	}
	m.says(":1\r\n")
	want := "+OK\r\n" + value + ">" + message("a", "meanwhile")[1:]
	slow.takesAll(len(want), map[string]string{"GET a": value})
	if slow.received != want {
		t.Errorf("the message begins at byte %d of %d", strings.IndexByte(slow.received, '>'), len(slow.received))
	}
}

func TestMessagesDoNotFallIntoTheMiddleOfALargeReplyWhoseNodeDies(t *testing.T) {
	w := newWorld(t)
	c, hub, first, value := listensAndReads(w)
	c.room = 1 << 20
	first.says(value[:2<<20])
	first.dies()
	hub.says(message("a", "one")) // nobody is asked again before the client has taken what there is
	c.takes(1 << 30)
	second := w.accept(w.dials[0].addr)
	hub.says(message("a", "two"))
	second.answers(value[:1<<20], "GET big")
	hub.says(message("a", "three"))
	second.says(value[1<<20:])
	c.gets(value + ">" + message("a", "one")[1:] + ">" + message("a", "two")[1:] + ">" + message("a", "three")[1:])
}

func TestMessagesKeepTheirOrderAroundTheEndOfALargeReply(t *testing.T) {
	w := newWorld(t)
	c, hub, replica, value := listensAndReads(w)
	replica.says(value[:2<<20])
	hub.says(message("a", "one"))
	replica.handler.Data([]byte(value[2<<20:])) // in one turn of the loop
	hub.handler.Data([]byte(message("a", "two")))
	w.turn()
	c.gets(value + ">" + message("a", "one")[1:] + ">" + message("a", "two")[1:])
}

func TestAMessageThatHadToWaitForAReplyComesBeforeWhatFollowsTheReply(t *testing.T) {
	w := newWorld(t)
	c, hub := listensIn3(w)
	c.sends("GET big", "RESET")
	replica := w.accept(w.dials[0].addr)
	replica.getsRequests("GET big")
	value := bulk(3 << 20)
	replica.says(value[:3<<20-1000])
	hub.says(message("a", "one"))
	replica.says(value[3<<20-1000:])
	c.gets(value + ">" + message("a", "one")[1:] + "+RESET\r\n")
}
