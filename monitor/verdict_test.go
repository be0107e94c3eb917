package monitor

import (
	"slices"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// skewed is a situation in which a, which leads, and b hold the master down since now, where b's clock is wrong by skew. c does not.
func skewed(skew time.Duration, edit func(w *world)) situation {
	w := emptyWorld()
	w.populate("m", []string{"r1"}, []string{"a", "b", "c"})
	w.now = w.now.Add(time.Hour)
	w.downFor["m"] = map[string]string{"a": "refused", "b": "refused"}
	w.since["m"] = w.now.Add(-100 * time.Millisecond)
	edit(w)
	s := w.situation()
	for _, m := range s.members {
		if m.ID != "b" {
			continue
		}
		for i := range m.View {
			m.View[i].Since = m.View[i].Since.Add(skew)
		}
	}
	return s
}

func fences(actions []action) bool {
	return slices.ContainsFunc(actions, func(a action) bool { return a.deed == deedWrite && a.next.Phase == topology.Fencing })
}

func TestAMemberWithAWrongClockMakesNoWitnessOfAReplicaThatHeardTheMasterBefore(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} {
		s := skewed(skew, func(w *world) {
			n := w.nodes["r1"]
			n.advancedFrom, n.advancedTo = w.now.Add(-500*time.Millisecond), w.now.Add(-300*time.Millisecond)
			w.nodes["r1"] = n
			w.nodes["r1"] = n
		})
		if actions := decide(s); !fences(actions) {
			t.Errorf("with a clock that is wrong by %v: %v", skew, actions)
		}
	}
}

// A replica that was cut off for longer than that, and a margin, has not lost its link by the master's end.
func TestAMemberWithAWrongClockDoesNotSayForHowLongTheMasterHasBeenInTrouble(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} {
		s := skewed(skew, func(w *world) { w.began = w.now })
		s.verdicts = combine(s.members, s.self, s.rules.strategy, s.rules.requiredMonitors)
		if is := s.troubleFor(); is != 100*time.Millisecond {
			t.Errorf("with a clock that is wrong by %v: for %v", skew, is)
		}
	}
}
