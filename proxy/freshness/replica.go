package freshness

import (
	"sync/atomic"
	"time"
)

// Node names one run of a server.
type Node struct{ Addr, RunID string }

// Reign is the time in which one master writes one history.
type Reign struct {
	Epoch  uint64
	Master Node
	ReplID string
}

// Replica is how fresh one run of a replica is, under one reign. It is shared by all loops.
type Replica struct {
	asOf   atomic.Uint64 // the newest sample that it has reached; 0: none, or what it had is void
	begun  atomic.Int64  // when that sample was begun, ns as Tracker.Age
	apart  atomic.Bool   // its clock differs too much from the master's
	lag    atomic.Int64  // smoothed, ns; see Lag
	guests atomic.Int64  // sessions whose last read was answered here
}

// Join and Leave count the sessions that read here; nil is the master, where nobody counts them.
func (r *Replica) Join() {
	if r != nil {
		r.guests.Add(1)
	}
}

// Leave undoes Join.
func (r *Replica) Leave() {
	if r != nil {
		r.guests.Add(-1)
	}
}

// Guests returns how many sessions read here.
func (r *Replica) Guests() int { return int(r.guests.Load()) }

// AsOf returns the newest sample that the replica has reached, 0 for none.
func (r *Replica) AsOf() uint64 { return r.asOf.Load() }

// Lag returns how long after a sample was begun the replica is known to have reached it, lately: what replication takes,
// and what it takes to find out. 0 is unknown.
func (r *Replica) Lag() time.Duration { return time.Duration(r.lag.Load()) }

// Apart reports whether the replica's clock differs so much from the master's that it serves nothing.
func (r *Replica) Apart() bool { return r.apart.Load() }

// SetApart says whether it does.
func (r *Replica) SetApart(apart bool) {
	if r.apart.Load() != apart {
		r.apart.Store(apart)
	}
}

// Trust says that there was no first sample, because the master of this process's first State is away. What nobody has
// written or observed through this process since it began may be read all the same.
func (r *Replica) Trust() { r.asOf.CompareAndSwap(0, beginning) }

// Void says that the replica has lost data that it had, or may have. It begins anew.
func (r *Replica) Void() { r.asOf.Store(0) }

// Enroll takes in a State, by its version, and returns the Replica of each of the nodes, in their order. Every loop
// calls it when it applies a State, in whatever order they come to it, with the reign of the last stable one, or none; those that apply the same one get the same
// Replicas. Under a new reign, and for a node that was not among those of the version before, they are new. The caller
// must not use the Replicas of an earlier version any more.
func (t *Tracker) Enroll(version int64, reign Reign, nodes []Node) []*Replica {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*Replica, len(nodes))
	if version < t.version {
		for i, n := range nodes { // this loop is late; it will come again
			if list[i] = t.replicas[n]; list[i] == nil || reign != t.reign {
				list[i] = &Replica{}
			}
		}
		return list
	}
	was := t.replicas
	if reign != t.reign {
		was = nil
		if t.reign != (Reign{}) {
			t.RaiseFloor()
		}
	}
	now := make(map[Node]*Replica, len(nodes))
	fresh := false
	for i, n := range nodes {
		r := was[n]
		if r == nil {
			r = &Replica{}
			fresh = true
		}
		if reign == (Reign{}) {
			r.Trust()
		}
		now[n], list[i] = r, r
	}
	t.version, t.reign, t.replicas = version, reign, now
	if fresh {
		t.Need(t.Next())
	}
	return list
}
