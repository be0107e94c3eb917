package monitor

import (
	"fmt"

	"github.com/understudy/understudy/topology"
)

// wholeAfterRestart reports whether State's master runs again, as a master, and has provably all that it had: it says
// that it has the history of before (Redis 7.0 or later keeps that in the RDB file which it writes when it is told to
// end), as far as anybody has seen it come, and no replica has more of it.
func (s *situation) wholeAfterRestart() (m node, whole bool) {
	m, ok := s.heard(s.state.Master.Addr)
	position, has := s.holds(m)
	if !ok || m.Role != roleMaster || m.Loading || !restarted(s.state.Master, m.info) || !has || s.peak == 0 || position < s.peak {
		return m, false
	}
	if s.unheard() {
		return m, false
	}
	for _, r := range s.state.Replicas {
		n, answers := s.heard(r.Addr)
		if theirs, same := s.holds(n); answers && same && theirs > position && n.ReplID != m.ReplID {
			return m, false
		}
	}
	return m, s.risk(candidate{addr: s.state.Master.Addr, class: classHistory, position: position}, s.nodes) == ""
}

// goesOn is the State in which the master of this one goes on in its new process, under a new epoch. There is nothing to
// fence: the old process is gone, and nothing is sent to the new one under the old State.
func (s *situation) goesOn(m node) *topology.State {
	next := s.state.Clone()
	next.Epoch++
	next.Outage = nil
	next.Past = s.past(m)
	next.Master.RunID, next.Master.ReplID = m.RunID, m.ReplID
	s.handOver(next, m)
	return s.roster(next)
}

// afterResume says what the end of a pause brings, in the rest of a sentence about what is wrong with the master.
func (s *situation) afterResume() string {
	m, ok := s.heard(s.state.Master.Addr)
	if !ok || m.Role != roleMaster || !restarted(s.state.Master, m.info) {
		return "; PROXY RESUME starts the failover"
	}
	kept := "it does not tell how much of its data it has kept"
	switch position, has := s.holds(m); {
	case has && s.peak == 0:
		kept = fmt.Sprintf("it has kept its history up to offset %d, and how far it was is not known", position)
	case has:
		kept = fmt.Sprintf("it has kept its history up to offset %d, and it or a replica was further", position)
	}
	return ", and " + kept + "; what needs it waits until PROXY RESUME, which goes on with it, or with a replica that has more"
}
