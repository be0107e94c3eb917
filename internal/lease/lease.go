// Package lease says for how long a member may rely on what ZooKeeper has confirmed: leases of a session, and what they
// are computed from. It only computes; it has no clock and does no I/O. The coordinator goes by it, and so do the members of the
// simulation of the whole system, which is how the simulation can show that no lease outlasts its session.
package lease

import "time"

// Lease is the proof that a member's session lived and that the State had an epoch, at the moment Sent.
//
// It permits writes under a stable State of that epoch, also under a version newer than the one that was checked: who
// deposes the master of an epoch begins a later epoch, and then waits for as long as a lease can last that was
// confirmed before, counted from a moment after Sent.
type Lease struct {
	Epoch uint64    // 0: there was no State
	Sent  time.Time // when the heartbeat was, by both clocks
	Until time.Time
}

// Holds reports whether the lease lasts at now, by the monotonic clock and by the wall clock: the monotonic one stands
// still while a machine is suspended. None holds never.
func (l *Lease) Holds(now time.Time) bool {
	return l != nil && now.Before(l.Until) && now.Round(0).Sub(l.Sent.Round(0)) < l.Until.Sub(l.Sent)
}

// Renewed returns the lease that is in place after the next one was confirmed. One that follows a gap may end earlier than the one
// before, which is as good as it was.
func (l *Lease) Renewed(next *Lease) *Lease {
	if l == nil || l.Epoch != next.Epoch || l.Until.Before(next.Until) {
		return next
	}
	return l
}

// EndingBy returns the lease, or one that ends at limit if it would last longer.
func (l *Lease) EndingBy(limit time.Time) *Lease {
	if l == nil || !limit.Before(l.Until) {
		return l
	}
	is := *l
	is.Until = limit
	return &is
}

// Age returns how long before now t was, by the clock that says longer: while a machine is suspended its monotonic clock stands
// still.
func Age(now, t time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
