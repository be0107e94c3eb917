package lease

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testclock"
)

func TestLeasesAreAsLongAsTheSessionAllows(t *testing.T) {
	for _, c := range []struct{ session, heartbeat, tick, configured, want time.Duration }{
		{10 * time.Second, time.Second, 2 * time.Second, 0, 6 * time.Second},
		{6 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 0, 3600 * time.Millisecond},
		{6 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 3700 * time.Millisecond, 3700 * time.Millisecond},
		{6 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 3800 * time.Millisecond, 0}, // longer than is safe
		{2 * time.Second, 150 * time.Millisecond, 200 * time.Millisecond, 0, 1200 * time.Millisecond},
		{4 * time.Second, 400 * time.Millisecond, 3 * time.Second, 0, 1900 * time.Millisecond}, // bounded by the tick
		{10 * time.Second, time.Second, 2 * time.Second, 7 * time.Second, 0},                   // longer than is safe
		{4 * time.Second, time.Second, 2 * time.Second, 0, 0},                                  // shorter than is of use
		{2 * time.Second, 150 * time.Millisecond, 4 * time.Second, 0, 0},
	} {
		got := NewTerms(Settings{Heartbeat: c.heartbeat, Tick: c.tick, Lease: c.configured}, c.session)
		if got.Lease != c.want {
			t.Errorf("%+v: %v", c, got.Lease)
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
	const session = 10 * time.Second
	cfg := Settings{Heartbeat: time.Second}
	begin := time.Now()
	for run := range 40000 {
		cfg.Tick = []time.Duration{200 * ms, 2 * time.Second, 6 * time.Second}[random.IntN(3)]
		agreed := NewTerms(cfg, session)
		tick := 200*ms + time.Duration(random.Int64N(int64(max(cfg.Tick, session/2)-200*ms+1)))
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
			gap := tch.add(begin.Add(sent), begin, agreed.Telling)
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
			expiry := told + time.Duration(float64(session)*drift)
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
	l := &Lease{Epoch: 1, Sent: now, Until: now.Add(time.Second)}
	if !l.Holds(now) || !l.Holds(now.Add(999*time.Millisecond)) || l.Holds(now.Add(time.Second)) {
		t.Error("by the monotonic clock")
	}
	if l.Holds(testclock.Suspended(now, time.Hour)) {
		t.Error("by the wall clock")
	}
	if (*Lease)(nil).Holds(now) {
		t.Error("no lease holds")
	}
}

// The first heartbeat after a suspension may find the session alive, in the last moment of its time, and the servers'
// leader may end it before it is told of that heartbeat.
func TestThereIsNoLeaseForAHeartbeatAfterALongSuspension(t *testing.T) {
	cfg := Settings{Heartbeat: time.Second, Tick: 2 * time.Second}
	agreed := NewTerms(cfg, 10*time.Second)
	begin := time.Now()
	var touched touches
	for beat := range 5 {
		touched.add(begin.Add(time.Duration(beat)*cfg.Heartbeat), begin, agreed.Telling)
	}
	awake := begin.Add(5 * cfg.Heartbeat)
	if until := agreed.until(awake, touched.add(awake, begin, agreed.Telling)); !until.After(awake) {
		t.Fatal("there is no lease although nothing has happened")
	}
	again := testclock.Suspended(awake, 9500*time.Millisecond)
	l := Lease{Sent: again, Until: agreed.until(again, touched.add(again, begin, agreed.Telling))}
	if l.Holds(again) {
		t.Errorf("a lease of %v, and the session may be over", l.Until.Sub(l.Sent))
	}
}
