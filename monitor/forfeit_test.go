package monitor

import (
	"strings"
	"testing"

	"github.com/understudy/understudy/topology"
)

// chosen fences, lets the leader read the offsets and returns the write that records its choice.
func (w *world) chosen(t *testing.T) action {
	t.Helper()
	for range 10 {
		for i := range w.members {
			w.members[i].Fenced = w.state.Epoch
		}
		for _, a := range decide(w.situation()) {
			if a.deed == deedWrite && a.next.Phase == topology.Promoting {
				return a
			}
			w.carryOut(a)
		}
	}
	t.Fatalf("nobody is chosen in %s", describe(w.state))
	return action{}
}

// alter changes what a node of the world says of itself.
func (w *world) alter(addr string, change func(*node)) {
	n := w.nodes[addr]
	change(&n)
	w.nodes[addr] = n
}

func TestEveryNodeThatIsPassedOverIsNamedWithTheReason(t *testing.T) {
	w := emptyWorld()
	w.populate("m", []string{"r1", "r2", "r3", "r4", "r5"}, []string{"a"})
	w.state.Unavailable = []topology.Node{{Addr: "back", RunID: "back-run1"}, {Addr: "new"}}
	for _, addr := range []string{"back", "new"} {
		w.nodes[addr] = node{info: info{RunID: addr + "-run1", Role: roleReplica, Master: "m", LinkUp: true, ReplID: "H1", Offset: 1000, Priority: 100}}
	}
	w.alter("r2", func(n *node) { n.Offset = 900 })
	w.alter("r3", func(n *node) { n.ReplID = "another" })
	w.alter("r4", func(n *node) { n.Priority = 0 })
	w.downFor["m"] = map[string]string{"a": "connection refused"}
	a := w.chosen(t)
	for _, words := range []string{
		"r1 is chosen at offset 1000 in the history of master m", "r2 is behind it at offset 900", "r5 ranks after it at offset 1000", "m is down", "r3 does not have the master's data",
		"r4 has replica-priority 0", "back answers, but was not known to be in sync", "new answers, but was never seen to belong",
	} {
		if !strings.Contains(a.why, words) {
			t.Errorf("%q does not say %q", a.why, words)
		}
	}
	if want := "r3 is at offset"; strings.Contains(a.loss, want) {
		t.Errorf("%q tells of a node that has no more", a.loss)
	}
}

func TestDataThatIsGivenUpIsToldOfAndOtherwiseNothing(t *testing.T) {
	for name, c := range map[string]struct {
		peak, offset, excluded int64    // what is known of the master; where the candidate is, and one that may not be promoted
		words                  []string // none: nothing is given up
	}{
		"nothing is lost":         {1000, 1000, 800, nil},
		"the candidate is behind": {1000, 900, 800, []string{"r1 has the master's history only up to offset 900", "master m was at offset 1000"}},
		"a node that is passed over has more": {0, 900, 1000,
			[]string{"r1 has the master's history only up to offset 900", "r2 has that history up to offset 1000"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := emptyWorld()
			w.populate("m", []string{"r1", "r2"}, []string{"a"})
			w.peak = c.peak
			w.alter("r1", func(n *node) { n.Offset = c.offset })
			w.alter("r2", func(n *node) { n.Offset, n.Priority = c.excluded, 0 })
			w.downFor["m"] = map[string]string{"a": "connection refused"}
			loss := w.chosen(t).loss
			if (loss == "") != (c.words == nil) {
				t.Errorf("it says %q", loss)
			}
			for _, words := range c.words {
				if !strings.Contains(loss, words) {
					t.Errorf("%q does not say %q", loss, words)
				}
			}
		})
	}
}
