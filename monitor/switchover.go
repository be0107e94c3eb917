package monitor

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// A switchover is a planned failover. It goes through the same phases, with these differences: the fence drains instead
// of cutting off; nobody is chosen, because the target is known; and the living master hands its part to the target
// when that has everything (a swap). What cannot be finished in time is given up under a new epoch. Before the swap that
// is only to go on with the old master. Afterwards the master's own FAILOVER is ended first. If the old master is one
// still, it goes on; otherwise the ordinary choice among all nodes takes place, and the target is the best of them if
// it was promoted after all.

// beginSwitchover fences for a switchover that has been rehearsed, or refuses it in one sentence. Who uses FORCE wants it
// without a rehearsal.
func (s *situation) beginSwitchover(r topology.Request) []action {
	target, why := s.target(r)
	if why != "" {
		return s.refuse(r, why)
	}
	if !r.Force {
		if actions, ready := s.rehearse(r, target); !ready {
			return actions
		}
	}
	next := s.state.Clone()
	next.Epoch++
	next.Phase, next.Rehearsal = topology.Fencing, nil
	cause := fmt.Sprintf("switchover to %s asked for by %s", target, r.By)
	next.Failover = &topology.Failover{Cause: cause, Planned: true, Candidates: []string{target}, Request: r.ID, Target: target,
		Timeout: r.Timeout, FenceTime: s.fenceTime(r)}
	return []action{s.write(next, cause)}
}

// noPlan says why a master that does not work is no matter for a switchover, and what is.
func (s *situation) noPlan() string {
	const why = ": a planned change of master needs a master that works"
	if s.state.Paused != nil {
		return why + "; PROXY RESUME has a failover take place"
	}
	return why
}

// target returns the node that a switchover makes master, or why there can be none.
func (s *situation) target(r topology.Request) (addr, refusal string) {
	master := s.state.Master.Addr
	if p := s.state.Paused; p != nil && !r.Force {
		return "", "paused by " + p.By + reason(p.Reason) + ": resume first, or use FORCE"
	}
	if len(s.rivals) > 0 {
		return "", s.rivalry("no switchover will take place").why
	}
	if cause, _ := s.incident(); cause != "" {
		return "", cause + s.noPlan()
	}
	if m, ok := s.heard(master); !ok || m.Role != roleMaster {
		if m.denied != "" {
			return "", "master " + master + " answers only with an error (" + m.denied + "): correct username and password first"
		}
		return "", "master " + master + " does not answer" + s.noPlan()
	}
	if h := s.state.Rehearsal; h != nil && h.Request == r.ID {
		return h.Target, s.unsuited(h.Target, r.Force)
	}
	if r.Target != "" {
		addr = s.named(r.Target)
		return addr, s.unsuited(addr, r.Force)
	}
	fit, _ := s.candidates(s.nodes)
	for _, c := range fit {
		if !c.incumbent && s.unsuited(c.addr, r.Force) == "" {
			return c.addr, ""
		}
	}
	return "", "no replica can take over: " + s.noneSuited(r.Force)
}

// noneSuited says of each replica why it cannot be the target of a switchover.
func (s *situation) noneSuited(force bool) string {
	var why []string
	for _, known := range nodesOf(s.state) {
		if known.Addr == s.state.Master.Addr {
			continue
		}
		if u := s.unsuited(known.Addr, force); u != "" {
			why = append(why, u)
		}
	}
	if why == nil {
		return "there is no replica"
	}
	return strings.Join(why, "; ")
}

// named returns the address that State uses for a node that somebody else may know by another one.
func (s *situation) named(addr string) string {
	for known, announced := range s.announced {
		if announced == addr {
			return known
		}
	}
	for _, n := range nodesOf(s.state) {
		if n.Announced == addr {
			return n.Addr
		}
	}
	return s.spelled(addr)
}

// unsuited says why a node cannot be the target of a switchover, "" if it can.
func (s *situation) unsuited(addr string, force bool) string {
	known, isNode := s.state.Node(addr)
	r, isReplica := s.state.Replica(addr)
	n, answers := s.heard(addr)
	switch v := s.verdicts[addr]; {
	case !isNode:
		return addr + " is not a node of this cluster"
	case addr == s.state.Master.Addr:
		return addr + " is the master already"
	case v.down:
		return addr + " is down: " + v.reason
	case n.denied != "":
		return addr + " answers only with an error (" + n.denied + ")"
	case !answers:
		return addr + " does not answer"
	case !isReplica:
		return addr + " is not a replica of the master yet"
	case r.Health != topology.Online:
		return addr + " is " + string(r.Health)
	case n.Role != roleReplica || !n.LinkUp || restarted(known, n.info):
		return addr + " is not in sync with the master"
	case (s.rules.noFailover[addr] || r.NoFailover) && !force:
		return addr + " is configured never to be promoted (FORCE overrides that)"
	case n.Priority == 0 && !force:
		return addr + " has replica-priority 0 (FORCE overrides that)"
	}
	return ""
}

// fenceLeft returns how much time is left for the members to acknowledge the fence of a switchover.
func (s *situation) fenceLeft() time.Duration {
	if limit := s.state.Failover.FenceTime; limit > 0 {
		return min(s.left(), limit-s.now.Sub(s.began))
	}
	return s.left()
}

