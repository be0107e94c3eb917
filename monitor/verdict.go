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
	since  time.Time // by self's own clock if it holds it down, or else of those that do the earliest
	reason string    // of that one
	own    bool      // self holds it down
}

// combine makes one verdict per node from the views of all members. A member without a view of a node has no vote on
// it, and fewer than required views prove nothing. Since when a node is down is compared with what self has observed, so it goes
// by the clock of self where that is possible: another member's may be wrong by hours. What a replica received while the
// master lived would then make a witness of it, and one that had long been cut off would pass for one that was cut off by
// the master's end.
func combine(members []topology.Member, self string, strategy Strategy, required int) map[string]verdict {
	verdicts := make(map[string]verdict)
	for _, m := range members {
		for _, n := range m.View {
			v := verdicts[n.Addr]
			v.of++
			if n.Down {
				v.votes++
				own := m.ID == self
				if own || !v.own && (v.votes == 1 || n.Since.Before(v.since)) {
					v.since, v.reason, v.own = n.Since, n.Reason, own
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
