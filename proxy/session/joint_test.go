package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// pipelined are requests of every kind that can stand in a pipeline, and what a server answers.
var pipelined = [][2]string{
	{"GET a", "$1\r\n1\r\n"}, {"GET b", "$-1\r\n"}, {"GET c", "-WRONGTYPE it is a list\r\n"}, {"GET d", "$0\r\n\r\n"},
	{"LRANGE l 0 -1", "*1\r\n$1\r\nx\r\n"}, {"STRLEN a", ":1\r\n"}, {"STRLEN b", ":0\r\n"}, {"PING", "+PONG\r\n"},
	{"SET a 1", "+OK\r\n"}, {"SET b 1", "+OK\r\n"}, {"SET c 1 NX", "$-1\r\n"}, {"SET d 1", "-OOM\r\n"}, {"SET e 1", "+OK\r\n"},
	{"INCR n", ":1\r\n"}, {"INCR m", ":1\r\n"}, {"MSET f 1 g 2", "+OK\r\n"}, {"LPOP l", "$1\r\nx\r\n"}, {"LPOP l", "$1\r\ny\r\n"},
	{"EVAL script 0", ":1\r\n"}, {"GET h", "$20000\r\n" + strings.Repeat("v", 20000) + "\r\n"}, {"GET i", "$1\r\n2\r\n"},
}

func TestWhereverRepliesAreCutTheyAreTheSame(t *testing.T) {
	var requests []string
	replies := ""
	for _, p := range pipelined {
		requests = append(requests, p[0])
		replies += p[1]
	}
	type knowledge struct{ outstanding, underway, writes, window, floorRaised int }
	// tell has a client be answered in parts of that size, and returns what has come of it.
	tell := func(size int) knowledge {
		w := newWorld(t)
		w.lagging = true
		c := w.client()
		c.session.window = maxOutstanding // it may send reads and writes together
		before := w.tracker.Floor()
		c.sends(requests...)
		m := w.link("m")
		m.getsRequests(requests...)
		for rest := replies; rest != ""; {
			n := min(size, len(rest))
			m.says(rest[:n])
			rest = rest[n:]
		}
		c.gets(replies)
		for _, key := range strings.Fields("a b c d e f g n m l") {
			if at := readsAt(w.client(), "GET "+key); at != "m" {
				t.Errorf("in parts of %d: a read of %s, which was written, went to %s", size, key, at)
			}
		}
		s := c.session
		return knowledge{s.outstanding, s.underway, s.writes, s.window, int(w.tracker.Floor() - before)}
	}
	want := tell(1)
	if want.outstanding != 0 || want.underway != 0 || want.writes != 0 {
		t.Fatalf("after the last reply: %+v", want)
	}
	for _, size := range []int{2, 3, 5, 7, 11, 40, 100, 1000, 19000, 1 << 20} {
		if got := tell(size); got != want {
			t.Errorf("in parts of %d: %+v, one by one: %+v", size, got, want)
		}
	}
}

func TestRepliesThatComeTogetherGoToWhomTheyAreFor(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(), w.client()
	a.sends("SET x 1", "SET y 1")
	b.sends("SET x 2")
	a.sends("SET z 1")
	w.link("m").answers("+a1\r\n+a2\r\n+b\r\n+a3\r\n", "SET x 1", "SET y 1", "SET x 2", "SET z 1")
	a.gets("+a1\r\n+a2\r\n+a3\r\n")
	b.gets("+b\r\n")
}

func TestEveryOneOfTheWritesThatAreAnsweredTogetherIsStamped(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	c := w.client()
	var sets []string
	for i := range 20 {
		sets = append(sets, fmt.Sprintf("SET k%d 1", i))
	}
	c.sends(sets...)
	w.link("m").answers(strings.Repeat("+OK\r\n", 20), sets...)
	for i := range 20 {
		if at := readsAt(w.client(), fmt.Sprintf("GET k%d", i)); at != "m" {
			t.Errorf("the read of key %d went to %s", i, at)
		}
	}
	if at := readsAt(w.client(), "GET other"); at == "m" {
		t.Error("the read of another key went to the master")
	}
}

func TestAllWritesThatAreAnsweredTogetherAreOfUnknownOutcomeWhenTheGrantIsLost(t *testing.T) {
	w := newWorld(t)
	w.grant.Until = w.now.Add(time.Second)
	c, m := sent(w, "INCR a", "INCR b", "INCR c")
	w.grant = topology.Grant{}
	m.says(":1\r\n:1\r\n:1\r\n")
	c.gets(strings.Repeat(unknownResult, 3))
}

func TestRepliesThatComeTogetherToASilentClientAreNotDelivered(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("CLIENT REPLY OFF", "SET a 1", "SET b 1")
	w.link("m").answers("+OK\r\n+OK\r\n", "SET a 1", "SET b 1")
	c.gets("")
}

func TestSmallRepliesThatComeTogetherDoNotPileUpBeforeAClientThatDoesNotRead(t *testing.T) {
	w := newWorld(t)
	w.state(1, topology.Stable, "m") // which serves reads, too
	c := taughtSmall(w, 1000)
	c.room = 0
	value := bulk(16000) // the largest that are delivered together are a little larger
	c.sends(many(1000, "GET a")...)
	lane := w.has("GET a")
	lane.getsRequests(many(1000, "GET a")...)
	for range 50 {
		if !lane.paused {
			lane.says(strings.Repeat(value, 20))
		}
	}
	if n := c.session.backlog(); n < hardOutput || n > hardOutput+20*len(value) {
		t.Errorf("%d bytes wait for a client that does not read", n)
	}
}
