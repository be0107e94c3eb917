package monitor

import (
	"time"

	"github.com/understudy/understudy/topology"
)

// verdict is what the members together hold of one node.
type verdict struct {
	down   bool
	votes  int       // members that hold it down
	of     int       // members that have a view of it
	since  time.Time // of those that hold it down, the earliest
	reason string    // of that one
}

// combine makes one verdict per node from the views of all members. A member without a view of a node has no vote on
// it, and fewer than required views prove nothing.
func combine(members []topology.Member, strategy Strategy, required int) map[string]verdict {
	verdicts := make(map[string]verdict)
	for _, m := range members {
		for _, n := range m.View {
			v := verdicts[n.Addr]
			v.of++
			if n.Down {
				v.votes++
				if v.votes == 1 || n.Since.Before(v.since) {
					v.since, v.reason = n.Since, n.Reason
				}
			}
			verdicts[n.Addr] = v
		}
	}
	for addr, v := range verdicts {
		switch {
		case v.of < required || v.votes == 0:
		case strategy == Single:
			v.down = true
		case strategy == Consensus:
			v.down = v.votes == v.of
		default:
			v.down = 2*v.votes > v.of
		}
		verdicts[addr] = v
	}
	return verdicts
}
