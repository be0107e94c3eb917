package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// Against flapping there are two brakes. A master that is silent may be heard again any moment, so where the only nodes
// to take its place were themselves given up as master a short while ago, going back to them is more likely to tear the
// history apart than to help: they have to prove themselves first. (A master whose host says that the server is gone has
// nothing to be waited for.) And a cluster whose masters fail one after the other, for whatever reason, needs somebody to
// look at it.

// remember takes note in next, the State in which another node is master, of the change that led to it. A change that
// somebody asked for is a sign that somebody looks after the cluster: what was before does not count any more.
func (s *situation) remember(next *topology.State) {
	f := s.state.Failover
	switch {
	case f.Request != "" && f.Aborted == "":
		next.Recent = nil
	case next.Master.Addr != s.state.Master.Addr:
		next.Recent = append(s.recent(max(s.rules.failoverPeriod, s.rules.failbackDelay)), topology.Change{From: s.state.Master.Addr, At: s.now})
	}
}

// recent returns the unplanned changes of the last while.
func (s *situation) recent(within time.Duration) []topology.Change {
	return slices.DeleteFunc(slices.Clone(s.state.Recent), func(c topology.Change) bool { return s.now.Sub(c.At) >= within })
}

// givenUp returns when a node was last given up as master, if that is less than failback-delay ago.
func (s *situation) givenUp(addr string) (at time.Time, recently bool) {
	for _, c := range slices.Backward(s.recent(s.rules.failbackDelay)) {
		if c.From == addr {
			return c.At, true
		}
	}
	return time.Time{}, false
}

// clock writes a time of day. Spans that change while an alarm stands would make another alarm of it every second.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// holdBack says why a failover to one of fit, which are none that go on, does not begin by itself now; "" if it does.
func (s *situation) holdBack(fit []candidate) string {
	// Offsets are read behind the fence; who is missing is known before.
	if s.state.Durable != nil && fit[0].class != classMaster {
		if gone, _ := s.missing(s.nodes); len(gone) >= s.state.Durable.Needed() {
			if why := s.risk(fit[0], s.nodes); why != "" {
				return why
			}
		}
	}
	if slices.ContainsFunc(fit, func(c candidate) bool { return c.incumbent }) {
		return ""
	}
	if recent, limit := s.recent(s.rules.failoverPeriod), s.rules.maxFailovers; limit > 0 && len(recent) >= limit {
		until := recent[len(recent)-limit].At.Add(s.rules.failoverPeriod)
		return fmt.Sprintf("max-failovers (%d within %v) is reached, and no other one takes place by itself before %s: "+
			"PROXY FAILOVER with FORCE has this one take place, PROXY RESUME has all", limit, s.rules.failoverPeriod, clock(until))
	}
	if !strings.HasPrefix(s.verdicts[s.state.Master.Addr].reason, silentPrefix) {
		return ""
	}
	var held []string
	for _, c := range fit {
		at, recently := s.givenUp(c.addr)
		if !recently {
			return ""
		}
		held = append(held, fmt.Sprintf("%s was itself given up as master at %s, and is trusted again from %s on",
			c.addr, clock(at), clock(at.Add(s.rules.failbackDelay))))
	}
	slices.Sort(held) // so that what stands is told once
	return strings.Join(held, ", and ") + " (failback-delay): PROXY FAILOVER with FORCE has it take place now"
}

// overrule begins the failover that is held back, or has no candidate, or that too few members ask for, because somebody
// asked for it with force. It returns nil if there is none, or the node asked for cannot take over.
func (s *situation) overrule(r topology.Request) []action {
	cause, masterDown := s.incident()
	unshared := cause == "" && s.nodes[s.state.Master.Addr].down
	if unshared {
		cause, masterDown = fmt.Sprintf("master %s is down as %s sees it, and not enough others do", s.state.Master.Addr, s.self), true
	}
	if !r.Force || cause == "" || len(s.rivals) > 0 {
		return nil
	}
	fit, _ := s.candidates(s.nodes)
	if len(fit) == 0 {
		fit = s.lastResort(s.nodes, true)
		slices.SortFunc(fit, better)
	} else if !unshared && s.holdBack(fit) == "" {
		return nil
	}
	if len(fit) == 0 {
		return nil
	}
	target := fit[0].addr
	if r.Target != "" && s.named(r.Target) != target {
		return nil // the one with the most data is chosen, and no other
	}
	next := s.state.Clone()
	next.Epoch++
	next.Phase = topology.Fencing
	cause += "; failover asked for by " + r.By
	next.Failover = &topology.Failover{Cause: cause, MasterDown: masterDown, Candidates: addresses(fit), Request: r.ID, Target: target, Forced: true}
	return []action{s.write(next, cause)}
}
