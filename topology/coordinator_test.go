package topology

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// What every Coordinator must do, whatever it is built on.
func TestEveryCoordinatorKeepsTheContract(t *testing.T) {
	kinds := map[string]func(t *testing.T) Coordinator{
		"local in memory": func(t *testing.T) Coordinator { return openLocal(t, "") },
		"local in a file": func(t *testing.T) Coordinator { return openLocal(t, filepath.Join(t.TempDir(), "state.json")) },
		"ZooKeeper": func(t *testing.T) Coordinator {
			return open(t, memberConfig(t, sharedZooKeeper(t), "a"))
		},
	}
	rules := map[string]func(t *testing.T, c Coordinator){
		"begins without a State, without a grant, leading":            beginsWithNothing,
		"replaces a State only in the version that was read":          replacesTheVersionRead,
		"refuses a State that makes no sense":                         refusesNonsense,
		"does not share the State that was handed in":                 sharesNothing,
		"grants the stable epoch only":                                grantsTheStableEpoch,
		"tells watchers of every change, in order, who may call back": tellsWatchers,
		"shows what members acknowledged and published":               showsMembers,
		"lets one of many writers win each version":                   letsOneWin,
		"ends everything with Close":                                  endsWithClose,
	}
	for kind, make := range kinds {
		for rule, holds := range rules {
			t.Run(kind+" "+rule, func(t *testing.T) { holds(t, make(t)) })
		}
	}
}

func beginsWithNothing(t *testing.T, c Coordinator) {
	if s := c.Snapshot(); s.State != nil || s.Version != 0 {
		t.Errorf("the first snapshot is %+v", s)
	}
	if g := c.Grant(); g != (Grant{}) {
		t.Errorf("a grant without a State: %+v", g)
	}
	if !c.Leading() {
		t.Error("the only member does not lead")
	}
	defer c.Watch(func(Snapshot) { t.Error("a call without a State") })()
}

func replacesTheVersionRead(t *testing.T, c Coordinator) {
	ctx := t.Context()
	if err := c.Update(ctx, 7, example()); !errors.Is(err, ErrStale) {
		t.Errorf("update of a version that never was: %v", err)
	}
	update(t, c, example())
	first := c.Snapshot()
	if first.Version == 0 || !first.State.Equal(example()) {
		t.Fatalf("snapshot %+v after the first update", first)
	}
	if err := c.Update(ctx, 0, example()); !errors.Is(err, ErrStale) {
		t.Errorf("creating over an existing State: %v", err)
	}
	update(t, c, fencing(example()))
	if err := c.Update(ctx, first.Version, fencing(example())); !errors.Is(err, ErrStale) {
		t.Errorf("update of a version that was replaced: %v", err)
	}
	if s := c.Snapshot(); s.Version <= first.Version || !s.State.Equal(fencing(example())) {
		t.Errorf("snapshot %+v", s)
	}
}

func refusesNonsense(t *testing.T, c Coordinator) {
	update(t, c, example())
	older, foreign, unsorted := example(), example(), example()
	older.Epoch = 2
	foreign.Cluster = "bank"
	unsorted.Unavailable = []Node{{Addr: "b:1"}, {Addr: "a:1"}}
	before := c.Snapshot()
	for _, s := range []*State{older, foreign, unsorted} {
		if err := c.Update(t.Context(), before.Version, s); err == nil || errors.Is(err, ErrStale) || errors.Is(err, ErrNotLeader) {
			t.Errorf("%+v: %v", s, err)
		}
		if c.Snapshot() != before {
			t.Error("a refused update changed the snapshot")
		}
	}
}

func sharesNothing(t *testing.T, c Coordinator) {
	s := example()
	update(t, c, s)
	s.Replicas[0].Health = Lagging
	if c.Snapshot().State.Replicas[0].Health != Online {
		t.Error("the caller's copy is the coordinator's")
	}
}

