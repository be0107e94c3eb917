package topology

import (
	"testing"
	"time"

	"github.com/understudy/understudy/internal/lease"
)

// A connection to another server of the ensemble may be granted another timeout: the servers' limits may differ, or have been
// changed one after the other.
func TestALeaseIsOneUnderTheTermsOfTheOldConnectionAndOfTheNew(t *testing.T) {
	const long, short = 20 * time.Second, 5 * time.Second
	begin := time.Now()
	member := func(timeout time.Duration) (*ZooKeeper, *session) {
		z := &ZooKeeper{cfg: ZooKeeperConfig{SessionTimeout: long, Heartbeat: 200 * time.Millisecond, Tick: 2 * time.Second, Log: testLog(t, "a")}}
		s := &session{z: z, ctx: t.Context(), changed: make(chan struct{}), dialer: &dialer{attempted: begin}}
		s.greeted(1, timeout)
		return z, s
	}
	lasts := func(z *ZooKeeper, at time.Time) time.Duration {
		if l := z.lease.Load(); l != nil && l.Holds(at) {
			return l.Until.Sub(at)
		}
		return 0
	}
	terms := func(s *session) lease.Terms {
		now, err := s.agreed()
		if err != nil {
			t.Fatal(err)
		}
		return now
	}

	t.Run("a longer timeout while a heartbeat is in flight", func(t *testing.T) {
		z, s := member(short)
		before := terms(s) // and others read of its lease
		s.dialer.attempted = begin.Add(time.Second)
		s.greeted(1, long)
		s.confirmed(1, begin.Add(2*time.Second), before)
		if got := lasts(z, begin.Add(2*time.Second)); got > before.Lease {
			t.Errorf("the lease lasts %v, and others wait for one of %v", got, before.Lease)
		}
		s.confirmed(1, begin.Add(3*time.Second), terms(s))
		if got := lasts(z, begin.Add(3*time.Second)); got != terms(s).Lease {
			t.Errorf("the next one lasts %v, want %v", got, terms(s).Lease)
		}
	})
	t.Run("a shorter timeout while a heartbeat is in flight", func(t *testing.T) {
		z, s := member(long)
		before := terms(s)
		s.dialer.attempted = begin.Add(time.Second)
		s.greeted(1, short)
		sent := begin.Add(500 * time.Millisecond) // before the connection was lost
		s.confirmed(1, sent, before)
		if over := begin.Add(time.Second + short); lasts(z, sent) == 0 || lasts(z, over.Add(-short/20)) > 0 {
			t.Errorf("the lease lasts %v after %v, and the session may be over at %v", lasts(z, sent), 500*time.Millisecond, over.Sub(begin))
		}
	})
	t.Run("a shorter timeout while a lease lasts", func(t *testing.T) {
		z, s := member(long)
		s.confirmed(1, begin, terms(s))
		if got := lasts(z, begin); got <= short {
			t.Fatalf("the lease lasts %v", got)
		}
		s.dialer.attempted = begin.Add(time.Second)
		s.greeted(1, short)
		if over := begin.Add(time.Second + short); lasts(z, begin) == 0 || lasts(z, over.Add(-short/20)) > 0 {
			t.Errorf("the lease lasts %v, and the session may be over at %v", lasts(z, begin), over.Sub(begin))
		}
	})
	t.Run("no lease at all under the new terms", func(t *testing.T) {
		z, s := member(long)
		before := terms(s)
		s.greeted(1, 100*time.Millisecond)
		s.confirmed(1, begin, before)
		if got := lasts(z, begin); got != 0 {
			t.Errorf("the lease lasts %v", got)
		}
	})
}
