package topology

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestMembersAgreeOnOneStateAndOneLeader(t *testing.T) {
	servers := sharedZooKeeper(t)
	var members []*ZooKeeper
	for _, id := range []string{"a", "b", "c"} {
		members = append(members, open(t, memberConfig(t, servers, id)))
	}
	leader, first := leaderOf(t, members...)
	if first != 0 {
		t.Errorf("member %d leads, and the first to come was 0", first)
	}
	update(t, leader, example())
	for i, z := range members {
		awaitGrant(t, z, 3)
		if s := z.Snapshot(); s.Version != leader.Snapshot().Version || !s.State.Equal(example()) {
			t.Errorf("member %d knows %+v", i, s)
		}
		if got := ids(t, z); got != "a b c" {
			t.Errorf("member %d lists %q", i, got)
		}
		if z.Identity() != leader.Identity() || len(z.Identity()) != 32 {
			t.Errorf("member %d has identity %q", i, z.Identity())
		}
		if i > 0 {
			if err := z.Update(t.Context(), z.Snapshot().Version, fencing(example())); !errors.Is(err, ErrNotLeader) {
				t.Errorf("update by member %d: %v", i, err)
			}
		}
	}
}

func TestAFenceIsAcknowledgedByAllWithoutPolling(t *testing.T) {
	servers := sharedZooKeeper(t)
	var members []*ZooKeeper
	for _, id := range []string{"a", "b", "c"} {
		cfg := memberConfig(t, servers, id)
		cfg.Heartbeat = testSession / 5 // so that nothing here can be the work of a heartbeat
		members = append(members, open(t, cfg))
	}
	leader, _ := leaderOf(t, members...)
	update(t, leader, stable(1))
	for _, z := range members {
		awaitGrant(t, z, 1)
		// As a proxy with nothing in flight.
		defer z.Watch(func(s Snapshot) {
			if s.State.Phase == Fencing {
				if err := z.Acknowledge(t.Context(), s.State.Epoch); err != nil && t.Context().Err() == nil {
					t.Errorf("acknowledge: %v", err)
				}
			}
		})()
	}
	const rounds = 20
	var fences, resumes []time.Duration
	for round := range uint64(rounds) {
		epoch := 2 + round
		s := fencing(stable(epoch - 1))
		began := time.Now()
		update(t, leader, s)
		for acknowledged := 0; acknowledged < len(members); {
			list, err := leader.Members(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = 0
			for _, m := range list {
				if m.Fenced >= epoch {
					acknowledged++
				}
			}
			if acknowledged == len(members) {
				break
			}
			select {
			case <-leader.MembersChanged():
			case <-time.After(10 * time.Second):
				t.Fatalf("%d of %d acknowledgements were heard of", acknowledged, len(members))
			}
		}
		fences = append(fences, time.Since(began))
		began = time.Now()
		update(t, leader, stable(epoch))
		for _, z := range members {
			testcluster.WaitFor(t, "the new grant", func() bool { return z.Grant().Permits(epoch, time.Now()) })
		}
		resumes = append(resumes, time.Since(began))
	}
	slices.Sort(fences)
	slices.Sort(resumes)
	if fences[rounds/2] > members[0].cfg.Heartbeat/2 || resumes[rounds/2] > members[0].cfg.Heartbeat/2 {
		t.Error("members learn of a new State by their heartbeats")
	}
	t.Logf("fence with three acknowledgements: median %v, longest %v; stable until all have grants: median %v, longest %v",
		fences[rounds/2], fences[rounds-1], resumes[rounds/2], resumes[rounds-1])
}

func TestAnotherMemberLeadsAtOnceWhenTheLeaderCloses(t *testing.T) {
	servers := sharedZooKeeper(t)
	a, b, c := open(t, memberConfig(t, servers, "a")), open(t, memberConfig(t, servers, "b")), open(t, memberConfig(t, servers, "c"))
	leaderOf(t, a, b, c)
	update(t, a, example())
	if got := ids(t, b); got != "a b c" { // what it reads before it leads is not watched
		t.Errorf("members %q", got)
	}
	began := time.Now()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if next, _ := leaderOf(t, b, c); next != b {
		t.Error("the second to come does not lead")
	}
	took := time.Since(began)
	t.Logf("closed and another leads after %v", took)
	if took > testSession/2 {
		t.Errorf("it took %v, as if the session had expired", took)
	}
	awaitGrant(t, b, 3)
	update(t, b, fencing(b.Snapshot().State))
	if got := ids(t, b); got != "b c" {
		t.Errorf("members %q", got)
	}
	if err := c.Acknowledge(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if members, err := b.Members(t.Context()); err != nil || len(members) != 2 || members[1].Fenced != 4 {
		t.Errorf("members %+v (%v)", members, err)
	}
	list, err := b.Registered(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "b" || list[0].Promise != testSession || list[1].ID != "c" {
		t.Errorf("registered: %+v (%v)", list, err)
	}
}

// The member's authority must have ended before anybody can act on its absence, however it lost its connection.
func TestAnUpdateWhoseAnswerIsLostIsLookedUp(t *testing.T) {
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	a := open(t, memberConfig(t, through, "a"))
	c, root := operator(t, servers)
	update(t, a, stable(1))
	ways.each(func(r *testcluster.Relay) { r.Blackhole(testcluster.Downward) })
	done := make(chan error, 1)
	go func() { done <- a.Update(context.Background(), a.Snapshot().Version, fencing(stable(1))) }()
	testcluster.WaitFor(t, "the write", func() bool {
		_, stat, err := c.Get(root + "/shop/state")
		return err == nil && stat.Version == 2
	})
	select {
	case err := <-done:
		t.Fatalf("the answer cannot be known yet: %v", err)
	default:
	}
	ways.heal()
	if err := <-done; err != nil {
		t.Fatalf("the update was carried out, and said: %v", err)
	}
	if _, stat, err := c.Get(root + "/shop/state"); err != nil || stat.Version != 2 {
		t.Errorf("it was carried out twice: version %d (%v)", stat.Version, err)
	}
	if s := a.Snapshot(); s.Version != 2 || !s.State.Equal(fencing(stable(1))) {
		t.Errorf("snapshot %+v", s)
	}
}

func TestCloseIsQuickAndLeavesNothingBehind(t *testing.T) {
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	update(t, a, stable(1))
	began := time.Now()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	c, root := operator(t, servers)
	for _, folder := range []string{"members", "election", "registry"} {
		if names, _, err := c.Children(root + "/shop/" + folder); err != nil || len(names) > 0 {
			t.Errorf("%s holds %v (%v)", folder, names, err)
		}
	}
}

func TestCloseIsQuickWithoutAConnection(t *testing.T) {
	for name, fault := range map[string]func(wires){"reset": wires.cut, "silent": wires.freeze} {
		t.Run(name, func(t *testing.T) {
			through, ways := wire(t, sharedZooKeeper(t))
			a := open(t, memberConfig(t, through, "a"))
			fault(ways)
			began := time.Now()
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			t.Logf("closed in %v", took)
			if took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAStateThatWasMissedIsNoticedByTheNextHeartbeat(t *testing.T) {
	cfg := memberConfig(t, sharedZooKeeper(t), "a")
	cfg.SessionTimeout = 4 * time.Second // and so much later by the timer
	a := open(t, cfg)
	update(t, a, stable(1))
	missed := a.Snapshot()
	update(t, a, stable(2))
	awaitGrant(t, a, 2)
	// As if the watch had never fired.
	a.mu.Lock()
	a.current.Store(&missed)
	a.lease.Store(nil)
	a.mu.Unlock()
	began := time.Now()
	var old moment
	stop := sample(t, func() {
		if a.Grant().Permits(1, time.Now()) {
			old.mark()
		}
	})
	awaitGrant(t, a, 2)
	stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if old.seen() {
		t.Error("a State that had been replaced was confirmed")
	}
}

// What happens when the answer to a create is lost: the session finds what it has already.
// A znode that is made anew has versions that were there before, with another content.
