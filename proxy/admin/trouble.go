package admin

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/topology"
)

// trouble says in one sentence why the master is not used, or will not be replaced, although the State is stable and tells of no
// outage; "" if there is nothing to say. alarm says that it is one: nothing will change by itself.
func trouble(o *Overview, report Report) (text string, alarm bool) {
	s := o.State
	if s == nil || s.Phase != topology.Stable || s.Outage != nil {
		return "", false
	}
	for _, n := range report.Nodes {
		switch {
		case n.Addr != s.Master.Addr:
		case n.Down && (o.Authority.Source == topology.NoGrant || o.Authority.Source == topology.Promised):
			return fmt.Sprintf("master %s is down as this member sees it (%s), and there is no failover until ZooKeeper is back: what needs it waits",
				n.Addr, n.Reason), true
		case n.Down:
			return fmt.Sprintf("master %s is down as this member sees it (%s), and was not given up: others may reach it", n.Addr, n.Reason), false
		case n.Silent >= noticed:
			return fmt.Sprintf("master %s has not answered for %v: it hangs, or is busy with one command; it is held down when that lasts for %v (stall-after)",
				n.Addr, n.Silent.Truncate(time.Second), report.StallAfter), false
		case n.Heard.IsZero():
		case n.RunID != "" && s.Master.RunID != "" && n.RunID != s.Master.RunID:
			return fmt.Sprintf("master %s answers and is not used, because it was restarted and may lack data", n.Addr) + undecided(s), false
		case n.Follows != "":
			return fmt.Sprintf("master %s answers and is not used, because it has been made a replica of %s", n.Addr, n.Follows) + undecided(s), false
		}
	}
	return "", false
}

// undecided says why nothing is done about it.
func undecided(s *topology.State) string {
	if s.Paused != nil {
		return "; nobody decides while paused: understudy resume (PROXY RESUME)"
	}
	return ""
}

// disagreement says that this member wants another number of replicas to have a write than the State has, which is the most that any
// member wants; "" if it does not.
func (a *Admin) disagreement(s *topology.State) string {
	if s == nil || s.Phase != topology.Stable {
		return ""
	}
	agreed := 0
	if s.Durable != nil {
		agreed = s.Durable.Acks
	}
	switch own := a.who.WriteAcks; {
	case own > agreed:
		return fmt.Sprintf("write-acks is %d here and %d in the state: every write here may be answered UNREPLICATED until the member that leads has "+
			"taken it in, which takes a moment, or for ever if that is of an older version", own, agreed)
	case own == 0 && agreed > 0:
		return fmt.Sprintf("write-acks is 0 here and %d in the state, because another member wants that or did a moment ago: what is answered here is not durable; it must be the same for all members", agreed)
	case own < agreed:
		return fmt.Sprintf("write-acks is %d here and %d in the state, which is what counts, because another member wants that or did a moment ago: it must be the same for all members", own, agreed)
	}
	return ""
}
