package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestAReadThatWasSentIsSentAgainElsewhere(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("GET a", "GET b")
	first := w.asked()
	first.getsRequests("GET a", "GET b")
	first.says("$1\r\n1\r\n")
	c.gets("$1\r\n1\r\n")
	first.dies()
	second := w.asked()
	second.getsRequests("GET b")
	if second.addr == first.addr {
		t.Errorf("it was sent again to %s, whose connection has just died", second.addr)
	}
	second.says("$1\r\n2\r\n")
	c.gets("$1\r\n2\r\n")
}

func TestOfWritesOnlyThoseThatWereNotWhollySentAreSentAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	m := w.link("m")
	all := encoded("INCR a", "GET b", "INCR b", "INCR c", "GET c")
	m.room = len(encoded("INCR a", "GET b", "INCR b")) + 5 // INCR c is cut in the middle
	c.says(all)
	m.gets(all[:len(all)-len(encoded("INCR c", "GET c"))+5])
	m.says(":1\r\n")
	c.gets(":1\r\n")
	m.dies()
	// GET b is not asked again: it would see what INCR b, which came behind it, may have made.
	c.gets(unknownResult + unknownResult)
	w.wait(time.Second)
	m = w.accept("m")
	m.getsRequests("INCR c", "GET c")
	m.says(":1\r\n$1\r\n1\r\n")
	c.gets(":1\r\n$1\r\n1\r\n")
}

func TestAReadInFrontOfAWriteOfUnknownOutcomeIsAskedAgainIfItCannotSeeIt(t *testing.T) {
	for _, test := range []struct {
		read, write string
		again       bool
	}{
		{"GET a", "INCR b", true},
		{"GET a", "INCR a", false},
		{"MGET a b", "MSET c 1 b 2", false},
		{"MGET a d", "MSET c 1 b 2", true},
		{"PING", "INCR a", true},
		{"TIME", "FLUSHALL", true},
		{"GET a", "FLUSHALL", false},
		{"GET a", "EVAL x 1 b", false},
		{"DBSIZE", "INCR a", false},
		{"GET a", "PUBLISH a b", true},
	} {
		w := newWorld(t)
		c := w.client()
		m := w.link("m")
		c.sends(test.read, test.write, test.read)
		m.received = ""
		m.dies()
		w.wait(time.Second)
		got := c.received
		if asked := !strings.HasPrefix(got, unknownResult); asked != test.again {
			t.Errorf("%s before %s: asked again %v, and the client got %q", test.read, test.write, asked, got)
		}
	}
}

func TestAnErrorOfCodeThatOnlyReadsIsItsOwnAffair(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("EVAL_RO x 0")
	w.asked().says("-LOADING x\r\n")
	m := w.link("m") // one that is no replica may do better
	m.getsRequests("EVAL_RO x 0")
	m.says("-LOADING x\r\n")
	c.gets("-LOADING x\r\n")
	// Nobody else is kept from the nodes for it.
	other := w.client()
	other.sends("INCR a")
	w.link("m").answers(":1\r\n", "INCR a")
	other.gets(":1\r\n")
	c.sends("WATCH a", "EVAL_RO x 0")
	p := w.accept("m")
	p.getsRequests("WATCH a")
	p.says("+OK\r\n")
	p.getsRequests("EVAL_RO x 0")
	p.says("-MASTERDOWN x\r\n")
	c.gets("+OK\r\n-MASTERDOWN x\r\n")
}

func TestAnErrorOfAScriptThatOnlyTheMasterHasIsItsOwnAffairToo(t *testing.T) {
	request := "EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff 0"
	for _, said := range []string{"-READONLY x\r\n", "-LOADING x\r\n"} {
		w := newWorld(t)
		c := w.client()
		c.sends(request)
		m := w.link("m")
		m.getsRequests(request)
		m.says(said)
		c.gets(said)
		c.sends("WATCH a", request)
		p := w.accept("m")
		p.getsRequests("WATCH a")
		p.says("+OK\r\n")
		p.getsRequests(request)
		p.says(said)
		c.gets("+OK\r\n" + said)
		if len(w.suspects) > 0 {
			t.Errorf("the master is under suspicion for %q, which the script said", said)
		}
	}
}

