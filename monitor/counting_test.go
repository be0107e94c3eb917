package monitor

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestHoldersAreCountedByAllWhenAllKnowThemOrNobodyElseHasALease(t *testing.T) {
	at := time.Unix(1000, 0)
	state := func(holders ...topology.Holder) *topology.State {
		return &topology.State{Master: topology.Node{Addr: "m:1", RunID: "m1"}, Durable: &topology.Durable{Acks: 1, Holders: holders}}
	}
	one, two := state(topology.Holder{Addr: "a:1", RunID: "r"}), state(topology.Holder{Addr: "b:1", RunID: "r"})
	var c counting
	c.follow(one, topology.Snapshot{State: two, Version: 7}, at)
	steps := []struct {
		what    string
		members []topology.Member
		listed  time.Duration
		now     time.Duration
		counted bool
	}{
		{"a list from before the change tells nothing", []topology.Member{{ID: "a", Version: 7}}, 0, time.Second, false},
		{"one has not heard of it", []topology.Member{{ID: "a", Version: 7}, {ID: "b", Version: 6, Lease: 4 * time.Second}}, 1, time.Second, false},
		{"one without a lease that ends has not", []topology.Member{{ID: "a", Version: 6}}, 1, time.Hour, false},
		{"its lease may last still", []topology.Member{{ID: "b", Version: 6, Lease: 4 * time.Second}}, 1, 4100 * time.Millisecond, false},
		{"its lease is over", []topology.Member{{ID: "b", Version: 6, Lease: 4 * time.Second}}, 1, 4200 * time.Millisecond, true},
	}
	for _, s := range steps {
		if c.judge(s.members, at.Add(s.listed), at.Add(s.now)); c.from.IsZero() == s.counted {
			t.Errorf("%s: since %v", s.what, c.from)
		}
	}
	since := c.from
	c.follow(two, topology.Snapshot{State: two.Clone(), Version: 8}, at.Add(time.Minute))
	if c.judge(nil, at.Add(time.Hour), at.Add(time.Hour)); c.from != since {
		t.Errorf("another State with the same holders changed it to %v", c.from)
	}
	c.follow(two, topology.Snapshot{State: one, Version: 9}, at.Add(time.Minute))
	if !c.from.IsZero() {
		t.Error("other holders are not known to be counted yet")
	}
	c.judge([]topology.Member{{ID: "a", Version: 9}, {ID: "b", Version: 10}}, at.Add(2*time.Minute), at.Add(3*time.Minute))
	if c.from != at.Add(3*time.Minute) {
		t.Errorf("all know them: since %v", c.from)
	}
}

func TestATrailTellsOfWhichMomentAReplicaHasEverything(t *testing.T) {
	at := time.Unix(1000, 0)
	trail := newTrail(32 * time.Second) // marks a second apart
	if got := trail.reached(5); !got.IsZero() {
		t.Errorf("without marks: %v", got)
	}
	for i := range 5 {
		trail.add(int64(100*(i+1)), at.Add(time.Duration(i)*time.Second))
	}
	trail.add(550, at.Add(4500*time.Millisecond)) // too soon for a mark
	for offset, want := range map[int64]time.Duration{100: 0, 199: 0, 200: time.Second, 500: 4 * time.Second, 549: 4 * time.Second, 550: 4500 * time.Millisecond, 900: 4500 * time.Millisecond} {
		if got := trail.reached(offset); got != at.Add(want) {
			t.Errorf("at offset %d it has everything of %v, want %v", offset, got.Sub(at), want)
		}
	}
	if got := trail.reached(99); !got.IsZero() {
		t.Errorf("before the first mark: %v", got)
	}
}
