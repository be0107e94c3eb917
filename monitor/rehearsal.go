package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// Before a switchover fences, it is rehearsed, while clients go on: all members are to show that they take in a new State,
// and the target that it is with the master. What would hold clients for long is refused then, and nobody had to wait for
// it. What is asked of the members is what the fence will ask of them, so it also tells how long that will take.

const (
	// rehearsalTime is how long members and target have to show that they are ready. Nobody waits meanwhile.
	rehearsalTime = 2 * time.Second
	// promptness is how far behind the master a target may be, because clients wait until it has everything.
	promptness = 100 * time.Millisecond
	// readingPause is the time between two readings of a target that is not near enough.
	readingPause = 10 * time.Millisecond
	// leastFenceTime is how long members have to acknowledge the fence of a switchover, and the master to answer what is in
	// flight, at the least: several times what they take on a machine that is busy.
	leastFenceTime = 500 * time.Millisecond
)

// rehearsal is what a leader has seen of the one that is under way.
type rehearsal struct {
	request  string
	version  int64         // of the State in which it began
	since    time.Time     // when this member learned of that
	answered time.Time     // when all members had shown that they know that State; zero: some have not
	read     time.Time     // when master and target were asked last; zero: never
	marks    []moment      // the master's offsets
	lag      time.Duration // how far behind the target is at most, by the last reading
	silent   []string      // of master and target, who did not answer in the last reading
}

// moment is an offset that the master had at a time, or more.
type moment struct {
	at     time.Time
	offset int64
}

// follow takes in a new State.
func (h *rehearsal) follow(is topology.Snapshot, now time.Time) {
	switch r := is.State.Rehearsal; {
	case r == nil:
		*h = rehearsal{}
	case r.Request != h.request:
		*h = rehearsal{request: r.Request, version: is.Version, since: now}
	}
}

// judge looks at the members as they were listed at a time.
func (h *rehearsal) judge(members []topology.Member, listed, now time.Time) {
	if h.request == "" || !h.answered.IsZero() || h.unlisted(listed) || len(h.missing(members)) > 0 {
		return
	}
	h.answered = now
}

// unlisted reports whether the list of members is older than the rehearsal.
func (h *rehearsal) unlisted(listed time.Time) bool { return h.request != "" && !listed.After(h.since) }

// missing lists the members that have not shown that they know the State in which the rehearsal began.
func (h *rehearsal) missing(members []topology.Member) []topology.Member {
	return slices.DeleteFunc(slices.Clone(members), func(m topology.Member) bool { return m.Version >= h.version })
}

// take takes in what master and target said when they were asked at the same time; nil of one that did not answer.
func (h *rehearsal) take(master, target *answer, state *topology.State, now time.Time) {
	h.read, h.lag, h.silent = now, never, nil
	if master == nil {
		h.silent = append(h.silent, state.Master.Addr)
	} else {
		h.marks = append(h.marks, moment{master.at.Add(-master.latency), master.info.Offset})
	}
	if target == nil {
		h.silent = append(h.silent, state.Rehearsal.Target)
		return
	}
	for i, m := range slices.Backward(h.marks) {
		if m.offset <= target.info.Offset { // what the master had before, the target has
			h.lag = target.at.Sub(m.at)
			h.marks = h.marks[i:]
			return
		}
	}
}

