package monitor

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/topology"
)

// noteOutage says in next, which is stable, whether the master is down while nobody takes its place, because nobody can
// or may. Then nothing more is sent to it: what is sent to a server that hangs hangs with it, for as long as it does. It
// is over as soon as the master has answered anything at all.
func (s *situation) noteOutage(next *topology.State) {
	master := s.state.Master.Addr
	n, v := s.nodes[master], s.verdicts[master]
	switch {
	case v.down && s.witness(v.since) == "":
		if next.Outage == nil {
			next.Outage = &topology.Outage{Since: v.since, Reason: v.reason}
		}
	case v.down, n.lives, n.down: // others see that it lives, or this process does
		next.Outage = nil
	}
}

// outage says in words what next says of the master and this State does not; "" if that is the same.
func (s *situation) outage(next *topology.State) string {
	switch was, is := s.state.Outage, next.Outage; {
	case was == nil && is != nil:
		return fmt.Sprintf("master %s is down (%s) and nobody takes its place: what needs it waits, and is not sent", s.state.Master.Addr, is.Reason)
	case was != nil && is == nil:
		return fmt.Sprintf("master %s answers again, after %v", s.state.Master.Addr, s.now.Sub(was.Since).Round(time.Millisecond))
	}
	return ""
}
