package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"
)

// terms are the times that leases of a session are computed from.
type terms struct {
	session   time.Duration // the timeout that ZooKeeper granted
	heartbeat time.Duration
	telling   time.Duration // how long a server may keep a touch to itself
	lease     time.Duration // how long a lease lasts when heartbeats are on time
}

// newTerms computes the lease for a session timeout that ZooKeeper granted. It returns an error that wraps
// ErrSessionTooShort if no useful lease fits into it.
func newTerms(cfg *ZooKeeperConfig, session time.Duration) (terms, error) {
	t := terms{session: session, heartbeat: cfg.Heartbeat, telling: max(cfg.Tick, session/2) / 2}
	most := t.most(t.telling + t.heartbeat)
	t.lease = cfg.Lease
	if t.lease == 0 {
		t.lease = min(session*6/10, most)
	}
	// A lease must outlast a heartbeat that comes late by another one, or writes would stop now and then.
	if least := 2 * t.heartbeat; t.lease < least || t.lease > most {
		t.lease = 0
		return t, fmt.Errorf("%w: ZooKeeper grants %v (%v were asked for), which leaves %v for the lease (timeout - heartbeat of %v - %v, after which a server has told of it - 5 %%), and it must be at least %v; ask for a longer session, or correct heartbeat and tick",
			ErrSessionTooShort, session, cfg.SessionTimeout, most, t.heartbeat, t.telling, max(least, cfg.Lease))
	}
	return t, nil
}

// most is how long a lease may last at most after a heartbeat, when the last one of which the servers' leader must know was
// sent this much earlier: the session may have been touched last by that one. Clocks may differ by 5 %. That servers let sessions
// end at whole ticks makes them end later, never earlier.
//
// Servers tell their leader of touches every half tick, and do not say how long their ticks are. But they grant no session
// shorter than two of them, unless minSessionTimeout says so: whatever the tick is, half of one is no more than a quarter of the session. A
// longer one has to be told (zookeeper-tick).
func (t terms) most(gap time.Duration) time.Duration {
	return t.session - gap - t.session/20
}

// until is when the lease ends that a heartbeat confirmed which was sent at that moment.
func (t terms) until(sent time.Time, gap time.Duration) time.Time {
	return sent.Add(min(t.lease, t.most(gap)))
}

// limit is when any lease must have ended of a session that was granted these terms on a connection that began then, whatever it
// was granted before: the servers' leader counts the new timeout from when it was asked whether the session lives.
func (t terms) limit(began time.Time) time.Time { return began.Add(t.most(0)) }

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
	return age(sent, known)
}

// lease is the proof that this member's session lived and that the State had an epoch, at the moment sent.
//
// It permits writes under a stable State of that epoch, also under a version newer than the one that was checked: who
// deposes the master of an epoch begins a later epoch, and then waits for as long as a lease can last that was
// confirmed before, counted from a moment after sent.
type lease struct {
	epoch uint64 // 0: there was no State
	sent  time.Time
	wall  time.Time // sent by the wall clock
	until time.Time
}

// holds reports whether the lease lasts at now, by the monotonic clock and by the wall clock: the monotonic one stands
// still while a machine is suspended.
func (l *lease) holds(now time.Time) bool {
	return l != nil && now.Before(l.until) && now.Round(0).Sub(l.wall) < l.until.Sub(l.sent)
}

// beat renews the lease and keeps what others read of this member up to date.
func (s *session) beat(ctx context.Context) error {
	due := time.NewTimer(s.z.cfg.Heartbeat)
	defer due.Stop()
	var touched touches
	for {
		if err := s.insist(ctx, func() error { return s.heartbeat(ctx, &touched) }); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.firstBeat.Do(func() { close(s.beaten) })
		due.Reset(s.z.cfg.Heartbeat)
		select {
		case <-due.C:
		case <-s.beatNow:
		case <-ctx.Done():
			return nil
		}
	}
}

// confirmed takes in that a heartbeat was confirmed. The connection may have become another one since it was made up, with
// other terms: the lease is one under both.
func (s *session) confirmed(epoch uint64, sent time.Time, before terms, touched *touches) {
	s.mu.Lock() // no other terms come in between; see greeted
	defer s.mu.Unlock()
	now := s.terms
	gap := touched.add(sent, s.began, max(before.telling, now.telling))
	if s.termsErr != nil || before.lease == 0 {
		return
	}
	until := now.until(sent, gap)
	if other := before.until(sent, gap); other.Before(until) {
		until = other
	}
	s.z.renew(s, &lease{epoch: epoch, sent: sent, wall: sent.Round(0), until: until})
}

// heartbeat makes one quorum write that proves, in one step, that this member's session lives, that its znodes exist
// and that the State is the one it knows. A read would not do: a server that is cut off from the others goes on
// answering reads when the session has expired. What others read of this member is written only when it has changed:
// the leader, who watches it, is not woken by every heartbeat of everybody.
func (s *session) heartbeat(ctx context.Context, touched *touches) error {
	z := s.z
	for {
		known := z.Snapshot()
		before, _ := s.agreed() // before what others read is made up: they wait for no longer lease than they can read of
		data, number, fresh := z.unwritten()
		member, state := z.path("members/"+z.cfg.ID), z.path("state")
		ops := []any{&zk.CheckVersionRequest{Path: state, Version: int32(known.Version)}}
		if fresh {
			ops = append(ops, &zk.SetDataRequest{Path: member, Data: data, Version: -1})
		} else {
			ops = append(ops, &zk.CheckVersionRequest{Path: member, Version: -1})
		}
		candidate := s.candidate.Load()
		if candidate != nil {
			ops = append(ops, &zk.CheckVersionRequest{Path: *candidate, Version: -1})
		}
		turn := z.ledger.sending()
		sent := time.Now()
		cause, err := call(ctx, s, z.home, func(c *zk.Conn) (int, error) {
			answers, err := c.Multi(ops...)
			return slices.IndexFunc(answers, func(a zk.MultiResponse) bool { return a.Error != nil }), err
		})
		switch {
		case err == nil:
			z.ledger.confirm(sent, turn)
			s.confirmed(known.epoch(), sent, before, touched)
			z.noteWritten(data, number)
			return nil
		case errors.Is(err, zk.ErrBadVersion):
			if err := s.refresh(ctx); err != nil {
				return err
			}
			if z.Snapshot().Version == known.Version {
				// The server that was asked lags behind the one that checked.
				if err := rest(ctx, time.Millisecond); err != nil {
					return err
				}
			}
			continue
		case errors.Is(err, zk.ErrNoNode) && cause == 0:
			return stateGone(err, state)
		case errors.Is(err, zk.ErrNoNode) && candidate != nil && s.candidate.Load() != candidate:
			continue // it was given up meanwhile
		case errors.Is(err, zk.ErrNoNode):
			return errZnodeGone
		}
		if fresh {
			z.forgetWritten() // it may have been written, or not
		}
		return err
	}
}
