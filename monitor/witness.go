package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// witnessLooks is how many times within down-after replicas are asked what they have received, while there is doubt
// whether the master lives: two looks that differ make a witness, and they have to come before the verdict.
const witnessLooks = 5

// witness returns a replica that has received something from the master since we have doubted it: the master lives,
// and it is we who cannot reach it. A link that is merely up proves nothing.
func (s *situation) witness(since time.Time) string {
	for _, r := range s.state.Replicas {
		n, ok := s.heard(r.Addr)
		if ok && n.LinkUp && s.follows(n, s.state.Master.Addr) && n.advancedFrom.After(since) &&
			s.now.Sub(n.advancedTo) <= s.rules.downAfter {
			return r.Addr
		}
	}
	return ""
}

// cutOff is the alarm that the master is down by all that the members see of it, and lives by what a replica hears.
func (s *situation) cutOff() []action {
	master := s.state.Master.Addr
	v := s.verdicts[master]
	if !v.down {
		return nil
	}
	witness := s.witness(v.since)
	if witness == "" {
		return nil
	}
	a := s.alarm(fmt.Sprintf("master %s cannot be reached (%s, seen by %d of %d), but %s goes on receiving from it, so it lives and nobody takes its place; see to the network between it and the members that do not reach it",
		master, v.reason, v.votes, v.of, witness))
	a.subject = subjectCutOff
	return []action{a}
}

// questioned reports whether anybody has cause to doubt that the master lives.
func (l *loop) questioned() bool {
	s := l.snapshot.State
	if s == nil || s.Phase != topology.Stable {
		return false
	}
	if r := l.records[s.Master.Addr]; r != nil && (r.node.doubted || r.vitality.down) {
		return true
	}
	return slices.ContainsFunc(l.members, func(m topology.Member) bool {
		return slices.ContainsFunc(m.View, func(v topology.NodeView) bool { return v.Addr == s.Master.Addr && v.Down })
	})
}
