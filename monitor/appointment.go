package monitor

import (
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// Sentinel promotes a replica first. That it counts it tells only when it has seen it be a master, in the next INFO that
// it asks for, up to a second and a little later; and it re-points the others after that. What reaches the old master
// between the two is lost. So where Sentinels look after the nodes, a promotion beside State's master is a fence at once,
// and its end is their word.

// appointmentTime is how long their word is waited for, clients with it. In a failover Sentinel asks for INFO every
// second, and tells of what it sees within 100 ms (measured: 0.1 to 1.3 s); the rest is for a busy machine.
const appointmentTime = 3 * time.Second

// promotedBeside returns the replicas of State that have become masters although State's master is not known to have
// been given up, where there are Sentinels who may have done it. Where there are none, what has been promoted counts
// when the others follow it. One that was waited for in vain is no replica of State any more.
func (s *situation) promotedBeside() []string {
	if s.appointed == "" {
		return nil
	}
	var promoted []string
	for _, r := range s.state.Replicas {
		if s.wasPromoted(r) {
			promoted = append(promoted, r.Addr)
		}
	}
	return promoted
}

// wasPromoted reports whether a replica of State has become a master with the master's history, in the same process.
func (s *situation) wasPromoted(r topology.Replica) bool {
	n, ok := s.heard(r.Addr)
	_, has := s.position(n)
	return ok && n.Role == roleMaster && has && !restarted(r.Node, n.info)
}

// awaitAppointment fences State's master until it is known whether it counts, or one of those that were promoted. The
// candidates say so to whoever leads next: State's master is the last of them in no other fence of one who follows.
func (s *situation) awaitAppointment(promoted []string) []action {
	master := s.state.Master.Addr
	verb := " was promoted beside "
	if len(promoted) > 1 {
		verb = " were promoted beside "
	}
	cause := conjoin(promoted) + verb + master + ", and Sentinel has not said yet which one counts"
	m := s.nodes[master]
	next := s.state.Clone()
	next.Epoch++
	next.Phase = topology.Fencing
	next.Failover = &topology.Failover{Cause: cause, MasterDown: m.doubted || m.down, Candidates: append(promoted, master)}
	return []action{s.write(next, cause)}
}

// unappointed returns the nodes whose appointment the fence waits for, nil if it is another fence.
func (s *situation) unappointed() []string {
	f := s.state.Failover
	if last := len(f.Candidates) - 1; !f.Planned && last > 0 && f.Candidates[last] == s.state.Master.Addr {
		return f.Candidates[:last]
	}
	return nil
}

// keepMaster deals with a fence that may end with State's master as the master, or where no master is clear. It reports
// whether there is nothing more to be done now.
func (s *situation) keepMaster() ([]action, bool) {
	waiting := s.unappointed()
	if waiting == nil {
		if promoted := s.promotedBeside(); promoted != nil {
			return s.awaitAppointment(promoted), true
		}
		return nil, false
	}
	why := "nothing but it is a master any more"
	if slices.ContainsFunc(waiting, func(addr string) bool { return !s.withdrawn(addr) }) {
		limit := min(appointmentTime, s.rules.switchoverTime) // no more than half of hold-timeout
		if s.now.Sub(s.phaseSince) < limit {
			return nil, true
		}
		why = "Sentinel has appointed nobody else for " + limit.String()
	}
	m, ok := s.heard(s.state.Master.Addr)
	if !ok || m.Role != roleMaster || restarted(s.state.Master, m.info) {
		return nil, false
	}
	return []action{s.resumeMaster(m, waiting, why)}, true
}

// withdrawn reports whether a node that was promoted is a replica again, or down.
func (s *situation) withdrawn(addr string) bool {
	n, ok := s.heard(addr)
	return s.verdicts[addr].down || ok && n.Role == roleReplica
}

// resumeMaster goes on with State's master. Nobody was let write elsewhere, so no member's word is waited for. Those
// that were promoted are no replicas of State until they follow it, and their promotion fences nobody again.
func (s *situation) resumeMaster(m node, promoted []string, why string) action {
	kept := *s
	kept.state = s.state.Clone()
	kept.state.Failover.Choice = s.state.Master.Addr
	kept.state.Replicas = nil
	for _, r := range s.state.Replicas {
		if slices.Contains(promoted, r.Addr) {
			kept.state.Unavailable = append(kept.state.Unavailable, r.Node)
		} else {
			kept.state.Replicas = append(kept.state.Replicas, r)
		}
	}
	return s.write(kept.promoted(m), s.state.Master.Addr+" goes on as master: "+why)
}
