package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

func TestAPipelineThatHoldsAWriteGoesToTheMasterAsAWhole(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("GET a", "DEL a", "GET a", "PING")
	w.link("m").getsRequests("GET a", "DEL a", "GET a", "PING")
}

func TestAWriteBehindReadsAtAReplicaWaitsForThem(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("LRANGE l 0 -1")
	r := w.asked()
	r.getsRequests("LRANGE l 0 -1")
	c.sends("DEL l", "GET a")
	w.link("m").gets("")
	r.says("*0\r\n")
	c.gets("*0\r\n")
	w.link("m").getsRequests("DEL l", "GET a")
}

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

// serve answers, as nodes that know no data, until nothing is asked any more. Each reply names its request.
func (w *world) serve() {
	w.t.Helper()
	for again := true; again; {
		again = false
		for len(w.dials) > 0 {
			w.accept(w.dials[0].addr)
			again = true
		}
		for _, link := range w.links {
			for !link.closed && link.received != "" {
				again = true
				link.answer()
			}
		}
	}
}

// answer answers one request as a node would.
func (c *fakeConn) answer() {
	c.world.t.Helper()
	var parser resp.RequestParser
	n, err := parser.Parse([]byte(c.received))
	if n == 0 || err != nil {
		c.world.t.Fatalf("%s got %q: %v", c.addr, c.received, err)
	}
	c.received = c.received[n:]
	name := strings.ToUpper(string(parser.Args[0]))
	switch {
	case name == "MULTI":
		c.multi = true
		c.says("+OK\r\n")
	case name == "EXEC":
		c.multi = false
		c.says("*1\r\n:1\r\n")
	case c.multi:
		c.says("+QUEUED\r\n")
	case name == "SET", name == "SELECT", name == "WATCH", name == "UNWATCH":
		c.says("+OK\r\n")
	case name == "PING":
		c.says("+PONG\r\n")
	default:
		c.says(fmt.Sprintf("+%s\r\n", name))
	}
}

func TestAClientThatDoesNotReadHoldsBackItselfOnly(t *testing.T) {
	w := newWorld(t)
	slow, quick := w.client(), w.client()
	for range 2000 { // teaches the session that replies are small
		slow.sends("GET s")
		r := w.asked()
		r.getsRequests("GET s")
		r.says("$1\r\nx\r\n")
		slow.gets("$1\r\nx\r\n")
	}
	slow.room = 0
	value := "$100000\r\n" + strings.Repeat("v", 100_000) + "\r\n"
	for range 100 {
		slow.sends("GET a")
	}
	asked := 0
	for range 100 {
		for _, link := range w.links {
			for !link.closed && !link.paused && link.received != "" {
				link.received = strings.TrimPrefix(link.received, encoded("GET a"))
				asked++
				link.says(value)
			}
		}
	}
	if size := slow.session.out.Len(); asked >= 100 || size > hardOutput+len(value) {
		t.Errorf("%d replies, %d bytes, were read for a client that does not read them", asked, size)
	}
	quick.sends("GET b")
	r := w.asked()
	r.getsRequests("GET b")
	r.says("$1\r\nb\r\n")
	quick.gets("$1\r\nb\r\n")
	for i := 0; i < 200 && len(slow.received) < 100*len(value); i++ {
		slow.takes(len(value))
		for _, link := range w.links {
			for !link.closed && !link.paused && link.received != "" {
				link.received = strings.TrimPrefix(link.received, encoded("GET a"))
				link.says(value)
			}
		}
	}
	if slow.received != strings.Repeat(value, 100) {
		t.Errorf("the slow client got %d bytes of %d", len(slow.received), 100*len(value))
	}
}

func TestAClientThatDoesNotReadIsNotCutOffBecauseAnotherWaitsBehindItsReplies(t *testing.T) {
	for name, size := range map[string]int{"whole": 100_000, "in parts": 1_500_000} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env.Config.OutputLimit = 16 << 20
			w.state(1, topology.Stable, "m", "r1")
			slow, quick := w.client(), w.client()
			for range 2000 { // teaches the session that replies are small
				slow.sends("GET s")
				r := w.asked()
				r.getsRequests("GET s")
				r.says("$1\r\nx\r\n")
				slow.gets("$1\r\nx\r\n")
			}
			slow.room = 0
			value := fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("v", size))
			n := 2*w.env.Config.OutputLimit/size + 1
			want := strings.Repeat(value, n)
			slow.sends(strings.Split(strings.Repeat(",GET a", n), ",")[1:]...)
			quick.sends("GET b")
			r := w.link("r1")
			if !strings.HasSuffix(r.received, encoded("GET b")) {
				t.Fatal("the other's request does not wait behind those of the slow client")
			}
			unread := map[*fakeConn]string{} // of the reply under way
			answer := func() {
				for _, link := range w.links {
					for !link.closed && !link.paused && (link.received != "" || unread[link] != "") {
						if rest, ok := strings.CutPrefix(link.received, encoded("GET a")); ok && unread[link] == "" {
							link.received, unread[link] = rest, value
						}
						if part := unread[link]; part != "" {
							unread[link] = part[min(len(part), size/2):]
							link.says(part[:min(len(part), size/2)])
							continue
						}
						link.received = strings.TrimPrefix(link.received, encoded("GET b"))
						link.says("$1\r\nb\r\n")
					}
				}
			}
			answer()
			for len(w.dials) > 0 {
				w.accept(w.dials[0].addr)
			}
			answer()
			quick.gets("$1\r\nb\r\n")
			if size := slow.session.out.Len(); size > hardOutput+len(value) {
				t.Errorf("%d bytes were kept for a client that does not read them", size)
			}
			for i := 0; i < 2000 && len(slow.received) < len(want); i++ {
				if slow.closed {
					t.Fatalf("closed after %d bytes", len(slow.received))
				}
				slow.takes(len(value))
				quick.sends("GET b")
				for len(w.dials) > 0 {
					w.accept(w.dials[0].addr)
				}
				answer()
				quick.gets("$1\r\nb\r\n")
			}
			if slow.received != want {
				t.Errorf("the slow client got %d bytes of %d", len(slow.received), len(want))
			}
		})
	}
}

