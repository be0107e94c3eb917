package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// pour has a server go on with a message until the connection is closed, and returns how much it took.
func pour(c *fakeConn, begin, more string, limit int) (n int) {
	c.says(begin)
	for ; n <= limit && !c.closed; n += len(more) {
		c.says(more)
	}
	return n
}

func TestAPushWithoutAnEndOnALaneEndsTheLaneAndWhatWasAskedIsAskedElsewhere(t *testing.T) {
	for name, waits := range map[string]bool{"while a reply is due": true, "while none is": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.state(1, topology.Stable, "m", "r1")
			c := w.client()
			c.sends("GET a")
			lane := w.has("GET a")
			if !waits {
				lane.answers("$1\r\na\r\n", "GET a")
				c.gets("$1\r\na\r\n")
			}
			if pour(lane, ">2000000\r\n", strings.Repeat(":1\r\n", 16<<10), 2<<20); !lane.closed {
				t.Fatal("the lane goes on")
			}
			if waits {
				w.wait(time.Second)
				w.has("GET a").answers("$1\r\na\r\n", "GET a")
				c.gets("$1\r\na\r\n")
			}
		})
	}
}

func TestAMessageThatIsAnnouncedTooLargeEndsTheConnectionAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("GET a")
	lane := w.has("GET a")
	if lane.says(">2\r\n$9223372036854775000\r\n"); !lane.closed {
		t.Error("it is waited for")
	}
}

func TestAMessageLargerThanItsListenersMayBeGivenEndsTheSubscriptionWhichIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	hub := listensFirst(w, c)
	large := message("a", strings.Repeat("x", 4<<20))
	for at := 0; at < len(large); at += 64 << 10 {
		hub.says(large[at:min(at+64<<10, len(large))])
	}
	c.gets(large)
	begin := fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$%d\r\n", 100<<20)
	if n := pour(hub, begin, strings.Repeat("x", 64<<10), 16<<20); !hub.closed || n > 9<<20 {
		t.Fatalf("after %d bytes, closed: %v", n, hub.closed)
	}
	w.wait(time.Second)
	hub = w.accept("m")
	hub.getsRequests("SUBSCRIBE a")
	hub.says(subscribedA)
	hub.says(message("a", "y"))
	c.gets(message("a", "y"))
}