// rehearse has the switchover rehearsed. It returns what to do for that, or ready when all is well.
func (s *situation) rehearse(r topology.Request, target string) (actions []action, ready bool) {
	h := s.rehearsal
	if s.state.Rehearsal == nil || s.state.Rehearsal.Request != r.ID {
		next := s.state.Clone()
		next.Rehearsal = &topology.Rehearsal{Request: r.ID, Target: target}
		return []action{s.write(next, fmt.Sprintf("switchover to %s asked for by %s: it is rehearsed", target, r.By))}, false
	}
	if h.request != r.ID {
		return nil, false // the loop has yet to take it in
	}
	allowed := max(promptness, r.Timeout) // who names a time says how long clients may wait
	fresh := !h.read.IsZero() && s.now.Sub(h.read) < promptness
	if fresh && !h.answered.IsZero() && len(h.silent) == 0 && h.lag <= allowed {
		return nil, true
	}
	if s.now.Sub(h.since) >= rehearsalTime {
		return s.refuse(r, s.unready(target, allowed)), false
	}
	if fresh && len(h.silent) == 0 && h.lag <= allowed || !h.read.IsZero() && s.now.Sub(h.read) < readingPause {
		return nil, false // it is for the members now, or too soon to ask again
	}
	nodes := []string{s.state.Master.Addr, target}
	slices.Sort(nodes)
	return []action{{deed: deedRead, epoch: s.state.Epoch, nodes: nodes}}, false
}

// unready says in one sentence what a rehearsal has failed for; the target was allowed to be so far behind.
func (s *situation) unready(target string, allowed time.Duration) string {
	h := s.rehearsal
	const force = "; FORCE tries it all the same"
	if h.answered.IsZero() {
		var silent []string
		for _, m := range h.missing(s.members) {
			if silent = append(silent, m.ID); m.Addr != "" {
				silent[len(silent)-1] += " (" + m.Addr + ")"
			}
		}
		if len(silent) == 0 { // the list itself could not be had
			return fmt.Sprintf("the members could not be listed within %v, so nobody knows whether they would acknowledge", rehearsalTime)
		}
		if len(silent) > 1 {
			return fmt.Sprintf("members %s did not answer within %v, and writes would have to wait for what they may still send: see whether they run "+
				"and reach ZooKeeper, or ask again when their sessions have ended", conjoin(silent), rehearsalTime)
		}
		return fmt.Sprintf("member %s did not answer within %v, and writes would have to wait for what it may still send: see whether it runs "+
			"and reaches ZooKeeper, or ask again when its session has ended", silent[0], rehearsalTime)
	}
	silent := h.silent
	if h.read.IsZero() {
		silent = []string{s.state.Master.Addr, target} // they were not asked to the end
	}
	if len(silent) > 0 {
		return fmt.Sprintf("%s did not answer within %v, and clients would have to wait for it", strings.Join(silent, " and "), rehearsalTime) + force
	}
	if h.lag <= allowed {
		return fmt.Sprintf("all members and %s were ready, and the switchover could not be recorded within %v: see whether the state can be written "+
			"(with ZooKeeper, whether a majority of its servers answers), and ask again", target, rehearsalTime)
	}
	behind := "more than " + rehearsalTime.String()
	if h.lag != never {
		behind = h.lag.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%s is %s behind the master, and clients would have to wait for that: ask again when there are fewer writes", target, behind) + force
}

// refuse answers a request that cannot be met. The end of its rehearsal is written together with the answer.
func (s *situation) refuse(r topology.Request, why string) []action {
	if s.state.Rehearsal == nil || s.state.Rehearsal.Request != r.ID {
		return []action{s.answer(r, topology.Refused, why)}
	}
	next := s.state.Clone()
	next.Rehearsal = nil
	next.Outcome = &topology.Outcome{Request: r.ID, Answer: topology.Refused, Text: why}
	return []action{s.write(next, "the switchover is refused: "+why)}
}

// fenceTime is how long the fence of a switchover may take after its rehearsal; 0: as long as the switchover.
func (s *situation) fenceTime(r topology.Request) time.Duration {
	if r.Force || r.Timeout > 0 {
		return 0
	}
	return max(leastFenceTime, 4*s.rehearsal.answered.Sub(s.rehearsal.since))
}

// rehearsed reports whether somebody still waits for what is being rehearsed.
func (s *situation) rehearsed() bool {
	return slices.ContainsFunc(s.requests, func(r topology.Request) bool { return r.ID == s.state.Rehearsal.Request && r.Answer == "" })
}