func TestAClientThatStopsReadingIsIdleAndOneThatWaitsForItsReplyIsNot(t *testing.T) {
	w := newWorld(t)
	w.env.Config.IdleTimeout = time.Minute
	slow, waiting := w.client(), w.client()
	slow.room = 0
	slow.sends("SET a 1", "GET a")
	m := w.link("m")
	m.getsRequests("SET a 1", "GET a")
	m.says("+OK\r\n") // and the second reply is still to come
	waiting.sends("INCR b")
	w.wait(50 * time.Second)
	slow.takes(1) // it reads a little
	w.wait(50 * time.Second)
	slow.session.Tick(w.now)
	waiting.session.Tick(w.now)
	if slow.closed || waiting.closed {
		t.Fatalf("closed: %v, %v", slow.closed, waiting.closed)
	}
	w.wait(11 * time.Second)
	slow.session.Tick(w.now)
	waiting.session.Tick(w.now)
	if !slow.closed || waiting.closed {
		t.Errorf("closed: %v, %v", slow.closed, waiting.closed)
	}
}

func TestInputIsNotReadWhileItCannotBeTaken(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	w.grant.Epoch = 0
	for range 20 {
		if c.paused {
			break
		}
		c.sends("SET a " + strings.Repeat("v", 50_000))
	}
	if !c.paused {
		t.Fatal("a client whose requests are held goes on being read from")
	}
	w.grant.Epoch = 1
	w.wait(time.Second)
	w.state(1, "stable", "m", "r1", "r2")
	w.serve()
	if c.paused {
		t.Error("it is still not read from")
	}
}

func TestARequestThatWaitsForAGrantGoesOnWhenItComesWithoutANewState(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	m := w.link("m")
	w.grant = topology.Grant{}
	c.sends("SET a 1")
	w.wait(100 * time.Millisecond)
	m.getsRequests()
	w.grant = topology.Grant{Epoch: 1}
	w.wait(10 * time.Millisecond)
	m.getsRequests("SET a 1")
	m.says("+OK\r\n")
	c.gets("+OK\r\n")
}

func TestNothingIsSentSoLateInALeaseThatItsReplyMayComeAfterIt(t *testing.T) {
	w := newWorld(t)
	w.lease = time.Second
	w.grant = topology.Grant{Epoch: 1, Until: w.now.Add(w.lease)}
	c := w.client()
	m := w.link("m")
	w.wait(850 * time.Millisecond)
	c.sends("SET a 1")
	m.getsRequests("SET a 1")
	w.wait(100 * time.Millisecond)
	m.says("+OK\r\n")
	c.gets("+OK\r\n") // the lease lasts
	c.sends("SET a 2")
	m.getsRequests()
	w.grant.Until = w.now.Add(w.lease)
	w.wait(10 * time.Millisecond)
	m.getsRequests("SET a 2")
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

func TestLanesAreSharedByKindOfConversation(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(), w.client()
	a.sends("GET a")
	b.sends("GET b")
	a.sends("SELECT 2")
	w.serve()
	links := len(w.links)
	b.sends("SELECT 2", "SET x 1")
	a.sends("SET y 1")
	w.serve()
	if len(w.links) != links {
		t.Errorf("%d connections more for the second client of a database", len(w.links)-links)
	}
	if a.session.key != b.session.key || a.session.key != (upstream.Key{Proto: 2, DB: 2}) {
		t.Errorf("keys %v and %v", a.session.key, b.session.key)
	}
}

func TestSilencedRepliesAreNotDeliveredEvenWhenRequestsAreSentAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("CLIENT REPLY SKIP", "GET a", "GET b")
	first := w.asked()
	first.getsRequests("GET a")
	first.dies()
	second := w.asked()
	second.getsRequests("GET a")
	second.says("$1\r\na\r\n")
	c.gets("")
	third := w.asked()
	third.getsRequests("GET b")
	third.says("$1\r\nb\r\n")
	c.gets("$1\r\nb\r\n")
	c.sends("CLIENT REPLY OFF", "SET a 1", "CLIENT REPLY SKIP", "INCR a", "NOSUCH", "PING", "CLIENT REPLY ON", "PING")
	w.serve()
	c.gets("+OK\r\n+PONG\r\n")
}

func TestAnIdleClientIsClosedUnlessSomethingIsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.env.Config.IdleTimeout = time.Minute
	idle, busy, fresh := w.client(), w.client(), w.client()
	busy.sends("GET a")
	w.wait(2 * time.Minute)
	fresh.sends("PING")
	for s := range w.env.Sessions {
		s.Tick(w.now)
	}
	if !idle.closed || busy.closed || fresh.closed {
		t.Errorf("closed: idle %v, busy %v, fresh %v", idle.closed, busy.closed, fresh.closed)
	}
}
