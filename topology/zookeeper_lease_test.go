package topology

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestLeasesAreAsLongAsTheSessionAllows(t *testing.T) {
	for _, c := range []struct{ session, heartbeat, tick, configured, want time.Duration }{
		{10 * time.Second, time.Second, 2 * time.Second, 0, 6 * time.Second},
		{6 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 0, 3600 * time.Millisecond},
		{6 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 3700 * time.Millisecond, 3700 * time.Millisecond},
		{6 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 3800 * time.Millisecond, -1}, // longer than is safe
		{2 * time.Second, 150 * time.Millisecond, 200 * time.Millisecond, 0, 1200 * time.Millisecond},
		{4 * time.Second, 400 * time.Millisecond, 3 * time.Second, 0, 1900 * time.Millisecond}, // bounded by the tick
		{10 * time.Second, time.Second, 2 * time.Second, 7 * time.Second, -1},                  // longer than is safe
		{4 * time.Second, time.Second, 2 * time.Second, 0, -1},                                 // shorter than is of use
		{2 * time.Second, 150 * time.Millisecond, 4 * time.Second, 0, -1},
	} {
		cfg := ZooKeeperConfig{SessionTimeout: c.session, Heartbeat: c.heartbeat, Tick: c.tick, Lease: c.configured}
		got, err := newTerms(&cfg, c.session)
		if c.want < 0 {
			if err == nil || got.lease != 0 {
				t.Errorf("%+v: a lease of %v", c, got.lease)
			}
			continue
		}
		if err != nil || got.lease != c.want {
			t.Errorf("%+v: %v (%v)", c, got.lease, err)
		}
	}
}

// The model of the servers is that of their source: the server of a session tells the leader every half tick that it
// was touched since; the leader counts the timeout from the moment it is told, and may lose touch with that server at
// any moment after. The leader's clock runs up to 4 % faster than the member's. The servers' tick need not be the one that was
// configured, if it is one of servers that grant such a session.
func TestNoLeaseOutlastsTheSessionWhateverTheRhythmOfHeartbeats(t *testing.T) {
	const (
		ms    = time.Millisecond
		drift = 0.96
	)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	cfg := ZooKeeperConfig{SessionTimeout: 10 * time.Second, Heartbeat: time.Second}
	begin := time.Now()
	for run := range 40000 {
		cfg.Tick = []time.Duration{200 * ms, 2 * time.Second, 6 * time.Second}[random.IntN(3)]
		agreed, err := newTerms(&cfg, cfg.SessionTimeout)
		if err != nil {
			t.Fatal(err)
		}
		tick := 200*ms + time.Duration(random.Int64N(int64(max(cfg.Tick, cfg.SessionTimeout/2)-200*ms+1)))
		var tch touches
		// In order, each one relative to begin: heartbeats in bursts, on time, and after long stalls.
		var beats []time.Duration
		at := time.Duration(0)
		for range 3 + random.IntN(20) {
			at += []time.Duration{ms, 10 * ms, 300 * ms, time.Second, time.Second, time.Second, 4500 * ms, 7 * time.Second}[random.IntN(8)] +
				time.Duration(random.Int64N(int64(50*ms)))
			beats = append(beats, at)
		}
		phase := time.Duration(random.Int64N(int64(tick / 2))) // of the telling
		for _, sent := range beats {
			gap := tch.add(begin.Add(sent), begin, agreed.telling)
			until := agreed.until(begin.Add(sent), gap).Sub(begin)
			// The server loses its leader right after this heartbeat. The last telling before it carried the newest touch
			// that was before it.
			told := time.Duration(0)
			for tell := phase; tell <= sent; tell += tick / 2 {
				for _, b := range beats {
					if b < tell {
						told = max(told, b)
					}
				}
			}
			expiry := told + time.Duration(float64(cfg.SessionTimeout)*drift)
			if until > sent && until >= expiry {
				t.Fatalf("seed %d run %d: tick %v, told %v; heartbeats at %v; the lease of the one at %v lasts until %v, the session until %v", seed, run, tick, cfg.Tick, beats, sent, until, expiry)
			}
		}
		if len(tch.at) > 16 {
			t.Fatalf("%d touches are kept", len(tch.at))
		}
	}
}

