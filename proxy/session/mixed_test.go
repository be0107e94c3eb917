package session

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// mixedAnswers are what nodes say to the requests of these tests.
var mixedAnswers = map[string]string{"SET a x": "+OK\r\n", "GET b": "$1\r\n1\r\n"}

// alternating is a pipeline of n writes with nine reads behind each.
func alternating(n int) []string {
	return slices.Repeat(append([]string{"SET a x"}, many(9, "GET b")...), n)
}

// exchange sends a pipeline and has it answered. It returns how many round trips that took, and how many reads the master
// answered.
func exchange(c *fakeConn, requests []string) (trips, atMaster int) {
	w := c.world
	w.t.Helper()
	want := ""
	for _, r := range requests {
		want += mixedAnswers[r]
	}
	for c.sends(requests...); len(c.received) < len(want); trips++ {
		if trips > len(requests) {
			w.t.Fatalf("got %d of %d bytes", len(c.received), len(want))
		}
		arrived := map[*fakeConn]string{} // what each node has got before any answers
		for _, link := range w.links {
			if !link.closed && link.received != "" {
				arrived[link], link.received = link.received, ""
			}
		}
		for link, text := range arrived {
			gets, sets := strings.Count(text, encoded("GET b")), strings.Count(text, encoded("SET a x"))
			if link.addr == "m" {
				atMaster += gets
			}
			answer := text
			for request, reply := range mixedAnswers {
				answer = strings.ReplaceAll(answer, encoded(request), reply)
			}
			if len(text) != gets*len(encoded("GET b"))+sets*len(encoded("SET a x")) {
				w.t.Fatalf("%s got %q", link.addr, text)
			}
			link.says(answer)
		}
	}
	c.gets(want)
	return trips, atMaster
}

func TestAPipelineInWhichManyReadsAndWritesAlternateCostsOneRoundTripOnAConnectionOfItsOwn(t *testing.T) {
	w := newWorld(t)
	c, other := taughtSmall(w, 1000), w.client()
	if trips, _ := exchange(c, alternating(12)); trips < 5 {
		t.Errorf("on a lane it took %d round trips", trips)
	}
	if len(w.dials) != 1 || w.dials[0].addr != "m" {
		t.Fatalf("connections are opened: %v", w.dials)
	}
	if trips, _ := exchange(c, alternating(12)); trips < 5 {
		t.Errorf("while the connection is being opened it took %d round trips", trips)
	}
	own := w.accept("m")
	for range 3 {
		w.wait(4 * time.Second)
		if trips, _ := exchange(c, alternating(12)); trips != 1 {
			t.Errorf("on a connection of its own it took %d round trips", trips)
		}
	}
	other.sends("SET a x")
	w.has("SET a x").answers("+OK\r\n", "SET a x")
	if own.closed {
		t.Fatal("it was closed")
	}
	w.wait(5 * time.Second)
	exchange(c, []string{"SET a x"})
	if !own.closed {
		t.Error("it is kept although the session has not mixed for five seconds")
	}
}

func TestAPipelineOfReadsWithOneWriteGetsNoConnectionOfItsOwn(t *testing.T) {
	for name, requests := range map[string][]string{
		"in front": append([]string{"SET a x"}, many(120, "GET b")...),
		"behind":   append(many(120, "GET b"), "SET a x"),
	} {
		w := newWorld(t)
		c := taughtSmall(w, 1000)
		for range 10 {
			trips, atMaster := exchange(c, requests)
			if trips > 2 {
				t.Errorf("a write %s: %d round trips", name, trips)
			}
			if name == "behind" && atMaster > 0 {
				t.Errorf("%d reads in front of a write went to the master", atMaster)
			}
		}
		if len(w.dials) > 0 {
			t.Errorf("a write %s: a connection is opened to %s", name, w.dials[0].addr)
		}
	}
}

func TestAConnectionForMixedPipelinesThatIsLostIsReplaced(t *testing.T) {
	w := newWorld(t)
	c := taughtSmall(w, 1000)
	exchange(c, alternating(12))
	own := w.accept("m")
	exchange(c, alternating(12))
	own.dies()
	exchange(c, alternating(12))
	if len(w.dials) == 0 {
		t.Fatal("no other one is opened")
	}
	w.accept("m")
	if trips, _ := exchange(c, alternating(12)); trips != 1 {
		t.Errorf("on the next one it took %d round trips", trips)
	}
}
