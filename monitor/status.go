package monitor

import (
	"cmp"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// Status is what the monitor of this member knows, for people.
type Status struct {
	At        time.Time
	Leading   bool
	Nodes     []NodeStatus // sorted by address
	Failovers []FailoverRecord
	Alarms    []string // what stands in the way and needs an operator, sorted
	// StallAfter is after how long a silence a node is held down whose host takes connections.
	StallAfter time.Duration
}

// NodeStatus is one node.
type NodeStatus struct {
	Addr     string
	Aliases  []string // further addresses at which the same server answers, sorted
	RunID    string
	Version  string
	Role     string          // master or replica, as the node says; "" while it was not heard
	Health   topology.Health // of a replica in the State
	Down     bool
	Reason   string        // why it is held down
	Since    time.Time     // since when it is down, or up
	Silent   time.Duration // for how long it has answered nothing without being held down yet; 0: it answers
	Error    string        // the error reply that it gives instead of telling about itself
	Heard    time.Time     // when it last told about itself; zero: never
	Master   string        // of a replica: the host:port it follows, as it is configured
	Link     string        // of a replica: up or down
	Offset   int64         // of replication, in bytes
	LagBytes int64         // of a replica: behind the master
	LagTime  time.Duration
	Latency  time.Duration // of INFO, smoothed
	Priority int
}

// FailoverRecord is one change of master, as this member saw it.
type FailoverRecord struct {
	Epoch    uint64 // of the new master; while it is under way, of the fence
	Cause    string
	From, To string
	Began    time.Time
	Duration time.Duration // from the fence to the stable State; 0 while it is under way
}

// chronicle remembers the latest failovers.
type chronicle struct{ records []FailoverRecord }

// chronicleLength failovers are remembered.
const chronicleLength = 32

// follow takes note of a change of State.
func (c *chronicle) follow(was, is *topology.State, now time.Time) {
	if was == nil {
		was = is
		if is.Phase == topology.Stable {
			return
		}
	}
	open := len(c.records) > 0 && c.records[len(c.records)-1].Duration == 0
	switch {
	case is.Phase != topology.Stable && !open:
		c.add(FailoverRecord{Epoch: is.Epoch, Cause: is.Failover.Cause, From: is.Master.Addr, Began: now})
	case is.Phase == topology.Stable && open:
		last := &c.records[len(c.records)-1]
		last.Epoch, last.To, last.Duration = is.Epoch, is.Master.Addr, max(now.Sub(last.Began), 1)
	case is.Phase == topology.Stable && is.Epoch != was.Epoch:
		// All of it happened between two looks, or there was nothing but a restart.
		cause := "seen when it was over"
		if is.Master.Addr == was.Master.Addr && is.Master.RunID != was.Master.RunID {
			cause = "the master was restarted with all the data that it had"
		}
		c.add(FailoverRecord{Epoch: is.Epoch, Cause: cause, From: was.Master.Addr, To: is.Master.Addr, Began: now, Duration: 1})
	}
}

// add remembers a failover, and forgets the oldest where there are too many.
func (c *chronicle) add(r FailoverRecord) {
	if len(c.records) == chronicleLength {
		c.records = slices.Clone(c.records[1:])
	}
	c.records = append(c.records, r)
}

// began returns when the failover that is under way, or was the last one, began.
func (c *chronicle) began() time.Time {
	if len(c.records) == 0 {
		return time.Time{}
	}
	return c.records[len(c.records)-1].Began
}

// report makes a new Status.
func (l *loop) report(now time.Time) {
	if now.Sub(l.reported) < turnInterval && l.changedAt.Before(l.reported) {
		return
	}
	l.reported = now
	s := &Status{At: now, Leading: l.coord.Leading(), Failovers: slices.Clone(l.failovers.records), StallAfter: l.cfg.StallAfter}
	s.Alarms = l.standing()
	for addr, r := range l.records {
		if l.ours(addr) {
			s.Nodes = append(s.Nodes, l.nodeStatus(addr, r, now))
		}
	}
	slices.SortFunc(s.Nodes, func(a, b NodeStatus) int { return cmp.Compare(a.Addr, b.Addr) })
	l.status.Store(s)
}

func (l *loop) nodeStatus(addr string, r *record, now time.Time) NodeStatus {
	n := NodeStatus{
		Addr: addr, RunID: r.node.RunID, Version: r.node.Version, Role: string(r.node.Role),
		Down: r.vitality.down, Reason: r.vitality.reason, Since: r.vitality.since, Heard: r.node.heard,
		Offset: r.node.Offset, Latency: r.node.latency, Priority: r.node.Priority,
	}
	if !r.vitality.down && !r.vitality.silentSince.IsZero() {
		n.Silent = r.vitality.silent(now)
	}
	for alias, to := range l.aliases {
		if to == addr {
			n.Aliases = append(n.Aliases, alias)
		}
	}
	slices.Sort(n.Aliases)
	if r.err != nil {
		n.Error = r.err.Error()
	}
	if r.node.Role == roleReplica {
		n.Master, n.LagBytes, n.LagTime, n.Link = r.node.Master, r.node.lagBytes, r.node.lagTime, "down"
		if r.node.LinkUp {
			n.Link = "up"
		}
	}
	if s := l.snapshot.State; s != nil {
		if replica, ok := s.Replica(addr); ok {
			n.Health = replica.Health
		}
	}
	return n
}
