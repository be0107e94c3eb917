package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestARefusedRehearsalSaysWhatWasNotReady(t *testing.T) {
	for says, seen := range map[string]func(h *rehearsal, now time.Time){
		"r1 is 300ms behind the master":            func(h *rehearsal, now time.Time) { h.answered, h.read, h.lag = now, now, 300*time.Millisecond },
		"r1 is more than 2s behind the master":     func(h *rehearsal, now time.Time) { h.answered, h.read, h.lag = now, now, never },
		"m did not answer within 2s":               func(h *rehearsal, now time.Time) { h.answered, h.read, h.silent = now, now, []string{"m"} },
		"members a and b did not answer within 2s": func(h *rehearsal, now time.Time) { h.read = now },
		"all members and r1 were ready, and the switchover could not be recorded within 2s: see whether the state": func(h *rehearsal, now time.Time) { h.answered, h.read = now.Add(-time.Second), now.Add(-time.Second) },
	} {
		w := emptyWorld()
		w.populate("m", []string{"r1"}, []string{"a", "b"})
		w.now = w.now.Add(time.Minute)
		w.requests = []topology.Request{{ID: "1", Kind: topology.Switchover, Target: "r1", By: "ops"}}
		w.state.Rehearsal = &topology.Rehearsal{Request: "1", Target: "r1"}
		s := w.situation()
		s.rehearsal = rehearsal{request: "1", version: 5, since: w.now.Add(-rehearsalTime)}
		seen(&s.rehearsal, w.now)
		actions := decide(s)
		if len(actions) != 1 || actions[0].deed != deedWrite || actions[0].next.Outcome == nil || !strings.Contains(actions[0].next.Outcome.Text, says) {
			t.Errorf("%v, want %q", actions, says)
		}
	}
}