func TestALeaseEndsByEitherClock(t *testing.T) {
	now := time.Now()
	l := &lease{epoch: 1, sent: now, wall: now.Round(0), until: now.Add(time.Second)}
	if !l.holds(now) || !l.holds(now.Add(999*time.Millisecond)) || l.holds(now.Add(time.Second)) {
		t.Error("by the monotonic clock")
	}
	// A machine that was suspended: the wall clock went on, the monotonic one did not.
	suspended := &lease{epoch: 1, sent: now, wall: now.Round(0).Add(-time.Hour), until: now.Add(time.Second)}
	if suspended.holds(now) {
		t.Error("by the wall clock")
	}
	if (*lease)(nil).holds(now) {
		t.Error("no lease holds")
	}
}

// The first heartbeat after a suspension may find the session alive, in the last moment of its time, and the servers'
// leader may end it before it is told of that heartbeat.
func TestThereIsNoLeaseForAHeartbeatAfterALongSuspension(t *testing.T) {
	cfg := ZooKeeperConfig{SessionTimeout: 10 * time.Second, Heartbeat: time.Second, Tick: 2 * time.Second}
	agreed, err := newTerms(&cfg, cfg.SessionTimeout)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var touched touches
	for beat := range 5 {
		touched.add(begin.Add(time.Duration(beat)*cfg.Heartbeat), begin, agreed.telling)
	}
	awake := begin.Add(5 * cfg.Heartbeat)
	if until := agreed.until(awake, touched.add(awake, begin, agreed.telling)); !until.After(awake) {
		t.Fatal("there is no lease although nothing has happened")
	}
	again := suspended(awake, 9500*time.Millisecond)
	l := lease{sent: again, wall: again.Round(0), until: agreed.until(again, touched.add(again, begin, agreed.telling))}
	if l.holds(again) {
		t.Errorf("a lease of %v, and the session may be over", l.until.Sub(l.sent))
	}
}

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
		if l := z.lease.Load(); l != nil && l.holds(at) {
			return l.until.Sub(at)
		}
		return 0
	}
	terms := func(s *session) terms {
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
		s.confirmed(1, begin.Add(2*time.Second), before, &touches{})
		if got := lasts(z, begin.Add(2*time.Second)); got > before.lease {
			t.Errorf("the lease lasts %v, and others wait for one of %v", got, before.lease)
		}
		s.confirmed(1, begin.Add(3*time.Second), terms(s), &touches{})
		if got := lasts(z, begin.Add(3*time.Second)); got != terms(s).lease {
			t.Errorf("the next one lasts %v, want %v", got, terms(s).lease)
		}
	})
	t.Run("a shorter timeout while a heartbeat is in flight", func(t *testing.T) {
		z, s := member(long)
		before := terms(s)
		s.dialer.attempted = begin.Add(time.Second)
		s.greeted(1, short)
		sent := begin.Add(500 * time.Millisecond) // before the connection was lost
		s.confirmed(1, sent, before, &touches{})
		if over := begin.Add(time.Second + short); lasts(z, sent) == 0 || lasts(z, over.Add(-short/20)) > 0 {
			t.Errorf("the lease lasts %v after %v, and the session may be over at %v", lasts(z, sent), 500*time.Millisecond, over.Sub(begin))
		}
	})
	t.Run("a shorter timeout while a lease lasts", func(t *testing.T) {
		z, s := member(long)
		s.confirmed(1, begin, terms(s), &touches{})
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
		s.confirmed(1, begin, before, &touches{})
		if got := lasts(z, begin); got != 0 {
			t.Errorf("the lease lasts %v", got)
		}
	})
}
