package session

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/topology"
)

const tooFew = "-UNREPLICATED the master has carried out the command, but within 1s fewer than 1 replicas were found to have what it changed, " +
	"if anything (write-acks); that is lost if the master fails before they have it\r\n"

// reaches lets the first n replicas have all that was written and answered by now.
func (w *world) reaches(n int) {
	w.t.Helper()
	s := w.snapshot.State
	var nodes []freshness.Node
	for _, r := range s.Replicas {
		nodes = append(nodes, freshness.Node{Addr: r.Addr, RunID: r.RunID})
	}
	w.offset++
	w.samples.Answered(w.samples.Begin(w.now), w.offset)
	for _, r := range w.tracker.Enroll(w.snapshot.Version, w.reign, nodes)[:n] {
		w.samples.Reached(r, w.offset, w.now)
	}
	w.turn()
}

// unanswered has a client send a request that the master carries out and no replica gets.
func unanswered(w *world, request, reply string) *fakeConn {
	w.t.Helper()
	w.lagging = true
	c := w.client()
	c.sends(request)
	w.link("m").answers(reply, request)
	c.gets("")
	return c
}

func TestAWriteIsAnsweredWhenEnoughReplicasHaveIt(t *testing.T) {
	w := newDurableWorld(t, 2)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.reaches(1)
	c.gets("")
	w.reaches(2)
	c.gets("+OK\r\n")
}

func TestRepliesBehindAWriteWaitForTheirTurn(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	c.sends("GET a", "PING") // on the master's lane: no replica has it
	w.link("m").answers("$1\r\n1\r\n+PONG\r\n", "GET a", "PING")
	c.sends("SET b 2")
	w.link("m").answers("+OK\r\n", "SET b 2")
	c.gets("")
	w.reaches(1)
	c.gets("+OK\r\n$1\r\n1\r\n+PONG\r\n+OK\r\n")
}

func TestWhatIsPushedDoesNotOvertakeWhatIsWithheld(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	c.sends("SUBSCRIBE a")
	hub := w.accept("m")
	hub.getsRequests("SUBSCRIBE a")
	hub.says(subscribedA + message("a", "text"))
	c.gets("")
	w.reaches(1)
	c.gets("+OK\r\n" + subscribedA + message("a", "text"))
	hub.says(message("a", "more"))
	c.gets(message("a", "more"))
}

func TestAnErrorOfAWriteIsNotWithheldAndThatOfAScriptIs(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	c.sends("LPUSH a 1")
	w.link("m").says("-WRONGTYPE no\r\n")
	c.gets("-WRONGTYPE no\r\n")
	c.sends("EVAL x 0")
	w.link("m").says("-ERR it wrote before\r\n")
	c.gets("")
	w.reaches(1)
	c.gets("-ERR it wrote before\r\n")
}

func TestWhatFoundNothingToTakeIsNotWithheld(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	for request, reply := range map[string]string{
		"LPOP a": "$-1\r\n", "LPOP a 0": "*0\r\n", "ZPOPMIN a": "*0\r\n", "LMPOP 1 a LEFT": "*-1\r\n", "GETDEL a": "$-1\r\n",
	} {
		c.sends(request)
		w.link("m").answers(reply, request)
		c.gets(reply)
	}
	pin := begin(w, c, "WATCH a")
	for _, step := range [][2]string{{"MULTI", "+OK\r\n"}, {"INCR a", "+QUEUED\r\n"}, {"EXEC", "*-1\r\n"}} { // a is another by now
		c.sends(step[0])
		pin.answers(step[1], step[0])
		c.gets(step[1])
	}
	unanswered(w, "LPOP b", "$0\r\n\r\n").gets("") // an empty element is one
	unanswered(w, "GETSET b 1", "$-1\r\n").gets("")
}

func TestAWriteWhoseConditionIsNotMetIsNotWithheld(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	for request, reply := range map[string]string{
		"SET a 1 NX": "$-1\r\n", "set a 1 ex 10 xx": "$-1\r\n", "SETNX a 1": ":0\r\n", "MSETNX a 1 b 2": ":0\r\n", "HSETNX h f v": ":0\r\n",
		"RENAMENX a b": ":0\r\n", "COPY a b": ":0\r\n", "MOVE a 1": ":0\r\n",
	} {
		c.sends(request)
		w.link("m").answers(reply, request)
		c.gets(reply)
	}
	for request, reply := range map[string]string{
		"SET a 1 NX": "+OK\r\n", "SET a 1 GET": "$-1\r\n", "SET a 1 NX GET": "$-1\r\n", "SETNX a 1": ":1\r\n", "DECR a": ":0\r\n",
	} {
		unanswered(w, request, reply).gets("")
	}
}