func TestAReadThatAReplicaTakesForAWriteIsAnsweredByTheMaster(t *testing.T) {
	const refusal = "-READONLY You can't write against a read only replica.\r\n"
	for request, answer := range map[string]string{
		"EVAL_RO x 0": "-ERR Can not execute a script with write flag using *_ro command.\r\n",
		"EVAL_RO y 0": refusal, // the script's own: nobody is asked a third time
		"GET a":       "$1\r\n1\r\n",
	} {
		t.Run(request, func(t *testing.T) {
			w := newWorld(t)
			c := w.client()
			c.sends("GET b", request, "GET c")
			replica := w.asked()
			replica.getsRequests("GET b", request, "GET c")
			replica.says("$1\r\nb\r\n" + refusal + "$1\r\nc\r\n")
			c.gets("$1\r\nb\r\n")
			m := w.link("m")
			m.getsRequests(request, "GET c") // which came behind it, and is not to be overtaken
			m.says(answer + "$1\r\nc\r\n")
			c.gets(answer + "$1\r\nc\r\n")
			if len(w.suspects) > 0 {
				t.Error("a node is under suspicion for what it was asked")
			}
		})
	}
}

func TestAReadOnlyErrorIsNoAnswer(t *testing.T) {
	w := newWorld(t)
	c, m := sent(w, "INCR a", "GET a", "INCR b")
	m.says("-READONLY You can't write against a read only replica.\r\n$1\r\n9\r\n-READONLY You can't write against a read only replica.\r\n")
	c.gets("")
	if len(w.suspects) == 0 {
		t.Error("nobody was told to look at the master")
	}
	heir := w.inherits("r1", "r2")
	heir.getsRequests("INCR a", "GET a", "INCR b") // the read too: it comes behind the write
	heir.says(":1\r\n$1\r\n1\r\n:1\r\n")
	c.gets(":1\r\n$1\r\n1\r\n:1\r\n")
}

func TestAMasterThatGoesOnBeingReadOnlyIsDeclinedAtTheHoldTimeout(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("INCR a", "PING")
	m := w.link("m")
	tries := 0
	for began := w.now; w.now.Sub(began) <= w.env.Config.HoldTimeout; w.wait(100 * time.Millisecond) {
		for m.received != "" {
			both := strings.HasSuffix(m.received, encoded("PING"))
			m.received = ""
			tries++
			m.says("-READONLY You can't write against a read only replica.\r\n")
			if both {
				m.says("+PONG\r\n")
			}
		}
	}
	c.gets("-MASTERDOWN no master was available for 10s; the command was not sent\r\n+PONG\r\n")
	if tries < 10 {
		t.Errorf("the master was tried only %d times", tries)
	}
}

func TestNoReplicasIsAnAnswerUnlessThePromotionWasJustNow(t *testing.T) {
	const text = "-NOREPLICAS Not enough good replicas to write.\r\n"
	w := newWorld(t)
	c, m := sent(w, "INCR a")
	m.says(text)
	c.gets("")
	w.wait(promotionGrace)
	m = w.link("m")
	m.getsRequests("INCR a")
	m.says(text)
	c.gets(text)
}

