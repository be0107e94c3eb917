package monitor

import (
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// counting knows since when all members count durable writes by the holders that the present State names.
type counting struct {
	version int64     // of the State in which they were last changed
	changed time.Time // when this member learned of it
	from    time.Time // since when; zero: some may still count by earlier ones
}

// follow takes in a new State.
func (c *counting) follow(was *topology.State, is topology.Snapshot, now time.Time) {
	if was != nil && same(was.Durable, is.State.Durable) && was.Master.RunID == is.State.Master.RunID {
		return
	}
	*c = counting{version: is.Version, changed: now}
}

func same(a, b *topology.Durable) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Acks == b.Acks && a.FormerAcks == b.FormerAcks && slices.Equal(a.Holders, b.Holders) && slices.Equal(a.Former, b.Former)
}

// judge looks at the members as they were listed at a time. One that does not know the State could not renew its lease
// since that was written, so a lease later it answers nothing any more, with 5 % for clocks that run at different speeds.
func (c *counting) judge(members []topology.Member, listed, now time.Time) {
	if !c.from.IsZero() || c.changed.IsZero() || !listed.After(c.changed) {
		return
	}
	for _, m := range members {
		if m.Version < c.version && (m.Lease == 0 || now.Sub(c.changed) < m.Lease+m.Lease/20) {
			return
		}
	}
	c.from = now
}
