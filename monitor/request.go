package monitor

import (
	"fmt"
	"slices"

	"github.com/understudy/understudy/topology"
)

// requested deals with the oldest request that is not answered, in a stable State. What a request changes is written
// together with its outcome; answering it is a step of its own, which a later leader takes if this one cannot.
func (s *situation) requested() []action {
	for _, r := range s.requests {
		if r.Answer != "" {
			continue
		}
		if o := s.state.Outcome; o != nil && o.Request == r.ID {
			return []action{s.answer(r, o.Answer, o.Text)}
		}
		switch r.Kind {
		case topology.Pause:
			return s.pause(r)
		case topology.Resume:
			return s.resume(r)
		case topology.Forget:
			return s.forget(r)
		case topology.Abort:
			if given := s.state.Outcome; given != nil && given.Answer == topology.Failed && s.phaseSince.After(r.At) {
				return []action{s.answer(r, topology.Done, "the switchover is given up")}
			}
			return []action{s.answer(r, topology.Refused, "No failover in progress.")}
		case topology.Switchover:
			if m := s.nodes[s.state.Master.Addr]; s.unheard() || m.heard.IsZero() && !m.errs && !m.down {
				return nil // this process has only begun to look, or was stopped for a while
			}
			if overruled := s.overrule(r); overruled != nil {
				return overruled
			}
			return s.beginSwitchover(r)
		}
		return []action{s.answer(r, topology.Refused, fmt.Sprintf("this version knows no request of the kind %q", r.Kind))}
	}
	return nil
}

func (s *situation) answer(r topology.Request, answer topology.Answer, text string) action {
	return action{deed: deedAnswer, epoch: s.state.Epoch, request: r.ID, answer: answer, why: text}
}

// pause makes this leader, and all that follow, observe only.
func (s *situation) pause(r topology.Request) []action {
	if p := s.state.Paused; p != nil {
		return []action{s.answer(r, topology.Done, "it was paused already by "+p.By)}
	}
	next := s.state.Clone()
	next.Paused = &topology.Paused{Reason: r.Reason, By: r.By, Since: r.At}
	next.Outcome = &topology.Outcome{Request: r.ID, Answer: topology.Done, Text: "paused: no failover will take place and no node is moved"}
	return []action{s.write(next, "paused by "+r.By+reason(r.Reason)+": no failover will take place and no node is moved until PROXY RESUME")}
}

// resume ends a pause.
func (s *situation) resume(r topology.Request) []action {
	next := s.state.Clone()
	next.Paused, next.Recent = nil, nil
	next.Outcome = &topology.Outcome{Request: r.ID, Answer: topology.Done, Text: "resumed"}
	switch {
	case s.state.Paused == nil && len(s.state.Recent) == 0:
		return []action{s.answer(r, topology.Done, "it was not paused")}
	case s.state.Paused != nil && s.verdicts[s.state.Master.Addr].down && !s.lookedAgain:
		return nil // it may have been heard again by now, and then there is nothing to do
	case s.state.Paused == nil:
		next.Outcome.Text = "it was not paused; the failovers of before do not count any more"
	}
	return []action{s.write(next, "resumed by "+r.By)}
}

// reason puts an optional text into parentheses.
func reason(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// observe is stable while paused: it keeps what is known of the replicas true, and says loudly what it would have done.
func (s *situation) observe() []action {
	paused := "paused by " + s.state.Paused.By + reason(s.state.Paused.Reason)
	if cause, _ := s.incident(); cause != "" {
		if m, whole := s.wholeAfterRestart(); whole {
			return []action{s.write(s.goesOn(m), cause+" with all the data that it had, and goes on")}
		}
		return append(s.bury(), s.alarm(paused+", so nothing is done about this: "+cause+s.afterResume()))
	}
	var actions []action
	for _, a := range s.keep() {
		switch a.deed {
		case deedReplicate:
			actions = append(actions, s.alarm(fmt.Sprintf("%s, so %s is not made a replica of %s", paused, a.addr, a.from)))
		default:
			actions = append(actions, a)
		}
	}
	return actions
}

// besideSwitchover looks at everything that may come between a switchover and its end, in a phase that is not stable.
func (s *situation) besideSwitchover() []action {
	f := s.state.Failover
	master := s.state.Master.Addr
	if v := s.verdicts[master]; v.down && s.witness(v.since) == "" {
		return s.becomeUnplanned(fmt.Sprintf("master %s went down in the switchover: %s (seen by %d of %d)", master, v.reason, v.votes, v.of))
	}
	if n, ok := s.heard(master); ok && restarted(s.state.Master, n.info) && !s.handedOver() {
		return s.becomeUnplanned(fmt.Sprintf("master %s was restarted in the switchover", master))
	}
	i := slices.IndexFunc(s.requests, func(r topology.Request) bool { return r.Answer == "" && r.Kind == topology.Abort })
	if i >= 0 && f.Aborted == "" && !s.handedOver() {
		return s.giveUp("it was aborted by " + s.requests[i].By)
	}
	return nil
}

// handedOver reports whether the target of a switchover is seen to be a master.
func (s *situation) handedOver() bool {
	n, ok := s.heard(s.state.Failover.Target)
	return ok && n.Role == roleMaster
}

// answerMeanwhile answers what is asked while the master is changing, except for pause and resume: those are about what
// follows, and wait.
func (s *situation) answerMeanwhile() []action {
	var actions []action
	f := s.state.Failover
	for _, r := range s.requests {
		switch {
		case r.Answer != "" || r.ID == f.Request:
		case r.Kind == topology.Switchover && r.Force && s.state.Phase == topology.Fencing && !f.Forced && (!f.Planned || f.Aborted != ""):
			// It may be what a failover is waiting for that has no candidate, or waits for holders of durable writes.
		case r.Kind == topology.Switchover:
			actions = append(actions, s.answer(r, topology.Refused, fmt.Sprintf("a change of master is under way since epoch %d: %s", s.state.Epoch, f.Cause)))
		case r.Kind != topology.Abort:
		case f.Aborted != "" && f.Planned:
			actions = append(actions, s.answer(r, topology.Done, "the switchover is given up"))
		case !f.Planned:
			actions = append(actions, s.answer(r, topology.Refused, "the failover that is under way is not a planned one"))
		case s.handedOver():
			actions = append(actions, s.answer(r, topology.Refused, "it is too late: the target is master"))
		}
	}
	return actions
}
