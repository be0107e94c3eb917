package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// decide returns what the leader should do now, in order. It is a function of the situation alone; it is asked again
// whenever something happened, and everything it asks for may be asked for twice without harm.
func decide(s situation) []action {
	s.verdicts = combine(s.members, s.self, s.rules.strategy, s.rules.requiredMonitors)
	if s.rules.follow {
		return s.follow()
	}
	switch s.state.Phase {
	case topology.Stable:
		return s.stable()
	case topology.Fencing:
		return append(s.answerMeanwhile(), s.fencing()...)
	case topology.Promoting:
		return append(s.answerMeanwhile(), s.promoting()...)
	}
	return nil
}

// stable looks for an incident, and otherwise keeps the list of replicas true.
func (s *situation) stable() []action {
	if asked := s.requested(); asked != nil {
		return asked
	}
	if s.state.Paused != nil {
		return s.observe()
	}
	cause, masterDown := s.incident()
	if cause == "" {
		return append(append(s.keep(), s.cutOff()...), s.unjudged()...)
	}
	if len(s.rivals) > 0 {
		return append(s.bury(), s.rivalry(cause))
	}
	fit, unfit := s.candidates(s.nodes)
	if len(fit) == 0 && s.unheard() {
		return nil
	}
	if len(fit) == 0 {
		return append(s.bury(), s.nobody(fmt.Sprintf("%s, and no node can take over: %s%s", cause, s.lacking(unfit), s.wayOut(s.lastResort(s.nodes, true)))))
	}
	if why := s.holdBack(fit); why != "" {
		a := s.alarm(cause + ", and no failover takes place: " + why)
		a.subject = subjectHeldBack
		return append(s.bury(), a)
	}
	next := s.state.Clone()
	next.Epoch++
	next.Phase, next.Rehearsal = topology.Fencing, nil
	next.Failover = &topology.Failover{Cause: cause, MasterDown: masterDown, Candidates: addresses(fit)}
	return []action{s.write(next, cause)}
}

// incident says in one sentence what is wrong with the master, "" if nothing is.
func (s *situation) incident() (cause string, masterDown bool) {
	m := s.state.Master
	if v := s.verdicts[m.Addr]; v.down {
		if s.witness(v.since) != "" {
			return "", false
		}
		return fmt.Sprintf("master %s is down: %s (seen by %d of %d)", m.Addr, v.reason, v.votes, v.of), true
	}
	n, ok := s.heard(m.Addr)
	switch {
	case !ok:
		return "", false
	case restarted(m, n.info):
		return fmt.Sprintf("master %s was restarted", m.Addr), true
	case n.Role == roleReplica:
		return fmt.Sprintf("master %s has been made a replica of %s", m.Addr, n.Master), false
	case n.Role == roleMaster && m.ReplID != "" && n.ReplID == m.ReplID && n.Offset < s.peak:
		return fmt.Sprintf("the offset of master %s went back from %d to %d", m.Addr, s.peak, n.Offset), false
	}
	return "", false
}

// unheard reports whether there is a replica that has neither answered, be it with an error, nor been given up since this process began.
func (s *situation) unheard() bool {
	return slices.ContainsFunc(s.state.Replicas, func(r topology.Replica) bool {
		n := s.nodes[r.Addr]
		return n.heard.IsZero() && !n.errs && !n.down && !s.verdicts[r.Addr].down
	})
}

// lacking says of every node but the master, whose failure has been told, why it cannot take over.
func (s *situation) lacking(unfit []string) string {
	others := slices.DeleteFunc(slices.Clone(unfit), func(why string) bool { return why == s.state.Master.Addr+" is down" })
	if len(others) == 0 {
		return "there is no replica"
	}
	return strings.Join(others, "; ")
}

// rivalry is the alarm that two parties look after the same nodes, each of which could promote another one.
func (s *situation) rivalry(consequence string) action {
	verbs := "looks after the same nodes and does not coordinate with this process"
	if len(s.rivals) > 1 {
		verbs = "look after the same nodes and do not coordinate with this process"
	}
	const agree = "give every Understudy of these nodes the same --zookeeper and --cluster"
	var remedy string
	switch sentinel := slices.Contains(s.rivals, rivalSentinel); {
	case sentinel && len(s.rivals) == 1:
		remedy = "stop it, or run with --failover off to follow it"
	case sentinel:
		remedy = "stop Sentinel (or run with --failover off to follow it), and stop all Understudies but one or " + agree
	default:
		remedy = "stop all but one, or " + agree
	}
	a := s.alarm(consequence + ": " + conjoin(s.rivals) + " " + verbs + "; " + remedy)
	a.subject, a.cause, a.rivals = subjectRivals, consequence, s.rivals
	return a
}

