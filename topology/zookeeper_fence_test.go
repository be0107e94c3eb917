package topology

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// fencer is a member that does what a proxy and a monitor do with a coordinator: it acknowledges fences, and while it
// leads it deposes one epoch after the other, by the protocol: fence, wait for every member that is listed after the
// fence until it has acknowledged or 1.05 times its lease has passed, then the next stable epoch.
type fencer struct {
	*ZooKeeper
	all    []*fencer
	rounds *atomic.Int64
	forced *atomic.Int64 // rounds in which a member did not acknowledge
}

func (f *fencer) run(ctx context.Context, t *testing.T) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer f.Watch(func(s Snapshot) {
		if s.State.Phase != Fencing {
			return
		}
		tasks.Go(func() { // a write that was in flight ends a moment later
			select {
			case <-time.After(rand.N(20 * time.Millisecond)):
			case <-ctx.Done():
				return
			}
			for ctx.Err() == nil && f.Acknowledge(ctx, s.State.Epoch) != nil {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	})()
	for ctx.Err() == nil {
		if f.Leading() {
			f.depose(ctx, t)
		}
		select {
		case <-time.After(rand.N(50 * time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// depose makes one round, or finishes one that another began, and gives up at the first error.
func (f *fencer) depose(ctx context.Context, t *testing.T) {
	s := f.Snapshot()
	if s.State == nil {
		_ = f.Update(ctx, s.Version, stable(1)) // another may be faster
		return
	}
	if s.State.Phase == Stable {
		if f.Update(ctx, s.Version, fencing(s.State)) != nil {
			return
		}
		s = f.Snapshot()
	}
	if s.State.Phase != Fencing {
		return
	}
	fenced := time.Now() // not before the write; of a fence that another made, later than it
	epoch := s.State.Epoch
	for {
		members, err := f.Members(ctx)
		if err != nil {
			return
		}
		waiting := false
		for _, m := range members {
			if m.Fenced < epoch && time.Since(fenced) < m.Lease*105/100 {
				waiting = true
			}
		}
		if !waiting {
			for _, m := range members {
				if m.Fenced < epoch {
					f.forced.Add(1)
				}
			}
			break
		}
		select {
		case <-f.MembersChanged():
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
	// Here a real leader promotes. From now on nobody may write under what was before, whatever it has heard.
	for _, other := range f.all {
		if now := time.Now(); other.Grant().Permits(epoch-1, now) {
			t.Errorf("%s may write under epoch %d after its fence was over", other.cfg.ID, epoch-1)
		}
	}
	if f.Update(ctx, s.Version, stable(epoch)) == nil {
		f.rounds.Add(1)
	}
}

func TestNobodyMayWriteUnderAnEpochThatWasFencedWhateverBreaks(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	servers := sharedZooKeeper(t)
	var rounds, forced atomic.Int64
	all := make([]*fencer, 3)
	ways := make([]wires, len(all))
	for i, id := range []string{"a", "b", "c"} {
		var through string
		through, ways[i] = wire(t, servers)
		all[i] = &fencer{ZooKeeper: open(t, memberConfig(t, through, id)), all: all, rounds: &rounds, forced: &forced}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, f := range all {
		running.Go(func() { f.run(ctx, t) })
	}
	stop := sample(t, func() {
		for i, a := range all {
			for _, b := range all[i+1:] {
				// Leadership, once it is looked at from both sides, is over before another's begins.
				if a.Leading() && b.Leading() && a.Leading() || b.Leading() && a.Leading() && b.Leading() {
					t.Errorf("%s and %s lead at one moment", a.cfg.ID, b.cfg.ID)
				}
			}
		}
	})
	// Longer than a session now and then, shorter than a lease otherwise.
	const enough = 5 // rounds; a busy machine takes longer for them
	began := time.Now()
	for (time.Since(began) < 10*time.Second || rounds.Load() < enough && time.Since(began) < time.Minute) && !t.Failed() {
		victim := ways[random.IntN(len(ways))]
		victim.each(func(r *testcluster.Relay) {
			switch random.IntN(5) {
			case 0:
				r.Cut()
			case 1:
				r.Freeze(testcluster.BothWays)
			case 2:
				r.Freeze(testcluster.Downward)
			case 3:
				r.Blackhole(testcluster.Upward)
			case 4:
				r.Delay(testcluster.BothWays, time.Duration(random.IntN(300))*time.Millisecond)
			}
		})
		time.Sleep([]time.Duration{50, 500, 1500, 2600}[random.IntN(4)] * time.Millisecond) // how long the fault lasts
		victim.heal()
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // how long it is well
	}
	cancel()
	running.Wait()
	stop()
	t.Logf("%d rounds, in which %d times a member did not acknowledge", rounds.Load(), forced.Load())
	if rounds.Load() < enough {
		t.Errorf("only %d rounds were made", rounds.Load())
	}
	// Everything comes back by itself.
	leader, _ := leaderOf(t, all[0].ZooKeeper, all[1].ZooKeeper, all[2].ZooKeeper)
	testcluster.WaitFor(t, "all members", func() bool { return ids(t, leader) == "a b c" })
	testcluster.WaitFor(t, "a last round", func() bool {
		s := leader.Snapshot()
		if s.State.Phase == Stable {
			return true
		}
		return leader.Update(t.Context(), s.Version, stable(s.State.Epoch)) == nil
	})
	for _, f := range all {
		awaitGrant(t, f, leader.Snapshot().State.Epoch)
	}
}
