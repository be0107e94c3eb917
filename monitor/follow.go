package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// Following instead of leading: roles are changed by Sentinel, by an operator or by a platform, and the State is made
// to say what the nodes say. It goes through a fence as a failover does, so that the proxies hold what their clients
// send, and let go of the old master, until the new one is clear; but no node is ever sent a command.
//
// A node is believed to be the master when it says so and Sentinels name it, on the channel where they tell one another,
// or, where they name none that says so, one of these holds:
//
//   - It is State's master, and no replica of State was promoted beside it.
//   - More than half of the replicas that answer follow it, the old master among them if it is one; beside a living
//     master of State it must also have been promoted from a replica of that one.
//   - State's master is gone or has become a replica, and this node was a replica of State, has its history and is
//     still the same process: it was promoted.
//   - Every other node of State is down.
//
// A replica that somebody detached from a living master (REPLICAOF NO ONE) is none of these, so writes go on to the
// old one; where there are Sentinels, when they had time to name the other (see appointment.go). Nor is a node that lost
// its configuration and came back empty as a master of its own.

// follow is decide for one who follows.
func (s *situation) follow() []action {
	actions := s.declineAll()
	clear, doubt := s.clearMaster()
	if s.state.Phase != topology.Stable {
		return append(actions, s.followOn(clear, doubt)...)
	}
	cause, down := s.change(clear)
	if promoted := s.promotedBeside(); cause == "" && promoted != nil {
		return append(actions, s.awaitAppointment(promoted)...)
	}
	switch {
	case cause == "" && doubt != "":
		return append(append(actions, s.observed()...), s.awaited(doubt))
	case cause == "":
		return append(actions, s.observed()...)
	case clear == "" && s.unheard():
		return actions // this process has only begun to look, or was stopped for a while
	}
	next := s.state.Clone()
	next.Epoch++
	next.Phase = topology.Fencing
	next.Failover = &topology.Failover{Cause: cause, MasterDown: down}
	if clear != "" {
		next.Failover.Candidates = []string{clear}
	}
	return append(actions, s.write(next, cause))
}

// change says in one sentence what makes another State necessary, "" if nothing does.
func (s *situation) change(clear string) (cause string, masterDown bool) {
	m := s.state.Master
	if cause, masterDown = s.incident(); cause != "" && !s.wentBack() {
		return cause, masterDown
	}
	if n := s.nodes[m.Addr]; clear != "" && clear != m.Addr {
		return fmt.Sprintf("%s was made master by others", clear), n.doubted || n.down
	}
	return "", false
}

// wentBack reports whether all that is wrong with the master is that it has less data than it had. Whoever sees to the
// roles has left it master.
func (s *situation) wentBack() bool {
	m, ok := s.heard(s.state.Master.Addr)
	return ok && m.Role == roleMaster && !restarted(s.state.Master, m.info)
}

// followOn ends a change of master: when nobody can write to the old one any more and the new one is clear.
func (s *situation) followOn(clear, doubt string) []action {
	if clear == "" || clear == s.state.Master.Addr {
		if actions, enough := s.keepMaster(); enough {
			return actions
		}
	}
	if s.listed.Before(s.phaseSince) {
		return nil
	}
	if late := unfenced(s.members, s.state.Epoch); len(late) > 0 && s.now.Sub(s.phaseSince) < s.patience(late) {
		return nil
	}
	if clear == "" {
		if doubt == "" {
			doubt = "no node is a master (" + s.roles() + ")"
		}
		return []action{s.awaited(doubt + "; failover is off, so this waits for whoever sees to the roles")}
	}
	n, _ := s.heard(clear)
	chosen := *s
	chosen.state = s.state.Clone()
	chosen.state.Failover.Choice = clear
	next := chosen.promoted(n)
	why := clear + " is master"
	if clear == s.state.Master.Addr {
		why = clear + " is master again"
	}
	return []action{s.write(next, why)}
}

// othersTime is how long whoever sees to the roles may take before an operator is told that something is left to do. Sentinel
// makes a master of before a replica some 10 s after it has come back, and a dead one is replaced within its down-after and
// some seconds: neither needs anybody.
const othersTime = 20 * time.Second

// awaited is the alarm that the roles are not in order, which others have to see to, if they do not soon.
func (s *situation) awaited(text string) action {
	a := s.alarm(text)
	a.subject, a.patience = subjectAwaited, othersTime
	return a
}

// observed keeps the list of replicas true, without moving any.
func (s *situation) observed() []action {
	if m := s.nodes[s.state.Master.Addr]; m.doubted || m.down {
		return s.bury()
	}
	actions := append(s.denials(), s.mapsApart()...)
	next := s.roster(s.recognised())
	s.noteOutage(next)
	s.keepHolders(next)
	actions = append(actions, s.tooFew(next)...)
	if !next.Equal(s.state) {
		actions = append(actions, s.write(next, s.changes(next)))
	}
	return actions
}