func grantsTheStableEpoch(t *testing.T, c Coordinator) {
	update(t, c, example())
	awaitGrant(t, c, 3)
	now := time.Now()
	if g := c.Grant(); g.Permits(2, now) || g.Permits(4, now) {
		t.Errorf("grant %+v permits another epoch", g)
	}
	update(t, c, fencing(example()))
	// Also when the coordinator has confirmed that epoch.
	if err := c.Acknowledge(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if g := c.Grant(); g != (Grant{}) {
		t.Errorf("grant %+v while fencing", g)
	}
	done := example()
	done.Epoch = 4
	update(t, c, done)
	awaitGrant(t, c, 4)
	// A change of replicas is no change of master: writes go on.
	changed := done.Clone()
	changed.Replicas[0].Health = Lagging
	update(t, c, changed)
	if !permitted(c) {
		t.Error("no grant right after the health of a replica changed")
	}
}

func tellsWatchers(t *testing.T, c Coordinator) {
	var mu sync.Mutex
	var first, second []uint64
	stop := c.Watch(func(s Snapshot) {
		mu.Lock()
		first = append(first, s.State.Epoch)
		mu.Unlock()
		if s.State.Epoch != 3 {
			return
		}
		// As the proxy does when it has nothing in flight to drain.
		if err := c.Update(context.Background(), s.Version, fencing(s.State)); err != nil {
			t.Errorf("update from a call: %v", err)
		}
		if err := c.Acknowledge(context.Background(), 4); err != nil {
			t.Errorf("acknowledge from a call: %v", err)
		}
	})
	seen := func(list *[]uint64) []uint64 {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(*list)
	}
	update(t, c, example())
	testcluster.WaitFor(t, "both calls", func() bool { return len(seen(&first)) == 2 })
	defer c.Watch(func(s Snapshot) {
		mu.Lock()
		defer mu.Unlock()
		second = append(second, s.State.Epoch)
	})()
	stop()
	update(t, c, fencing(c.Snapshot().State))
	testcluster.WaitFor(t, "the second watcher's calls", func() bool { return len(seen(&second)) == 2 })
	if got := seen(&first); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("the first saw %v", got)
	}
	if got := seen(&second); !slices.Equal(got, []uint64{4, 5}) {
		t.Errorf("the second saw %v", got)
	}
}

func showsMembers(t *testing.T, c Coordinator) {
	ctx := t.Context()
	update(t, c, example())
	for _, epoch := range []uint64{4, 3} {
		if err := c.Acknowledge(ctx, epoch); err != nil {
			t.Fatal(err)
		}
	}
	// Taken before the change that must be told.
	if _, err := c.Members(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.MembersChanged():
	default:
	}
	if err := c.Publish(ctx, []NodeView{{Addr: "x:1", Down: true}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.MembersChanged():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody told that a member changed")
	}
	members, err := c.Members(ctx)
	if err != nil || len(members) != 1 {
		t.Fatalf("members %v (%v)", members, err)
	}
	m := members[0]
	if m.ID != "a" || m.Applied != 3 || m.Fenced != 4 || len(m.View) != 1 || !m.View[0].Down || m.Lease != c.Lease() {
		t.Fatalf("member %+v", m)
	}
	members[0].View[0].Down = false
	if again, err := c.Members(ctx); err != nil || !again[0].View[0].Down {
		t.Error("the caller's list is the coordinator's")
	}
}

func letsOneWin(t *testing.T, c Coordinator) {
	update(t, c, example())
	version := c.Snapshot().Version
	var wins, stale sync.Map
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			next := example()
			next.Replicas[0].Priority = i
			switch err := c.Update(t.Context(), version, next); {
			case err == nil:
				wins.Store(i, true)
			case errors.Is(err, ErrStale):
				stale.Store(i, true)
			default:
				t.Errorf("update: %v", err)
			}
		})
	}
	all.Wait()
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	if count(&wins) != 1 || count(&stale) != 15 {
		t.Errorf("%d won and %d were stale", count(&wins), count(&stale))
	}
	if _, won := wins.Load(c.Snapshot().State.Replicas[0].Priority); !won {
		t.Error("the State is not the winner's")
	}
}

func endsWithClose(t *testing.T, c Coordinator) {
	ctx := t.Context()
	update(t, c, example())
	awaitGrant(t, c, 3)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c.Grant() != (Grant{}) || c.Leading() {
		t.Error("a closed coordinator grants or leads")
	}
	_, membersErr := c.Members(ctx)
	for what, err := range map[string]error{
		"update":      c.Update(ctx, c.Snapshot().Version, fencing(example())),
		"acknowledge": c.Acknowledge(ctx, 4),
		"publish":     c.Publish(ctx, nil),
		"members":     membersErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}
