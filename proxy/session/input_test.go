package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
)

// conversation is what a client says, and what nodes answer to each request.
var conversation = strings.Join([]string{
	encoded("SET a 1", "GET a"), "PING\r\n", encoded("MULTI", "INCR a", "EXEC"), "\r\n", "GET 'a'\r\n", encoded("CLIENT SETNAME x", "CLIENT GETNAME", "ECHO hi"),
	encoded("MULTI", "PING", "EXEC", "SELECT 1", "GET a", "EXEC", "WATCH a", "UNWATCH", "CLIENT REPLY SKIP", "SET a 1", "GET a"), "*0\r\n", encoded("QUIT", "GET a"),
}, "")

func TestWhereverTheInputIsCutTheAnswersAreTheSame(t *testing.T) {
	want := ""
	for cut := range len(conversation) {
		w := newWorld(t)
		c := w.client()
		c.says(conversation[:cut])
		w.serve()
		if !c.closed {
			c.says(conversation[cut:])
			w.serve()
		}
		if cut == 0 {
			want = c.received
			t.Logf("%q", want)
		}
		if c.received != want {
			t.Fatalf("cut at %d:\n%q\ninstead of\n%q", cut, c.received, want)
		}
		if !c.closed {
			t.Fatalf("cut at %d: not closed after QUIT", cut)
		}
	}
	w := newWorld(t)
	c := w.client()
	for i := range conversation {
		if !c.closed {
			c.says(conversation[i : i+1])
		}
	}
	w.serve()
	c.gets(want)
}

func TestMalformedInputIsAnsweredBehindWhatCameBefore(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.says(encoded("GET a") + "*1\r\nbroken\r\n" + encoded("GET b"))
	r := w.asked()
	r.getsRequests("GET a")
	r.says("$1\r\n1\r\n")
	c.gets("$1\r\n1\r\n-ERR Protocol error: expected '$', got 'b'\r\n")
	if !c.closed || w.env.Stats.ProtocolErrors != 1 {
		t.Errorf("closed: %v, errors: %d", c.closed, w.env.Stats.ProtocolErrors)
	}
}

func TestALargeRequestIsReadToItsEndWhateverIsOutstanding(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("SET a 1")
	value := strings.Repeat("v", largeRequest-100)
	request := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$%d\r\n%s\r\n", len(value), value)
	m := w.link("m")
	m.getsRequests("SET a 1")
	const piece = 128 << 10
	for pos := 0; pos < len(request); pos += piece {
		if c.paused {
			m.says("+OK\r\n") // the first one's reply lets it go on
			c.gets("+OK\r\n")
		}
		c.says(request[pos:min(pos+piece, len(request))])
	}
	m.gets(request)
	m.says("+OK\r\n")
	c.gets("+OK\r\n")
}

// A large request is not copied on its way to a node, so what the client sends next must not be written where it lies.
func TestALargeRequestThatTheNodeHasNotTakenIsLeftAsItIs(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	large, next := encoded("SET b "+strings.Repeat("v", 2*upstream.SharedFrom)), encoded("SET c "+strings.Repeat("w", 100_000))
	c.says(large[:upstream.SharedFrom])
	c.says(large[upstream.SharedFrom:] + next[:50_000])
	c.says(next[50_000:])
	m := w.connect("m")
	m.handshakeWith(1000)
	m.takes(len(large) + len(next))
	m.gets(large)
	m.says("+OK\r\n")
	w.has("SET c "+strings.Repeat("w", 100_000)).answers("+OK\r\n", "SET c "+strings.Repeat("w", 100_000))
	c.gets("+OK\r\n+OK\r\n")
}

func TestALargeRequestThatIsOverIsNotKept(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	request := encoded("SET a " + strings.Repeat("v", 500_000))
	c.says(request[:100_000])
	c.says(request[100_000:])
	w.has("SET a "+strings.Repeat("v", 500_000)).answers("+OK\r\n", "SET a "+strings.Repeat("v", 500_000))
	c.gets("+OK\r\n")
	readsAt(c, "GET a")
	args := c.session.parser.Args
	for _, arg := range args[:cap(args)] {
		if len(arg) > 1<<10 {
			t.Errorf("an argument of %d bytes is kept, and what it came in", len(arg))
		}
	}
}

func TestAClientWhoseRequestDoesNotEndIsClosedAtTheLimit(t *testing.T) {
	w := newWorld(t)
	limit := w.env.Config.InputLimit
	c := w.client()
	piece := "$100000\r\n" + strings.Repeat("v", 100_000) + "\r\n"
	c.says("*1000000\r\n")
	for sent := len("*1000000\r\n"); ; {
		if c.paused {
			t.Fatal("it is not read any more, though nothing else is under way")
		}
		c.says(piece)
		if sent += len(piece); c.closed || sent > limit {
			if c.closed != (sent > limit) {
				t.Errorf("closed=%t after %d bytes, where the limit is %d", c.closed, sent, limit)
			}
			break
		}
	}
	if c.session.in != nil || w.env.Stats.Closes[ByInputLimit] != 1 {
		t.Errorf("%d bytes are kept; closes by reason: %v", len(c.session.in), w.env.Stats.Closes)
	}
	fits := w.client()
	fits.says("*2\r\n$3\r\nGET\r\n" + fmt.Sprintf("$%d\r\n", limit-100))
	fits.says(strings.Repeat("v", limit-100) + "\r\n")
	w.serve()
	fits.gets("+GET\r\n")
}

func TestRequestsThatWaitAreNoRequestThatDoesNotEnd(t *testing.T) {
	w := newWorld(t)
	w.grant.Epoch = 0
	c := w.client()
	request, sent := encoded("SET a "+strings.Repeat("v", 100_000)), 0
	for ; !c.paused; sent++ {
		c.says(request)
	}
	w.grant.Epoch = 1
	w.wait(10 * time.Millisecond)
	w.serve()
	for sent > 0 && strings.HasPrefix(c.received, "+OK\r\n") {
		c.received, sent = c.received[5:], sent-1
	}
	if c.closed || sent > 0 {
		t.Errorf("closed=%t, %d requests are not answered", c.closed, sent)
	}
}