// clearMaster returns the node that is master beyond doubt, "" if there is none, and in one sentence what speaks
// against it, or stands in the way of any.
func (s *situation) clearMaster() (addr, doubt string) {
	var masters, believed []string
	appointed := ""
	if s.appointed != "" {
		appointed = s.named(s.appointed)
	}
	for _, a := range slices.Sorted(maps.Keys(s.nodes)) {
		n, ok := s.heard(a)
		_, known := s.state.Node(a)
		if !ok || n.Role != roleMaster || n.Loading || s.spelled(a) != a || !known && a != appointed && !s.followed(a) {
			continue // what nobody entered and nobody follows is somebody else's
		}
		masters = append(masters, a)
		switch {
		case s.followed(a):
			addr = a // there is only one that more than half follow
		case s.stays(a), s.promotedByOthers(a), s.isLast(a):
			believed = append(believed, a)
		}
	}
	if slices.Contains(masters, appointed) {
		addr = appointed
	}
	if addr == "" && len(believed) == 1 {
		addr = believed[0]
	}
	others := slices.DeleteFunc(slices.Clone(masters), func(a string) bool {
		known, _ := s.state.Node(a)
		return a == addr || known.RunID == ""
	})
	switch {
	case addr != "" && len(others) > 0:
		return addr, fmt.Sprintf("%s counts as the master, but there is another one, %s: make it a replica (%s)", addr, conjoin(others), s.roles())
	case addr != "" || len(masters) == 0:
		return addr, ""
	case len(masters) == 1:
		return "", fmt.Sprintf("%s is a master, but it was not seen to be promoted, and the replicas do not follow it (%s)", masters[0], s.roles())
	}
	return "", fmt.Sprintf("%s are masters, and the replicas do not show which one counts (%s)", conjoin(masters), s.roles())
}

// stays reports whether State's master is one still, and no replica of it was promoted while it was fenced.
func (s *situation) stays(addr string) bool {
	if addr != s.state.Master.Addr {
		return false
	}
	return s.state.Phase == topology.Stable || !slices.ContainsFunc(s.state.Replicas, s.wasPromoted)
}

// followed reports whether more than half of the replicas that answer follow the node. Beside a living master of State
// it must have that one's history as well: a master of before that comes back finds replicas that still follow it.
func (s *situation) followed(addr string) bool {
	if m, ok := s.heard(s.state.Master.Addr); ok && addr != s.state.Master.Addr && m.Role == roleMaster {
		if _, has := s.position(s.nodes[addr]); !has {
			return false
		}
	}
	votes, of := 0, 0
	for _, known := range nodesOf(s.state) {
		n, ok := s.heard(known.Addr)
		if !ok || known.Addr == addr || n.Role != roleReplica || s.spelled(known.Addr) != known.Addr {
			continue
		}
		of++
		if s.follows(n, addr) {
			votes++
		}
	}
	return 2*votes > of
}

// promotedByOthers reports whether the node was a replica of State's master, which is gone or is none any more, and has
// become a master with its history.
func (s *situation) promotedByOthers(addr string) bool {
	r, replica := s.state.Replica(addr)
	n := s.nodes[addr]
	_, has := s.position(n)
	m, answers := s.heard(s.state.Master.Addr)
	return replica && has && !restarted(r.Node, n.info) &&
		(answers && m.Role == roleReplica || !answers && s.verdicts[s.state.Master.Addr].down)
}

// isLast reports whether every other node of State is down.
func (s *situation) isLast(addr string) bool {
	return !slices.ContainsFunc(nodesOf(s.state), func(n topology.Node) bool {
		return n.Addr != addr && s.spelled(n.Addr) == n.Addr && !s.verdicts[n.Addr].down
	})
}

// roles tells what the nodes of State say of themselves.
func (s *situation) roles() string {
	var parts []string
	for _, known := range nodesOf(s.state) {
		n, ok := s.heard(known.Addr)
		switch v := s.verdicts[known.Addr]; {
		case s.spelled(known.Addr) != known.Addr:
		case v.down:
			parts = append(parts, known.Addr+" is down")
		case n.denied != "":
			parts = append(parts, known.Addr+" answers only with an error ("+n.denied+")")
		case !ok:
			parts = append(parts, known.Addr+" does not answer")
		case n.Role == roleMaster:
			parts = append(parts, known.Addr+" is a master")
		default:
			parts = append(parts, known.Addr+" is a replica of "+n.Master)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// declineAll answers what only one who leads can do.
func (s *situation) declineAll() []action {
	var actions []action
	for _, r := range s.requests {
		switch {
		case r.Answer != "":
		case s.state.Outcome != nil && s.state.Outcome.Request == r.ID:
			actions = append(actions, s.answer(r, s.state.Outcome.Answer, s.state.Outcome.Text))
		case r.Kind == topology.Resume && s.state.Paused != nil && s.state.Phase == topology.Stable:
			actions = append(actions, s.resume(r)...) // what was paused before failover was switched off
		case r.Kind == topology.Forget && s.state.Phase == topology.Stable:
			actions = append(actions, s.forget(r)...)
		case r.Kind == topology.Forget: // in a moment
		case r.Kind == topology.Abort:
			actions = append(actions, s.answer(r, topology.Refused, "No failover in progress."))
		default:
			actions = append(actions, s.answer(r, topology.Refused,
				"failover is off here: roles are changed by Sentinel, an operator or a platform, and Understudy follows"))
		}
	}
	return actions
}
