package admin_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// hearing is a cluster whose requests are told when the test tells them.
type hearing struct {
	*world
	tell func([]topology.Request)
}

func (h *hearing) WatchRequests(f func([]topology.Request)) (stop func()) {
	h.tell = f
	return func() {}
}

func TestWhatIsHeardOfLateStandsInTheEventsWhereItTookPlace(t *testing.T) {
	h := &hearing{world: afterFailover()}
	a := h.adminOf(h)
	defer a.Close()
	anHourAgo := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	old := topology.Request{ID: "1", Kind: topology.Resume, By: "ops", At: anHourAgo, Answer: topology.Done, Text: "resumed", Answered: anHourAgo.Add(3 * time.Second)}
	h.tell([]topology.Request{old}) // it was over when this member began
	unheard := old
	unheard.ID, unheard.Answered = "2", anHourAgo.Add(time.Minute)
	h.tell([]topology.Request{old, unheard})                                                           // this member was cut off when it was made
	fresh := topology.Request{ID: "3", Kind: topology.Pause, By: "ops", At: time.Now().Add(time.Hour)} // by a clock that is ahead
	h.tell([]topology.Request{old, unheard, fresh})
	type told struct{ epoch, text string }
	want := []told{
		{"0", "2: resume asked for by ops"},
		{"0", "2: done: resumed"},
		{"7", "the state is known: master 10.0.0.2:6379, phase stable, 2 replicas"},
		{"7", "3: pause asked for by ops"},
	}
	events := nodeMaps(t, ask(t, a, 2, "EVENTS"), '*')
	if len(events) != len(want) {
		t.Fatalf("events are %v", events)
	}
	last := int64(0)
	for i, e := range events {
		if got := (told{e["epoch"], e["text"]}); got != want[i] {
			t.Errorf("event %d is %v, want %v", i, got, want[i])
		}
		at, err := strconv.ParseInt(e["time_ms"], 10, 64)
		if err != nil || at < last || at > time.Now().UnixMilli() {
			t.Errorf("event %d took place at %s, the one before at %d: %v", i, e["time_ms"], last, err)
		}
		last = at
	}
	if got := events[0]["time_ms"]; got != strconv.FormatInt(anHourAgo.UnixMilli(), 10) {
		t.Errorf("what took place at %d has the time %s", anHourAgo.UnixMilli(), got)
	}
}
