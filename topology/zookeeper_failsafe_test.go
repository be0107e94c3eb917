package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/lease"
	"github.com/understudy/understudy/internal/testcluster"
)

// switchboard carries requests for promises between members of this process, by their address.
type switchboard struct {
	mu      sync.Mutex
	members map[string]*ZooKeeper
	dead    map[string]bool
}

func newSwitchboard() *switchboard {
	return &switchboard{members: make(map[string]*ZooKeeper), dead: make(map[string]bool)}
}

// Promise implements Promisers.
func (b *switchboard) Promise(_ context.Context, e Elector, r PromiseRequest) error {
	b.mu.Lock()
	z, dead := b.members[e.Addr], b.dead[e.Addr]
	b.mu.Unlock()
	if z == nil || dead {
		return errors.New("connection refused")
	}
	if err := z.Promise(r); err != nil {
		return Refusal(err.Error())
	}
	return nil
}

// open joins a cluster; see open.
func (b *switchboard) open(t *testing.T, cfg ZooKeeperConfig) *ZooKeeper {
	t.Helper()
	cfg.Promisers = b
	z := open(t, cfg)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members[cfg.Addr] = z
	return z
}

func (b *switchboard) kill(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead[addr] = true
}

// electing returns a stable State of that epoch whose electors are these members.
func electing(epoch uint64, members ...*ZooKeeper) *State {
	s := stable(epoch)
	for _, z := range members {
		s.Electors = append(s.Electors, z.ledger.self)
	}
	slices.SortFunc(s.Electors, func(a, b Elector) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// awaitSource waits until the grants of these members rest on that.
func awaitSource(t *testing.T, source Source, members ...*ZooKeeper) {
	t.Helper()
	for _, z := range members {
		testcluster.WaitFor(t, z.cfg.ID+"'s grant to be of "+string(source), func() bool { return z.Authority().Source == source })
	}
}

func TestWithoutZooKeeperMembersWriteAndNobodyLeads(t *testing.T) {
	t.Parallel()
	through, ways := wire(t, sharedZooKeeper(t))
	board := newSwitchboard()
	var members []*ZooKeeper
	for _, id := range []string{"a", "b", "c"} {
		members = append(members, board.open(t, memberConfig(t, through, id)))
	}
	a := members[0]
	update(t, a, electing(1, members...))
	awaitSource(t, Leased, members...)
	ways.cut()
	cut := time.Now()
	var gap, leader moment
	var healing atomic.Bool
	stop := sample(t, func() {
		for _, z := range members {
			// Who is back promises nothing more to those that are about to be; these may have to wait for a moment.
			if !permitted(z) && !healing.Load() {
				gap.mark()
			}
			if z.Leading() && z.Authority().Source == Promised {
				leader.mark()
			}
		}
	})
	awaitSource(t, Promised, members...)
	testcluster.WaitFor(t, "three leases to pass", func() bool { return time.Since(cut) > 3*a.Lease() })
	if err := a.Update(t.Context(), a.Snapshot().Version, electing(2, members...)); !errors.Is(err, ErrNotLeader) {
		t.Errorf("one that has promised not to lead replaces the State: %v", err)
	}
	healed := time.Now()
	healing.Store(true)
	ways.heal()
	awaitSource(t, Leased, members...)
	if z, _ := leaderOf(t, members...); time.Since(healed) > 5*a.Lease() {
		t.Errorf("%s leads after %v", z.cfg.ID, time.Since(healed))
	}
	stop()
	if gap.seen() {
		t.Errorf("somebody could not write, %v after the cut", gap.time().Sub(cut))
	}
	if leader.seen() {
		t.Errorf("somebody led on, %v after the cut", leader.time().Sub(cut))
	}
}

func TestWhoIsCutOffAloneGetsNoPromise(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	board := newSwitchboard()
	a := board.open(t, memberConfig(t, servers, "a"))
	b := board.open(t, memberConfig(t, through, "b"))
	update(t, a, electing(1, a, b))
	awaitSource(t, Leased, a, b)
	var told []Source
	var mu sync.Mutex
	stop := b.WatchAuthority(func(is Authority) { mu.Lock(); told = append(told, is.Source); mu.Unlock() })
	defer stop()
	ways.cut()
	cut := time.Now()
	awaitSource(t, NoGrant, b)
	if took := time.Since(cut); took > b.Lease()+100*time.Millisecond {
		t.Errorf("it writes for %v", took)
	}
	testcluster.WaitFor(t, "the reason", func() bool {
		return strings.Contains(b.Authority().Reason, "a did not promise: this member is in contact")
	})
	if !a.Leading() {
		t.Error("the one in contact cannot lead")
	}
	testcluster.WaitFor(t, "being told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.HasSuffix(fmt.Sprint(told), "lease none]")
	})
	ways.heal()
	awaitSource(t, Leased, b)
}