// left returns how much time a switchover has left.
func (s *situation) left() time.Duration {
	limit := s.state.Failover.Timeout
	if limit == 0 {
		limit = s.rules.switchoverTime
	}
	return limit - s.now.Sub(s.began)
}

// beginSwitching follows the fence, when all members have acknowledged it.
func (s *situation) beginSwitching() []action {
	target := s.state.Failover.Target
	n, ok := s.heard(target)
	switch v := s.verdicts[target]; {
	case v.down:
		return s.giveUp(target + " went down: " + v.reason)
	case !ok && s.left() > 0:
		return nil // a leader that has just begun has not heard it yet
	case !ok:
		return s.giveUp(target + " does not answer any more")
	}
	next := s.state.Clone()
	next.Phase = topology.Promoting
	next.Failover.Choice = target
	recordRun(next, target, n.RunID)
	return []action{s.write(next, "nothing is in flight to "+s.state.Master.Addr)}
}

// switching has the master and the target exchange their parts.
func (s *situation) switching() []action {
	old, target := s.state.Master.Addr, s.state.Failover.Target
	known, _ := s.state.Node(target)
	n, ok := s.heard(target)
	swap := s.tried[step{deedSwap, old}]
	tried := swap.epoch == s.state.Epoch && !swap.at.IsZero()
	switch {
	case s.verdicts[target].down:
		return s.giveUp(target + " went down: " + s.verdicts[target].reason)
	case ok && restarted(known, n.info):
		return s.giveUp(target + " was restarted")
	case tried && swap.failed:
		return s.giveUp(swap.why)
	case tried && ok && n.Role == roleMaster:
		return []action{s.write(s.promoted(n), target+" is master")}
	case tried && !ok && s.left() > 0:
		return nil // it was lost sight of, and is asked again
	case tried:
		return s.giveUp(target + " was made master and is none any more")
	}
	left := s.left()
	if left <= 0 {
		return s.giveUp("there was no time left for it")
	}
	return []action{{deed: deedSwap, epoch: s.state.Epoch, addr: old, from: target, host: s.hostOf(target), limit: left}}
}

// giveUp ends a switchover, under a new epoch so that nothing of it can come late.
func (s *situation) giveUp(why string) []action {
	next := s.state.Clone()
	next.Epoch++
	if s.state.Phase == topology.Fencing { // the master was told nothing
		next.Phase, next.Failover = topology.Stable, nil
		next.Outcome = &topology.Outcome{Request: s.state.Failover.Request, Answer: topology.Failed,
			Text: fmt.Sprintf("%s goes on as master, epoch %d: %s", s.state.Master.Addr, next.Epoch, why)}
		return []action{s.write(s.roster(next), why)}
	}
	next.Phase = topology.Fencing
	next.Failover.Choice, next.Failover.Position, next.Failover.Aborted = "", 0, why
	return []action{s.write(next, why)}
}

// becomeUnplanned goes on with the failover that is due because the master is dead.
func (s *situation) becomeUnplanned(cause string) []action {
	next := s.state.Clone()
	next.Epoch++
	next.Phase = topology.Fencing
	f := next.Failover
	f.Cause, f.MasterDown, f.Planned, f.Choice, f.Position = cause, true, false, "", 0
	if f.Aborted == "" {
		f.Aborted = cause
	}
	fit, _ := s.candidates(s.nodes)
	f.Candidates = addresses(fit)
	return []action{s.write(next, cause)}
}

// endFailover makes sure that the master does not hand over its part any more, before it is chosen again.
func (s *situation) endFailover() []action {
	master := s.state.Master.Addr
	if _, ok := s.heard(master); !ok || !s.mayTry(deedAbort, master) {
		return nil // it is heard again, or held down in the end
	}
	return []action{{deed: deedAbort, epoch: s.state.Epoch, addr: master}}
}

// goBack chooses the old master again. It is one still, and does not hand over its part any more; whatever has become of
// the target, nobody has written there.
func (s *situation) goBack(m node) []action {
	next := s.state.Clone()
	next.Phase = topology.Promoting
	next.Failover.Choice = s.state.Master.Addr
	return []action{s.write(next, fmt.Sprintf("%s is still a master, at offset %d", s.state.Master.Addr, m.Offset))}
}

// outcome is how the request that the failover under way meets ends with the promotion of its choice; what was known
// before if there is none.
func (s *situation) outcome() *topology.Outcome {
	f := s.state.Failover
	took := s.now.Sub(s.began).Round(100 * time.Microsecond)
	switch {
	case f.Request == "":
		return s.state.Outcome
	case f.Choice == f.Target:
		return &topology.Outcome{Request: f.Request, Answer: topology.Done,
			Text: fmt.Sprintf("%s is master and was %s, epoch %d, %v after the fence", f.Choice, s.state.Master.Addr, s.state.Epoch, took)}
	case f.Choice == s.state.Master.Addr:
		return &topology.Outcome{Request: f.Request, Answer: topology.Failed,
			Text: fmt.Sprintf("%s goes on as master, epoch %d, %v after the fence: %s", f.Choice, s.state.Epoch, took, f.Aborted)}
	}
	return &topology.Outcome{Request: f.Request, Answer: topology.Failed,
		Text: fmt.Sprintf("%s is master, epoch %d: %s", f.Choice, s.state.Epoch, f.Aborted)}
}