func TestAReplyThatBreaksOffGoesOnFromAnotherNode(t *testing.T) {
	for _, size := range []int{1000, 100 << 10, 3 << 20} {
		w := newWorld(t)
		c := w.client()
		c.sends("GET a", "GET b")
		r := w.asked()
		r.getsRequests("GET a", "GET b")
		reply := fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("v", size))
		r.says(reply[:size/2])
		if begun := c.received != ""; begun != (size > 1<<20) {
			t.Errorf("%d bytes: passed on in parts: %v", size, begun)
		}
		r.dies()
		r = w.asked()
		r.getsRequests("GET a", "GET b")
		r.says(reply[:size/3]) // and that one dies before it comes to anything new
		r.dies()
		w.wait(time.Second)
		w.acceptAll()
		r = nil
		for _, link := range w.links {
			if !link.closed && link.received != "" {
				r = link
			}
		}
		r.getsRequests("GET a", "GET b")
		r.says(reply[:len(reply)-5])
		r.says(reply[len(reply)-5:] + reply)
		c.gets(reply + reply)
	}
}

func TestAReplyThatBreaksOffAndIsAnotherByNowEndsTheClient(t *testing.T) {
	for name, second := range map[string]string{
		"another value": fmt.Sprintf("$%d\r\n%s\r\n", 3<<20, strings.Repeat("w", 3<<20)),
		"a shorter one": "$1\r\nv\r\n",
		"an error":      "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
	} {
		w := newWorld(t)
		c := w.client()
		c.sends("GET a")
		r := w.asked()
		r.getsRequests("GET a")
		first := fmt.Sprintf("$%d\r\n%s\r\n", 3<<20, strings.Repeat("v", 3<<20))
		r.says(first[:2<<20])
		c.gets(first[:2<<20])
		r.dies()
		r = w.asked()
		r.getsRequests("GET a")
		r.says(second)
		if c.gets(""); !c.closed {
			t.Errorf("%s: the client remains", name)
		}
	}
}

func TestARequestThatWasDeclinedIsNotDoneBehindALaterWrite(t *testing.T) {
	const declined = "-READONLY You can't write against a read only replica.\r\n"
	w := newWorld(t)
	w.lagging = true
	c, m := sent(w, "SET a 1", "GET a", "SET a 2", "GET a")
	m.says(declined + "$1\r\n0\r\n+OK\r\n$1\r\n2\r\n") // it became master in between
	w.wait(time.Second)
	if m = w.link("m"); strings.Contains(m.received, "SET") {
		t.Fatalf("asked again: %q", m.received)
	}
	if m.received != "" { // the last read, which nothing stands behind
		m.getsRequests("GET a")
		m.says("$1\r\n2\r\n")
	}
	c.gets(declined + "$1\r\n0\r\n+OK\r\n$1\r\n2\r\n")
}

func TestAReadInFrontOfAWriteIsNotAskedAgainForASlowReader(t *testing.T) {
	w := newWorld(t)
	slow, quick := w.client(), w.client()
	for range 300 { // teaches the session that replies are small
		slow.sends("INCR s")
		w.link("m").answers(":1\r\n", "INCR s")
		slow.gets(":1\r\n")
	}
	slow.room = 0
	value := fmt.Sprintf("$%d\r\n%s\r\n", 500_000, strings.Repeat("v", 500_000))
	want := ""
	for range maxMixed {
		slow.sends("GET a", "SET a x")
		want += value + "+OK\r\n"
	}
	quick.sends("INCR b")
	m := w.link("m")
	m.getsRequests(append(strings.Split(strings.Repeat("GET a,SET a x,", maxMixed), ",")[:2*maxMixed], "INCR b")...)
	m.says(want)
	m.says(":1\r\n")
	quick.gets(":1\r\n")
	slow.takes(1 << 30)
	slow.gets(want)
}

func TestALostBlockAnswersEveryOneOfItsCommands(t *testing.T) {
	for answered := range 4 {
		w := newWorld(t)
		c := w.client()
		c.sends("MULTI", "INCR a", "INCR b", "EXEC", "PING")
		m := w.link("m")
		m.getsRequests("MULTI", "INCR a", "INCR b", "EXEC")
		for _, reply := range []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"}[:answered] {
			m.says(reply)
		}
		m.dies()
		c.gets("+OK\r\n+QUEUED\r\n+QUEUED\r\n" + unknownResult + "+PONG\r\n")
	}
}