func TestWithoutTheFailsafeWritesEndWithTheLease(t *testing.T) {
	t.Parallel()
	through, ways := wire(t, sharedZooKeeper(t))
	a := open(t, memberConfig(t, through, "a"))
	update(t, a, electing(1, a))
	awaitSource(t, Leased, a)
	ways.cut()
	awaitSource(t, NoGrant, a)
	testcluster.WaitFor(t, "the lease to be long over", func() bool { return lease.Age(time.Now(), a.ledger.touched()) > 2*a.Lease() })
	if st := a.Authority(); st.Source != NoGrant || st.Reason != "it is switched off" {
		t.Errorf("%+v", st)
	}
}

func TestTheDeathOfAnElectorEndsTheWritesOfTheOthersWithItsPromise(t *testing.T) {
	t.Parallel()
	through, ways := wire(t, sharedZooKeeper(t))
	board := newSwitchboard()
	a := board.open(t, memberConfig(t, through, "a"))
	b := board.open(t, memberConfig(t, through, "b"))
	update(t, a, electing(1, a, b))
	awaitSource(t, Leased, a, b)
	ways.cut()
	awaitSource(t, Promised, a, b)
	board.kill(b.cfg.Addr)
	killed := time.Now()
	awaitSource(t, NoGrant, a)
	if took := time.Since(killed); took > a.Lease() {
		t.Errorf("it writes for %v", took)
	}
	ways.heal()
	awaitSource(t, Leased, a)
}

func TestAMemberThatCannotBeAskedSaysSo(t *testing.T) {
	t.Parallel()
	for addr, reachable := range map[string]bool{
		"10.0.0.1:6380": true, "web-1:6380": true, "127.0.0.1:6380": true, "[fd00::1]:6380": true,
		":6380": false, "0.0.0.0:6380": false, "[::]:6380": false, "web-1:0": false, "/run/understudy.sock": false, "": false,
	} {
		z := &ZooKeeper{cfg: ZooKeeperConfig{Addr: addr}}
		if got := z.isReachable(); got != reachable {
			t.Errorf("%q can be reached by others: %v", addr, got)
		}
	}
	cfg := memberConfig(t, sharedZooKeeper(t), "a")
	cfg.Addr = ":6380"
	a := newSwitchboard().open(t, cfg)
	update(t, a, stable(1))
	testcluster.WaitFor(t, "the reason", func() bool {
		return a.Authority().Reason == "this member has no address by which others reach it"
	})
	if list, err := a.Members(t.Context()); err != nil || list[0].Limit != 0 {
		t.Errorf("%+v (%v)", list, err)
	}
}

func TestOnlyWhoKnowsTheIdentityIsAnswered(t *testing.T) {
	t.Parallel()
	a := open(t, memberConfig(t, sharedZooKeeper(t), "a"))
	for _, identity := range []string{"", "guess", a.Identity() + "x", strings.Repeat("0", len(a.Identity()))} {
		if err := a.Promise(PromiseRequest{Identity: identity}); !errors.Is(err, ErrStranger) {
			t.Errorf("%q is told: %v", identity, err)
		}
	}
	if err := a.Promise(PromiseRequest{Identity: a.Identity()}); err == nil || errors.Is(err, ErrStranger) {
		t.Errorf("a member is told: %v", err)
	}
}

func TestAnElectorThatCannotBeAskedIsFoundOutBeforeItIsNeeded(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	board := newSwitchboard()
	a := board.open(t, memberConfig(t, servers, "a"))
	b := board.open(t, memberConfig(t, servers, "b"))
	c := board.open(t, memberConfig(t, servers, "c"))
	update(t, a, electing(1, a, b))
	testcluster.WaitFor(t, "all to know", func() bool { return b.Snapshot().Version == 1 && c.Snapshot().Version == 1 })
	var d drill
	now := time.Now()
	if d.due(a, now) || !d.due(a, now.Add(drillRetry)) {
		t.Error("it does not begin a moment after the electors have changed")
	}
	d.run(t.Context(), a)
	if d.problem != "" || d.due(a, time.Now().Add(drillInterval-time.Second)) || !d.due(a, time.Now().Add(drillInterval)) {
		t.Errorf("all can be asked: %q; the next drill is in %v", d.problem, time.Until(d.next))
	}
	if !b.ledger.free(time.Now(), true) {
		t.Error("a drill was taken for a request")
	}
	board.kill(b.cfg.Addr)
	for _, want := range []string{"", "b would not promise: connection refused", "b would not promise: connection refused"} {
		if d.run(t.Context(), a); d.problem != want {
			t.Errorf("it says %q, not %q", d.problem, want)
		}
	}
	if d.due(a, time.Now().Add(drillRetry-time.Second)) || !d.due(a, time.Now().Add(drillRetry)) {
		t.Errorf("the next drill is in %v", time.Until(d.next))
	}
	board.mu.Lock()
	clear(board.dead)
	board.mu.Unlock()
	if d.run(t.Context(), a); d.problem != "" {
		t.Errorf("it is back, and it says %q", d.problem)
	}
	var other drill
	if later := now.Add(time.Hour); other.due(c, now) || other.due(c, later) {
		t.Error("one that is no elector holds drills")
	}
}
