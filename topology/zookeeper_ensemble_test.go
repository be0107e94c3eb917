package topology

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// trio is a real ensemble of three with three members, of which the first leads, under a State of epoch 1.
type trio struct {
	ensemble *testcluster.Ensemble
	members  []*ZooKeeper
}

func newTrio(t *testing.T, session time.Duration) *trio {
	t.Helper()
	// Servers allow 20 ticks of 200 ms unless told otherwise.
	ensemble, err := testcluster.StartEnsemble(context.Background(), 3, testcluster.ZooKeeperOptions{Config: []string{"maxSessionTimeout=20000"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ensemble.Stop(); err != nil {
			t.Error(err)
		}
	})
	x := &trio{ensemble: ensemble}
	for _, id := range []string{"a", "b", "c"} {
		cfg := memberConfig(t, strings.Join(x.ensemble.Hosts(), ","), id)
		cfg.SessionTimeout = session
		x.members = append(x.members, open(t, cfg))
	}
	leaderOf(t, x.members...)
	update(t, x.members[0], stable(1))
	for _, z := range x.members {
		awaitGrant(t, z, 1)
	}
	return x
}

// server returns the server that z is connected to.
func (x *trio) server(t *testing.T, z *ZooKeeper) *testcluster.ZooKeeper {
	t.Helper()
	at := z.Status().Server
	i := slices.IndexFunc(x.ensemble.Servers, func(s *testcluster.ZooKeeper) bool { return s.Addr == at })
	if i < 0 {
		t.Fatalf("connected to %q", at)
	}
	return x.ensemble.Servers[i]
}

// gaps counts how long members were without a grant, from now until its result is called.
func gaps(t *testing.T, members []*ZooKeeper) (longest func() time.Duration) {
	var mu sync.Mutex
	worst := time.Duration(0)
	since := make([]time.Time, len(members))
	stop := sample(t, func() {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		for i, z := range members {
			switch {
			case permitted(z):
				since[i] = time.Time{}
			case since[i].IsZero():
				since[i] = now
			default:
				worst = max(worst, now.Sub(since[i]))
			}
		}
	})
	return func() time.Duration {
		stop()
		mu.Lock()
		defer mu.Unlock()
		return worst
	}
}

// confirmed waits until all members have leases from after now, and returns how long that took.
func confirmed(t *testing.T, members []*ZooKeeper) time.Duration {
	t.Helper()
	began := time.Now()
	testcluster.WaitFor(t, "new leases of all", func() bool {
		return !slices.ContainsFunc(members, func(z *ZooKeeper) bool { l := z.lease.Load(); return l == nil || l.Sent.Before(began) })
	})
	return time.Since(began)
}

func TestTheEndOfAFollowerOrOfTheLeaderOfZooKeeperStopsNobody(t *testing.T) {
	// A session that is long in comparison to an election of ZooKeeper on a busy machine, which takes some seconds.
	x := newTrio(t, 15*time.Second)
	leads, err := x.ensemble.Leader()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"follower", "leader"} {
		// One that a member is connected to, and best the one of the member who leads.
		candidates := slices.DeleteFunc(slices.Clone(x.ensemble.Servers), func(s *testcluster.ZooKeeper) bool { return (s == leads) != (role == "leader") })
		victim := candidates[0]
		for _, z := range slices.Backward(x.members) {
			if s := x.server(t, z); slices.Contains(candidates, s) {
				victim = s
			}
		}
		longest := gaps(t, x.members)
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		took := confirmed(t, x.members)
		if gap := longest(); gap > 0 {
			t.Errorf("the end of the %s stopped writes for %v", role, gap)
		}
		if !x.members[0].Leading() {
			t.Errorf("the end of the %s cost leadership", role)
		}
		t.Logf("%s killed: all leases renewed after %v", role, took)
		s := x.members[0].Snapshot().State.Clone()
		s.Replicas[0].Priority++
		update(t, x.members[0], s)
		for _, z := range x.members {
			testcluster.WaitFor(t, "the State everywhere", func() bool { return z.Snapshot().State.Equal(s) })
		}
		if err := victim.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAServerThatStopsIsLeftInTime(t *testing.T) {
	x := newTrio(t, 4*time.Second)
	victim := x.server(t, x.members[0])
	leads, err := x.ensemble.Leader()
	if err != nil {
		t.Fatal(err)
	}
	if victim == leads { // which would need an election first, and is another test
		for x.server(t, x.members[0]) == leads {
			since := time.Now()
			x.members[0].session.Load().dialer.drop()
			testcluster.WaitFor(t, "another connection", func() bool { l := x.members[0].lease.Load(); return l != nil && l.Sent.After(since) })
		}
		victim = x.server(t, x.members[0])
	}
	longest := gaps(t, x.members)
	if err := victim.Pause(); err != nil {
		t.Fatal(err)
	}
	took := confirmed(t, x.members)
	if gap := longest(); gap > 0 || !x.members[0].Leading() {
		t.Errorf("a stopped server stopped writes for %v; leading: %t", gap, x.members[0].Leading())
	}
	t.Logf("follower stopped: all leases renewed after %v", took)
	if err := victim.Resume(); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAQuorumAuthorityEndsEverywhereAndComesBackByItself(t *testing.T) {
	t.Parallel()
	x := newTrio(t, testSession)
	began := time.Now()
	for _, s := range x.ensemble.Servers[:2] {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	testcluster.WaitFor(t, "the end of all authority", func() bool {
		return !slices.ContainsFunc(x.members, func(z *ZooKeeper) bool { return permitted(z) || z.Leading() })
	})
	took := time.Since(began)
	t.Logf("quorum lost: all grants ended after %v", took)
	if took > x.members[0].Lease()+time.Second {
		t.Errorf("it took %v, much longer than the lease", took)
	}
	// They keep what they knew, for reads, and nobody can change it.
	for _, z := range x.members {
		if !z.Snapshot().State.Equal(stable(1)) {
			t.Errorf("the State is %+v", z.Snapshot().State)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := x.members[0].Update(ctx, 1, fencing(stable(1))); !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("update without a quorum: %v", err)
	}
	if _, err := x.members[0].Members(ctx); !errors.Is(err, ErrUnreachable) {
		t.Errorf("members without a quorum: %v", err)
	}
	var back sync.WaitGroup
	began = time.Now()
	for _, s := range x.ensemble.Servers[:2] {
		back.Go(func() {
			if err := s.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	back.Wait()
	served := time.Now()
	for _, z := range x.members {
		testcluster.WaitFor(t, "the grant of "+z.cfg.ID, func() bool { return permitted(z) })
	}
	leader, _ := leaderOf(t, x.members...)
	t.Logf("quorum back after %v, all grants %v later", served.Sub(began), time.Since(served))
	// Sessions of before may have to expire first.
	testcluster.WaitFor(t, "all members", func() bool { return ids(t, leader) == "a b c" })
	next := leader.Snapshot().State.Clone()
	next.Epoch++
	update(t, leader, next)
	for _, z := range x.members {
		awaitGrant(t, z, next.Epoch)
	}
}

// What leases rest on: a server that is cut off from the others goes on answering reads, for a while, and that must
// renew nothing.
func TestAServerThatIsCutOffAnswersReadsAndRenewsNoLease(t *testing.T) {
	x := newTrio(t, 4*time.Second)
	leads, err := x.ensemble.Leader()
	if err != nil {
		t.Fatal(err)
	}
	a := x.members[0]
	for x.server(t, a) == leads {
		since := time.Now()
		a.session.Load().dialer.drop()
		testcluster.WaitFor(t, "another connection", func() bool { l := a.lease.Load(); return l != nil && l.Sent.After(since) })
	}
	own := x.server(t, a)
	// A plain client, whose reads do not wait for writes of its own.
	c, root := operator(t, own.Addr)
	if _, _, err := c.Get(root + "/shop/state"); err != nil {
		t.Fatal(err)
	}
	for _, s := range x.ensemble.Servers {
		if s != own {
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := time.Now()
	reads := 0
	for time.Since(cut) < 500*time.Millisecond {
		if _, _, err := c.Get(root + "/shop/state"); err == nil {
			reads++
		}
	}
	if reads == 0 {
		t.Error("the server answered no read, so this proved nothing")
	}
	if l := a.lease.Load(); l != nil && l.Sent.After(cut) {
		t.Errorf("a lease was renewed %v after the server was cut off; %d reads were answered", l.Sent.Sub(cut), reads)
	}
	t.Logf("%d reads were answered by a server that was cut off", reads)
	for _, s := range x.ensemble.Servers {
		if err := s.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	for _, z := range x.members {
		awaitGrant(t, z, 1)
	}
}