func TestABlockThatWasNotWhollySentIsSentAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	m := w.link("m")
	m.room = len(encoded("MULTI", "INCR a", "EXEC")) - 1
	c.sends("MULTI", "INCR a", "EXEC", "PING")
	m.says("+OK\r\n+QUEUED\r\n")
	m.dies()
	c.gets("")
	w.wait(time.Second)
	m = w.accept("m")
	m.getsRequests("MULTI", "INCR a", "EXEC")
	m.says("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
	c.gets("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n+PONG\r\n")
}

func TestABlockRefusedByADemotedMasterIsSentAgain(t *testing.T) {
	const readonly = "-READONLY You can't write against a read only replica.\r\n"
	for _, refusal := range []string{
		"+OK\r\n" + readonly + "-EXECABORT Transaction discarded because of previous errors.\r\n",
		"+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.\r\n",
	} {
		w := newWorld(t)
		c, m := sent(w, "MULTI", "INCR a", "EXEC")
		m.says(refusal)
		c.gets("")
		w.wait(time.Second) // and the master is tried again
		m = w.link("m")
		m.getsRequests("MULTI", "INCR a", "EXEC")
		m.says("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
		c.gets("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
	}
}

func TestTheResultOfABlockThatAScriptMadeToLookLikeARefusalIsDelivered(t *testing.T) {
	w := newWorld(t)
	c, m := sent(w, "MULTI", "EVAL return(1) 0", "EXEC")
	const replies = "+OK\r\n+QUEUED\r\n*1\r\n-READONLY says the script\r\n"
	m.says(replies)
	c.gets(replies)
}

func TestAScriptsErrorIsDeliveredWhateverItSays(t *testing.T) {
	for _, text := range []string{"-READONLY x\r\n", "-LOADING x\r\n", "-MASTERDOWN x\r\n", "-NOREPLICAS x\r\n", "-UNBLOCKED instance state changed\r\n"} {
		w := newWorld(t)
		c := w.client()
		c.sends("EVAL x 0")
		w.link("m").says(text)
		c.gets(text)
	}
}

func TestWithCloseAmbiguousAnUnknownResultEndsTheClient(t *testing.T) {
	w := newWorld(t)
	w.env.Config.CloseAmbiguous = true
	c := w.client()
	c.sends("INCR a")
	w.link("m").dies()
	if !c.closed || w.env.Stats.Closes[ByAmbiguity] != 1 {
		t.Errorf("closed: %v, %v", c.closed, w.env.Stats.Closes)
	}
}

func TestRepliesForAClientThatHasLeftAreDropped(t *testing.T) {
	w := newWorld(t)
	gone, stays := w.client(), w.client()
	gone.sends("INCR a", "GET a")
	stays.sends("INCR b")
	gone.dies()
	m := w.link("m")
	m.getsRequests("INCR a", "GET a", "INCR b")
	m.says(":1\r\n$1\r\n1\r\n:7\r\n")
	stays.gets(":7\r\n")
	if w.gone != 1 || len(w.env.Sessions) != 1 {
		t.Errorf("%d clients closed, %d left", w.gone, len(w.env.Sessions))
	}
}

func TestAMasterThatIsDoubtedAgainUnderTheNextStateIsLeftAloneForAsLongAsTheFirstTime(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("SET a 1")
	m := w.link("m")
	const readOnly = "-READONLY You can't write against a read only replica.\r\n"
	m.answers(readOnly, "SET a 1")
	w.wait(40 * time.Millisecond)
	w.state(1, topology.Stable, "m", "r1", "r2")
	m.answers(readOnly, "SET a 1")
	w.wait(40 * time.Millisecond)
	m.gets("")
	w.wait(10 * time.Millisecond)
	m.answers("+OK\r\n", "SET a 1")
	c.gets("+OK\r\n")
}