func TestOfATransactionOnlyTheReplyToExecIsWithheldAndReplaced(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	c.sends("MULTI", "SET a 1", "EXEC")
	w.link("m").says("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
	c.gets("+OK\r\n+QUEUED\r\n")
	w.wait(time.Second)
	c.gets(tooFew)
}

func TestAWriteThatIsNotDurableInTimeIsAnsweredByAnErrorAndWhatIsBehindItAsItWas(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.wait(600 * time.Millisecond)
	c.sends("GET a", "SET b 1")
	w.link("m").says("$1\r\n1\r\n+OK\r\n")
	w.wait(600 * time.Millisecond)
	c.gets(tooFew + "$1\r\n1\r\n")
	w.wait(600 * time.Millisecond)
	c.gets(tooFew)
	if got := w.env.Stats.Unreplicated; got != 2 {
		t.Errorf("%d are counted", got)
	}
}

func TestAMasterThatIsDeposedLeavesWithheldWritesOfUnknownOutcome(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.state(2, topology.Fencing, "m", "r1", "r2")
	c.gets(unknownResult)
	w.reaches(2)
	c.gets("")
}

func TestAPlannedFenceWaitsUntilWhatIsWithheldHasBeenAnswered(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.planned = true
	w.state(2, topology.Fencing, "m", "r1", "r2")
	c.gets("")
	if len(w.fenced) > 0 {
		t.Fatal("the fence is acknowledged, and the next master may not have what is promised")
	}
	w.reaches(1)
	c.gets("+OK\r\n")
	if len(w.fenced) != 1 {
		t.Error("the fence is not acknowledged")
	}
}

func TestAPlannedFenceDoesNotWaitForWritesThatAreNotDurableInTime(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.planned = true
	w.state(2, topology.Fencing, "m", "r1", "r2")
	w.wait(time.Second)
	c.gets(tooFew)
	if len(w.fenced) != 1 {
		t.Error("the fence is not acknowledged")
	}
}

func TestWhatAnotherMasterMayNotHaveIsNotPromisedBecauseItsReplicasAreFresh(t *testing.T) {
	for name, states := range map[string]func(w *world){
		"a switchover that was given up, and another master all the same": func(w *world) {
			w.planned = true
			w.state(2, topology.Fencing, "m", "r1", "r2")
			w.state(3, topology.Promoting, "m", "r1", "r2")
			w.state(3, topology.Stable, "r1", "r2")
		},
		"a master that others have made a replica": func(w *world) {
			w.state(2, topology.Fencing, "m", "r1", "r2")
			w.state(2, topology.Promoting, "m", "r1", "r2")
			w.state(2, topology.Stable, "r1", "r2")
		},
		"changes that this member has not seen": func(w *world) { w.state(3, topology.Stable, "m", "r1", "r2") },
	} {
		w := newDurableWorld(t, 1)
		c := unanswered(w, "SET a 1", "+OK\r\n")
		states(w)
		w.grant = topology.Grant{Epoch: w.snapshot.State.Epoch}
		w.lagging = false
		w.turn()
		if got := c.received; got != unknownResult {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAWriteThatIsAnsweredBehindAnUnplannedFenceIsOfUnknownOutcome(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c, m := sent(w, "SET a 1")
	w.alive = true
	w.state(2, topology.Fencing, "m", "r1", "r2")
	m.says("+OK\r\n")
	c.gets(unknownResult)
}

func TestALargeReplyIsWithheldWholeAndNotPausedFor(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	c.sends("GETSET a 1")
	m := w.link("m")
	m.received = ""
	value := strings.Repeat("x", 8<<20)
	m.says("$8388608\r\n" + value[:6<<20])
	w.reaches(1) // before it is whole
	c.gets("")
	m.says(value[6<<20:] + "\r\n")
	w.turn()
	if want := "$8388608\r\n" + value + "\r\n"; c.received != want {
		t.Errorf("the client got %d bytes of %d", len(c.received), len(want))
	}
}

func TestALargeReplyThatIsForsakenHalfwayIsReplacedWhole(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	c.sends("GETSET a 1")
	m := w.link("m")
	m.received = ""
	m.says("$8388608\r\n" + strings.Repeat("x", 6<<20))
	w.alive = true
	w.state(2, topology.Fencing, "m", "r1", "r2")
	c.gets(unknownResult)
	m.says(strings.Repeat("x", 2<<20) + "\r\n")
	c.gets("")
}

func TestWithoutAGrantNothingIsDurable(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.grant = topology.Grant{}
	w.reaches(2)
	c.gets("")
	w.grant = topology.Grant{Epoch: 1}
	w.reaches(2)
	c.gets("+OK\r\n")
}

func TestAReplicaThatIsNoHolderDoesNotCount(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	w.amend(func(s *topology.State) { s.Durable.Holders = s.Durable.Holders[1:] }) // r1 was taken off
	c := unanswered(w, "SET a 1", "+OK\r\n")
	w.reaches(1)
	c.gets("")
	w.reaches(2)
	c.gets("+OK\r\n")
}

func TestAClientThatLeavesIsNotClosedBeforeItHasItsReplies(t *testing.T) {
	w := newDurableWorld(t, 1)
	c := unanswered(w, "SET a 1", "+OK\r\n")
	c.sends("QUIT")
	c.handler.HalfClosed(false)
	w.turn()
	if c.closed {
		t.Fatal("it is closed")
	}
	w.reaches(1)
	c.gets("+OK\r\n+OK\r\n")
	if !c.closed {
		t.Error("it stays open")
	}
}

func TestAClientThatSilencesRepliesGetsNoErrorEither(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	c.sends("CLIENT REPLY OFF", "SET a 1")
	w.link("m").says("+OK\r\n")
	w.wait(2 * time.Second)
	c.gets("")
}

func TestAClientDoesNotPileUpWithheldReplies(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	c := w.client()
	big := strings.Repeat("x", 100<<10)
	for range 20 {
		c.sends("GETSET a 1")
		if w.link("m").received == "" {
			return // no more is taken
		}
		w.link("m").received = ""
		w.link("m").says("$102400\r\n" + big + "\r\n")
	}
	t.Error("2 MB are withheld and more is taken")
}

func TestClientsThatLeaveAfterTheirWritesWereNotDurableInTimeAreForgotten(t *testing.T) {
	w := newDurableWorld(t, 1)
	w.lagging = true
	w.state(1, topology.Stable, "m") // and no replica that could have them
	for range 3 {
		c := w.client()
		c.sends("SET a 1")
		w.link("m").answers("+OK\r\n", "SET a 1")
		w.wait(time.Second)
		c.gets(tooFew)
		c.dies()
	}
	if w.tracker.Hurried() {
		t.Error("samples are taken in a hurry for nobody")
	}
}
