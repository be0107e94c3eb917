package lease

import "time"

// Session is what a member knows of its session with ZooKeeper that leases rest on. The zero value is one without a connection.
type Session struct {
	Terms   Terms     // of the newest connection
	Began   time.Time // before the newest connection was asked for: ZooKeeper's leader heard of the session after
	touched touches
}

// Confirm takes in that a heartbeat was confirmed which was sent then, made up under the terms of before. It returns when the lease ends
// that it gives, and whether it gives one. The connection may have become another one meanwhile, with other terms: the
// lease is one under both.
func (s *Session) Confirm(sent time.Time, before Terms) (until time.Time, ok bool) {
	gap := s.touched.add(sent, s.Began, max(before.Telling, s.Terms.Telling))
	if s.Terms.Lease == 0 || before.Lease == 0 {
		return time.Time{}, false
	}
	until = s.Terms.until(sent, gap)
	if other := before.until(sent, gap); other.Before(until) {
		until = other
	}
	return until, true
}

// touches remembers when successful heartbeats of a session were sent.
type touches struct {
	// at is in order; of those that are so old that the servers' leader must know of them it keeps the newest.
	at []time.Time
}

// add records a success and returns the gap to use for its lease: to the newest earlier success of which the servers'
// leader must have been told when this one was sent. Of heartbeats that follow one another closely it may know none,
// if their server is cut off from it just now: so the one directly before would not do. The beginning of the
// connection counts as one, because the leader itself is asked whether the session lives. The gap is measured by the clock
// that says longer: while a machine is suspended its monotonic clock stands still, and the session's time does not.
//
// telling is after how long the leader must have been told.
func (t *touches) add(sent, connected time.Time, telling time.Duration) (gap time.Duration) {
	known := connected
	old := 0 // how many are no use any more
	for i, at := range t.at {
		if sent.Sub(at) >= telling {
			old = i
			if at.After(known) {
				known = at
			}
		}
	}
	t.at = t.at[old:]
	// Bursts add nothing that matters, and must not make the list long.
	if n := len(t.at); n == 0 || sent.Sub(t.at[n-1]) >= telling/8 {
		t.at = append(t.at, sent)
	}
	return Age(sent, known)
}