// conjoin lists names as a sentence does.
func conjoin(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// nobody is the alarm that there is no master and none can be made.
func (s *situation) nobody(text string) action {
	a := s.alarm(text)
	a.subject = subjectNobody
	return a
}

// fencing waits for the members, reads offsets, and records the choice.
func (s *situation) fencing() []action {
	f := s.state.Failover
	if f.Planned {
		if asked := s.besideSwitchover(); asked != nil {
			return asked
		}
	}
	if s.listed.Before(s.phaseSince) {
		return nil // a member that came just before the fence may be missing from the list
	}
	if late := unfenced(s.members, s.state.Epoch); len(late) > 0 && s.now.Sub(s.phaseSince) < s.patience(late) {
		if f.Planned && f.Aborted == "" && s.fenceLeft() <= 0 {
			return s.giveUp(conjoin(late) + " did not say in time that nothing is in flight to " + s.state.Master.Addr + " any more")
		}
		return nil
	}
	if f.Planned && f.Aborted == "" {
		return s.beginSwitching()
	}
	if f.Planned && !s.done(deedAbort, s.state.Master.Addr) {
		return s.endFailover()
	}
	if m, ok := s.heard(s.state.Master.Addr); f.Planned && ok && m.Role == roleMaster && !restarted(s.state.Master, m.info) {
		return s.goBack(m)
	}
	// An old reading is none: this member may have lost the lead since, or have had nobody to choose.
	if s.reading == nil || s.reading.epoch != s.state.Epoch || s.now.Sub(s.reading.at) >= s.rules.retryInterval {
		return s.read()
	}
	if _, answered := s.reading.nodes[s.state.Master.Addr]; f.Planned && !answered {
		return nil // it lives, so nobody takes its place without it: it is asked again, or held down in the end
	}
	fit, unfit := s.candidates(s.reading.nodes)
	if len(fit) == 0 {
		return s.awaitCandidates(unfit)
	}
	best := fit[0]
	if why := s.risk(best, s.reading.nodes); why != "" && !s.state.Failover.Forced {
		return s.awaitHolders(best, why)
	}
	next := s.state.Clone()
	next.Phase = topology.Promoting
	next.Failover.Choice, next.Failover.Position = best.addr, max(best.position, 0)
	recordRun(next, best.addr, s.reading.nodes[best.addr].RunID)
	chosen := s.write(next, s.preference(fit, unfit))
	if chosen.doubt = s.untold(best, s.reading.nodes); chosen.doubt == "" {
		chosen.loss = s.forfeit(best, s.reading.nodes)
	}
	return []action{chosen}
}

// recordRun makes the process that was judged fit the one that is promoted: if it is another one by then, the
// judgement is void.
func recordRun(s *topology.State, addr, runID string) {
	for i := range s.Replicas {
		if s.Replicas[i].Addr == addr {
			s.Replicas[i].RunID = runID
		}
	}
	for i := range s.Unavailable {
		if s.Unavailable[i].Addr == addr {
			s.Unavailable[i].RunID = runID
		}
	}
}

// unfenced returns the members that may still have something in flight to the master that the fence of epoch deposes.
func unfenced(members []topology.Member, epoch uint64) []string {
	var waiting []string
	for _, m := range members {
		if m.Fenced < epoch {
			waiting = append(waiting, m.ID)
		}
	}
	return waiting
}

// patience is how long after the fence these members may still have something in flight to the old master. A member
// with a lease could not renew it after the fence was written, so it is over a lease later, with 5 % for clocks that
// run at different speeds; one without has nothing but fenceTimeout.
func (s *situation) patience(late []string) time.Duration {
	longest := time.Duration(0)
	for _, m := range s.members {
		switch {
		case !slices.Contains(late, m.ID):
		case m.Lease > 0:
			longest = max(longest, m.Lease+m.Lease/20)
		default: // one without, or one that cannot be read: as long as that of any other
			longest = max(longest, s.rules.fenceTimeout)
			for _, other := range s.members {
				longest = max(longest, other.Lease+other.Lease/20)
			}
		}
	}
	return longest
}

// read asks for the offsets of every node that is not held down: one that is would only cost time.
func (s *situation) read() []action {
	var nodes []string
	for addr, n := range s.nodes {
		if _, known := s.state.Node(addr); known && !n.down && !s.verdicts[addr].down {
			nodes = append(nodes, addr)
		}
	}
	slices.Sort(nodes)
	return []action{{deed: deedRead, epoch: s.state.Epoch, nodes: nodes}}
}

// promoting finishes what the recorded choice began.
func (s *situation) promoting() []action {
	if f := s.state.Failover; f.Planned && f.Aborted == "" {
		if asked := s.besideSwitchover(); asked != nil {
			return asked
		}
		if swap := s.tried[step{deedSwap, s.state.Master.Addr}]; swap.epoch != s.state.Epoch || !swap.caughtUp {
			return s.switching()
		}
	}
	choice := s.state.Failover.Choice
	known, _ := s.state.Node(choice)
	n, ok := s.heard(choice)
	a := s.tried[step{deedPromote, choice}]
	switch {
	case s.verdicts[choice].down:
		return s.chooseAgain(choice + " failed as well: " + s.verdicts[choice].reason)
	// Also one that is a master by now: it may have been promoted, have saved that, and have lost all else.
	case ok && choice != s.state.Master.Addr && restarted(known, n.info):
		return s.chooseAgain(choice + " was restarted before it was master")
	case ok && s.lessThanChosen(choice, n):
		return s.chooseAgain(choice + " lost the master's data before it was master")
	case a.epoch == s.state.Epoch && a.failures >= promoteAttempts:
		return s.chooseAgain(choice + " could not be promoted")
	case s.done(deedPromote, choice) && ok && n.Role == roleMaster:
		return []action{s.write(s.promoted(n), choice+" is master")}
	}
	// The old master first, so that whoever is still connected to it cannot write there. One attempt, and only where
	// it answers: the clients are waiting.
	old := s.state.Master.Addr
	_, tried := s.tried[step{deedDemote, old}]
	tried = tried && s.tried[step{deedDemote, old}].epoch == s.state.Epoch
	if m, answers := s.heard(old); answers && old != choice && m.Role == roleMaster && !tried {
		return []action{{deed: deedDemote, epoch: s.state.Epoch, addr: old, from: choice, host: s.hostOf(choice),
			force: !s.state.Failover.Planned}}
	}
	if !s.mayTry(deedPromote, choice) {
		return nil
	}
	return []action{{deed: deedPromote, epoch: s.state.Epoch, addr: choice}}
}

// lessThanChosen reports whether the choice has lost what it was chosen for. The old master may have been started again
// without its data, and its replicas, the choice among them, follow that at once. So this is looked at after the
// promotion, too. A node knows no more than two histories, so that one that does not name the master's may have it all
// the same; but what it has cannot have become less.
func (s *situation) lessThanChosen(choice string, n node) bool {
	position, has := s.holds(n)
	if !has {
		if position = n.Offset; n.Role == roleMaster && n.ReplID2 != "" {
			position = min(position, n.SecondAt-1)
		}
	}
	// What was heard before the choice is older than what the choice was made by, perhaps by another leader.
	return choice != s.state.Master.Addr && position < s.state.Failover.Position && !n.heard.Before(s.phaseSince)
}

// chooseAgain fences anew, because the choice cannot be promoted.
func (s *situation) chooseAgain(why string) []action {
	next := s.state.Clone()
	next.Epoch++
	next.Phase = topology.Fencing
	if chosen, _ := s.state.Node(s.state.Failover.Choice); chosen.RunID != "" && s.state.Failover.Position > 0 && chosen.Addr != s.state.Master.Addr {
		next.Failover.Fallen = append(next.Failover.Fallen, topology.Fallen{
			Holder: topology.Holder{Addr: chosen.Addr, RunID: chosen.RunID}, Position: s.state.Failover.Position})
	}
	next.Failover.Choice, next.Failover.Position = "", 0
	if f := next.Failover; f.Planned && f.Aborted == "" {
		f.Aborted = why
	}
	fit, _ := s.candidates(s.nodes)
	next.Failover.Candidates = addresses(fit)
	return []action{s.write(next, why)}
}

// promoted is the State in which the choice is master.
func (s *situation) promoted(n node) *topology.State {
	choice := s.state.Failover.Choice
	next := s.state.Clone()
	next.Phase = topology.Stable
	next.Failover = nil
	next.Outcome = s.outcome()
	known, _ := s.state.Node(choice)
	next.Past = s.past(n)
	next.Master = topology.Node{Addr: choice, RunID: n.RunID, ReplID: n.ReplID, Announced: known.Announced}
	next.Replicas = slices.DeleteFunc(next.Replicas, func(r topology.Replica) bool { return r.Addr == choice })
	next.Unavailable = slices.DeleteFunc(next.Unavailable, func(n topology.Node) bool { return n.Addr == choice })
	if old := s.state.Master; old.Addr != choice {
		old.ReplID = ""
		next.Unavailable = append(next.Unavailable, old)
	}
	s.remember(next)
	s.handOver(next, n)
	return s.roster(next)
}

func (s *situation) write(next *topology.State, why string) action {
	next.NumberRuns(s.state)
	if next.Phase != topology.Stable {
		next.Outage = nil
	}
	return action{deed: deedWrite, epoch: s.state.Epoch, next: next, why: why}
}

func (s *situation) alarm(text string) action {
	return action{deed: deedAlarm, epoch: s.state.Epoch, why: text, subject: text}
}

func addresses(list []candidate) []string {
	var addrs []string
	for _, c := range list {
		addrs = append(addrs, c.addr)
	}
	return addrs
}
