package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// disputePatience is for how long some members may hold the master down, and too few for a failover, before that is an
// alarm. Where it is down they notice within a second or so of each other.
const disputePatience = 3 * time.Second

// unjudged is the alarm that the death of the master has no consequence, or will have none, because too few members
// say so. Its text changes while its subject stays: what is a danger at first is an outage when the master dies.
func (s *situation) unjudged() []action {
	master := s.state.Master.Addr
	v := s.verdicts[master]
	required := s.rules.requiredMonitors
	text := ""
	switch {
	case v.down || len(s.members) == 0:
	case len(s.members) < required && v.votes == 0:
		text = fmt.Sprintf("there is no failover whatever happens to the master: required-monitors is %d, and there %s; "+
			"start more members, or start all with a lower --required-monitors", required, count(len(s.members), "member"))
	case v.of < required && v.votes > 0:
		text = fmt.Sprintf("master %s is down for %s (%s), and nobody takes its place: required-monitors is %d, and there %s with a view of it; "+
			"start more members, or start all with a lower --required-monitors", master, s.holdingDown(master), v.reason, required, count(v.of, "member"))
	case v.votes > 0 && !s.disputed.IsZero() && s.now.Sub(s.disputed) >= disputePatience:
		text = fmt.Sprintf("master %s is down for %s (%s, seen by %d of %d), and lives for the others, so nobody takes its place (node-strategy is %s); "+
			"see to the network between it and the members that do not reach it", master, s.holdingDown(master), v.reason, v.votes, v.of, s.rules.strategy)
	}
	if text == "" {
		return nil
	}
	if v.votes > 0 && s.nodes[master].down {
		text += ", or have it replaced by PROXY FAILOVER with FORCE"
	}
	a := s.alarm(text)
	a.subject = subjectUnjudged
	return []action{a}
}

// count says how many there are, as in "is 1 member" and "are 2 members".
func count(n int, what string) string {
	if n == 1 {
		return "is 1 " + what
	}
	return fmt.Sprintf("are %d %ss", n, what)
}

// holdingDown names the members that hold a node down.
func (s *situation) holdingDown(addr string) string {
	var ids []string
	for _, m := range s.members {
		if slices.ContainsFunc(m.View, func(n topology.NodeView) bool { return n.Addr == addr && n.Down }) {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return conjoin(ids)
}

// dispute returns since when this member has known that some hold the master down and too few do; zero: it is not so.
func (l *loop) dispute(s *situation) time.Time {
	if s.state == nil {
		return time.Time{}
	}
	v := combine(s.members, s.self, s.rules.strategy, s.rules.requiredMonitors)[s.state.Master.Addr]
	if v.votes == 0 || v.down || l.disputedNode != s.state.Master.Addr {
		l.disputed, l.disputedNode = time.Time{}, s.state.Master.Addr
	}
	if v.votes > 0 && !v.down && l.disputed.IsZero() {
		l.disputed = s.now
	}
	return l.disputed
}
