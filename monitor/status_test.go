package monitor

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestTheLatestFailoversAreRememberedAndNoMore(t *testing.T) {
	var c chronicle
	began := time.Now()
	state := func(epoch int, phase topology.Phase) *topology.State {
		s := &topology.State{Epoch: uint64(epoch), Phase: phase}
		if phase != topology.Stable {
			s.Failover = &topology.Failover{Cause: "a test"}
		}
		return s
	}
	was := state(1, topology.Stable)
	for epoch := 2; epoch <= 4*chronicleLength; epoch++ {
		if epoch%2 == 0 { // of the others this member sees only that they are over
			c.follow(was, state(epoch, topology.Fencing), began)
			was = state(epoch, topology.Fencing)
		}
		c.follow(was, state(epoch, topology.Stable), began.Add(time.Second))
		was = state(epoch, topology.Stable)
	}
	if n := len(c.records); n != chronicleLength {
		t.Fatalf("%d failovers are remembered, want %d", n, chronicleLength)
	}
	for i, r := range c.records {
		if want := uint64(3*chronicleLength + 1 + i); r.Epoch != want {
			t.Errorf("number %d is of epoch %d, want %d", i, r.Epoch, want)
		}
	}
}
