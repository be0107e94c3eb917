package session

import (
	"fmt"
	"strings"
	"testing"
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
