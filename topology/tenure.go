package topology

import (
	"slices"
	"time"
)

// Agreement is what a Tenure needs of a coordinator. Both methods are called for every batch of requests and must not do
// I/O.
type Agreement interface {
	Snapshot() Snapshot
	Grant() Grant
}

// Clock is the clock of an event loop.
type Clock interface {
	Now() time.Time   // when the present turn began
	Clock() time.Time // read anew
}

// Tenure is what one event loop knows of its right to send writes to the master and to believe the replies: the State
// that it routes under, the last grant that it had under that, and whether it owes the acknowledgement of a fence. It
// only decides. It belongs to its loop.
type Tenure struct {
	State   *State // nil before the first
	Version int64  // of State
	Fencing bool   // State is a fence that this loop has not acknowledged

	agreement Agreement
	clock     Clock
	kept      Grant // as it was when last looked at, under a stable State of its epoch
}

// NewTenure returns that of a loop that knows no State yet.
func NewTenure(agreement Agreement, clock Clock) Tenure {
	return Tenure{Version: -1, agreement: agreement, clock: clock}
}

// Behind reports whether there is a newer State than that which the loop routes under.
func (t *Tenure) Behind() bool {
	s := t.agreement.Snapshot()
	return s.State != nil && s.Version != t.Version
}

// Granted reports whether this member holds the grant of State's epoch, now and for that much longer. There is none
// while State is not stable: the grant that comes next is for another master.
func (t *Tenure) Granted(longer time.Duration) bool {
	if t.State == nil || t.State.Phase != Stable {
		return false
	}
	g := t.agreement.Grant()
	if g.Epoch == t.State.Epoch {
		t.kept = g
	}
	return g.Permits(t.State.Epoch, t.clock.Now().Add(longer))
}

// Answerable reports whether the reply to a write, by the master of State, may be delivered as it is: nobody can have been promoted
// yet in its place, because this member still holds the lease under which the write was sent and has not acknowledged a
// fence.
func (t *Tenure) Answerable() bool {
	switch {
	case t.Fencing:
		return t.lasts()
	case t.Granted(0):
		return true
	}
	// A fence may have been raised since this loop last looked, in the middle of its work, and then there is no grant any
	// more. Nobody is promoted before this loop has seen and acknowledged it, or the lease has ended.
	return t.State != nil && t.kept.Epoch == t.State.Epoch && t.Behind() && t.lasts()
}

// lasts reports whether the grant that was looked at last has not ended, whatever the State has become since. Unlike the
// coordinator, which looks at the clock whenever it is asked for a grant, this must look at it itself: the turn may have
// begun long before the reply in question was read, because the process was stopped in the middle of it.
func (t *Tenure) lasts() bool { return t.kept.Permits(t.kept.Epoch, t.clock.Clock()) }

// Claimable reports whether a write that is answered now can become durable: nobody can have taken the master's place, nor
// will somebody before this loop has acknowledged the fence. A fence that was planned waits until what is withheld
// has been answered; behind any other it will never be known who has what.
func (t *Tenure) Claimable() bool {
	switch {
	case t.State == nil:
		return false
	case t.State.Phase == Stable:
		return t.Granted(0)
	}
	return t.Fencing && t.State.Draining() && t.lasts()
}

// Holding says what one run of a replica is known to have: all that the master had when a sample was begun. Samples are
// numbered in the order in which they were begun, from 1.
type Holding struct {
	Holder
	AsOf uint64
}

// DurableAsOf returns the newest sample that as many holders have reached as a durable write needs, which is acks or what
// State says, whichever is more; 0 if there are too few. What was answered before that sample was begun is durable. The
// holders are those of the newest State, and it takes authority to be sure that there is no newer one.
func (t *Tenure) DurableAsOf(have []Holding, acks int) uint64 {
	if !t.Claimable() || t.State.Durable == nil || t.Behind() {
		return 0
	}
	d := t.State.Durable
	var room [8]uint64
	reached := room[:0]
	for _, h := range have {
		if h.AsOf > 0 && d.Counts(h.Addr, h.RunID) {
			reached = append(reached, h.AsOf)
		}
	}
	acks = max(acks, d.Acks)
	if len(reached) < acks {
		return 0
	}
	slices.Sort(reached)
	return reached[len(reached)-acks]
}

// Keeps reports whether what waits to become durable under State can still become so under next: the same master goes on,
// or is still to answer behind a planned fence, and nothing that this loop has not seen lies in between.
func (t *Tenure) Keeps(next *State) bool {
	is := t.State
	switch {
	case is == nil:
		return true // nothing can be waiting
	case is.Master.Addr != next.Master.Addr || is.Master.RunID != next.Master.RunID:
		return false
	case is.Phase == Stable && next.Phase == Stable:
		return is.Epoch == next.Epoch
	case is.Phase == Stable: // a planned fence begins
		return next.Draining() && next.Epoch == is.Epoch+1
	case !is.Draining():
		return false
	case next.Phase == Stable: // it was given up
		return next.Epoch == is.Epoch+1
	}
	return next.Draining() && next.Epoch == is.Epoch
}

// Draining reports whether the State asks for what is under way to be answered by a master that lives and agrees.
func (s *State) Draining() bool {
	return s.Phase == Fencing && s.Failover != nil && s.Failover.Planned && s.Failover.Aborted == ""
}
