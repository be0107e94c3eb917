package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
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
	if err != nil || len(list) != 2 || list[0].ID != "b" || list[0].Lease != b.Lease() || list[1].ID != "c" {
		t.Errorf("registered: %+v (%v)", list, err)
	}
}

// The member's authority must have ended before anybody can act on its absence, however it lost its connection.
func TestAMemberThatIsCutOffLosesGrantAndLeadershipBeforeOthersCanTakeOver(t *testing.T) {
	for name, fault := range map[string]func(wires){"reset": wires.cut, "silent": wires.freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := sharedZooKeeper(t)
			through, ways := wire(t, servers)
			a := open(t, memberConfig(t, through, "a"))
			b := open(t, memberConfig(t, servers, "b"))
			leaderOf(t, a, b)
			update(t, a, stable(1))
			awaitGrant(t, a, 1)
			awaitGrant(t, b, 1)

			var grantEnded, leadEnded, absent, succeeded moment
			var lastUntil atomic.Int64
			sample(t, func() {
				if g := a.Grant(); g == (Grant{}) {
					grantEnded.mark()
				} else {
					lastUntil.Store(g.Until.UnixNano())
				}
				if !a.Leading() {
					leadEnded.mark()
				}
			})
			sample(t, func() {
				if b.Leading() {
					succeeded.mark()
				}
			})
			sample(t, func() {
				// Looked up by b, that is from the side that did not break.
				if list, err := b.Members(t.Context()); err == nil && !slices.ContainsFunc(list, func(m Member) bool { return m.ID == "a" }) {
					absent.mark()
				}
			})
			fault(ways)
			began := time.Now()
			testcluster.WaitFor(t, "the successor", func() bool { return succeeded.seen() && absent.seen() })
			if !grantEnded.seen() || !leadEnded.seen() {
				t.Fatalf("a still has authority %v after b leads", time.Since(began))
			}
			t.Logf("after the fault: grant ended %v, leadership ended %v, absent %v, succeeded %v", grantEnded.time().Sub(began),
				leadEnded.time().Sub(began), absent.time().Sub(began), succeeded.time().Sub(began))
			for what, other := range map[string]*moment{"it was missed": &absent, "another led": &succeeded} {
				if !grantEnded.time().Before(other.time()) || !leadEnded.time().Before(other.time()) {
					t.Errorf("a had authority when %s", what)
				}
			}
			// Looked at from within: the sampler may come late.
			if until := time.Unix(0, lastUntil.Load()); until.Sub(began.Round(0)) > a.Lease() {
				t.Errorf("the grant was to last for %v, longer than the lease of %v", until.Sub(began.Round(0)), a.Lease())
			}
			if elapsed := grantEnded.time().Sub(began); elapsed < a.Lease()-2*a.cfg.Heartbeat-300*time.Millisecond {
				t.Errorf("the grant lasted only %v of a lease of %v: being disconnected is no loss of authority", elapsed, a.Lease())
			}
		})
	}
}

func TestAMemberThatWasAwayActsOnNothingThatItKnew(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	a := open(t, memberConfig(t, through, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	leaderOf(t, a, b)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	session := a.Status().Session
	ways.freeze()
	testcluster.WaitFor(t, "the successor", b.Leading)
	update(t, b, fencing(stable(1)))
	update(t, b, stable(2))

	// What a asks for now must not be carried out when it is back: it led in a session that is over.
	asked := make(chan error, 1)
	go func() { asked <- a.Update(context.Background(), a.Snapshot().Version, fencing(a.Snapshot().State)) }()
	var old moment
	stop := sample(t, func() {
		if a.Grant().Permits(1, time.Now()) || a.Leading() {
			old.mark()
		}
	})
	ways.heal()
	awaitGrant(t, a, 2)
	stop()
	if old.seen() {
		t.Error("it had authority of the session that was over")
	}
	if err := <-asked; err == nil {
		t.Error("its update was carried out")
	}
	if s := b.Snapshot(); !s.State.Equal(stable(2)) || !a.Snapshot().State.Equal(stable(2)) {
		t.Errorf("the State is %+v", s.State)
	}
	if a.Status().Session == session {
		t.Fatal("the session did not expire, so this proved nothing")
	}
	if got := ids(t, b); got != "a b" {
		t.Errorf("members %q", got)
	}
	if !b.Leading() || a.Leading() {
		t.Error("the one that came back took leadership away")
	}
}

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

func TestAMemberWhoseZnodesAreDeletedLosesItsAuthorityAndJoinsAnew(t *testing.T) {
	for _, victim := range []string{"members/a", "election"} {
		t.Run(victim[:7], func(t *testing.T) {
			servers := sharedZooKeeper(t)
			a := open(t, memberConfig(t, servers, "a"))
			update(t, a, stable(1))
			awaitGrant(t, a, 1)
			session := a.Status().Session
			c, root := operator(t, servers)
			path := root + "/shop/" + victim
			if victim == "election" {
				names, _, err := c.Children(path)
				if err != nil || len(names) != 1 {
					t.Fatal(names, err)
				}
				path += "/" + names[0]
			}
			if err := c.Delete(path, -1); err != nil {
				t.Fatal(err)
			}
			testcluster.WaitFor(t, "another session", func() bool { s := a.Status(); return s.Session != "" && s.Session != session })
			awaitGrant(t, a, 1)
			testcluster.WaitFor(t, "leadership", a.Leading)
			if got := ids(t, a); got != "a" {
				t.Errorf("members %q", got)
			}
		})
	}
}

func TestAStateThatMustNotBeActedOnEndsAllAuthority(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"newer": `{"format": 99}`, "damaged": `{"format`, "emptied": "", "foreign": `{"format":1,"cluster":"bank","epoch":9,"phase":"stable","master":{"addr":"x:1"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			servers := sharedZooKeeper(t)
			a := open(t, memberConfig(t, servers, "a"))
			update(t, a, stable(1))
			awaitGrant(t, a, 1)
			c, root := operator(t, servers)
			path := root + "/shop/state"
			good, _, err := c.Get(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Set(path, []byte(content), -1); err != nil {
				t.Fatal(err)
			}
			testcluster.WaitFor(t, "the end of its authority", func() bool { return a.Grant() == (Grant{}) && !a.Leading() })
			// It makes room for a member that understands it.
			testcluster.WaitFor(t, "the end of its candidacy", func() bool {
				names, _, err := c.Children(root + "/shop/election")
				return err == nil && len(names) == 0
			})
			if found, _, err := c.Get(path); err != nil || string(found) != content {
				t.Fatalf("it was not left as it was: %q (%v)", found, err)
			}
			if _, err := c.Set(path, good, -1); err != nil {
				t.Fatal(err)
			}
			awaitGrant(t, a, 1)
		})
	}
}

func TestASecondProcessWithTheSameIDWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	first := open(t, memberConfig(t, through, "a"))
	update(t, first, stable(1))
	awaitGrant(t, first, 1)
	second := open(t, memberConfig(t, servers, "a"))
	if !second.Snapshot().State.Equal(stable(1)) {
		t.Error("it does not know the State, so it cannot serve reads")
	}
	var both, overlap moment
	sample(t, func() {
		// In this order: the first one's can only end.
		if has := second.Grant() != (Grant{}) || second.Leading(); has && (first.Grant() != (Grant{}) || first.Leading()) {
			overlap.mark()
		} else if has {
			both.mark()
		}
	})
	ways.freeze() // as a predecessor that was killed, or stopped
	awaitGrant(t, second, 1)
	testcluster.WaitFor(t, "leadership", second.Leading)
	if overlap.seen() {
		t.Error("both had authority under one id at one moment")
	}
}

func TestTheRegistryForgetsThoseWhoAreGoneForLong(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	cfg := memberConfig(t, servers, "a")
	cfg.ForgetAfter = testSession
	a := open(t, cfg)
	b := open(t, memberConfig(t, through, "b"))
	registered := func() string {
		list, err := a.Registered(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range list {
			names = append(names, fmt.Sprintf("%s %s %v", r.ID, r.Addr, r.Lease))
		}
		return strings.Join(names, ", ")
	}
	want := fmt.Sprintf("a 127.0.0.1:1a %v, b 127.0.0.1:1b %v", a.Lease(), b.Lease())
	if got := registered(); got != want {
		t.Fatalf("registered: %q, want %q", got, want)
	}
	ways.cut()
	testcluster.WaitFor(t, "its absence", func() bool { return ids(t, a) == "a" })
	if got := registered(); got != want {
		t.Errorf("as soon as it is absent, registered is %q", got)
	}
	testcluster.WaitFor(t, "being forgotten", func() bool { return !strings.Contains(registered(), "b ") })
	ways.heal()
	testcluster.WaitFor(t, "being registered again", func() bool { return registered() == want })
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

func TestMembersAreWatchedByTheLeaderOnly(t *testing.T) {
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	c, root := operator(t, servers)
	// Heartbeats alone change nothing that is watched.
	_, before, err := c.Get(root + "/shop/members/b")
	if err != nil {
		t.Fatal(err)
	}
	drain := func(z *ZooKeeper) {
		if _, err := z.Members(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-z.MembersChanged():
		default:
		}
	}
	drain(a)
	drain(b)
	sent := b.lease.Load().sent
	testcluster.WaitFor(t, "five heartbeats", func() bool { return b.lease.Load().sent.Sub(sent) > 5*b.cfg.Heartbeat })
	if _, after, err := c.Get(root + "/shop/members/b"); err != nil || after.Version != before.Version {
		t.Errorf("heartbeats rewrote the znode: version %d after %d (%v)", after.Version, before.Version, err)
	}
	select {
	case <-a.MembersChanged():
		t.Error("the leader was woken for nothing")
	default:
	}
	if err := a.Publish(t.Context(), []NodeView{{Addr: "x:1"}}); err != nil {
		t.Fatal(err)
	}
	<-a.MembersChanged()
	select {
	case <-b.MembersChanged():
		t.Error("a member that does not lead watches the others")
	default:
	}
	// A member that leaves is told of, too.
	drain(a)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	<-a.MembersChanged()
	if got := ids(t, a); got != "a" {
		t.Errorf("members %q", got)
	}
}

func TestAnUpdateIsRefusedOnceTheCandidacyIsGone(t *testing.T) {
	servers := sharedZooKeeper(t)
	cfg := memberConfig(t, servers, "a")
	cfg.SessionTimeout, cfg.Heartbeat = 4*time.Second, 800*time.Millisecond // no heartbeat notices it first
	a := open(t, cfg)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	c, root := operator(t, servers)
	since := time.Now()
	testcluster.WaitFor(t, "a heartbeat", func() bool { return a.lease.Load().sent.After(since) })
	if err := c.Delete(*a.session.Load().candidate.Load(), -1); err != nil {
		t.Fatal(err)
	}
	if err := a.Update(t.Context(), a.Snapshot().Version, fencing(stable(1))); !errors.Is(err, ErrNotLeader) {
		t.Errorf("update without candidacy: %v", err)
	}
	if a.Leading() || permitted(a) {
		t.Error("it has authority after it was told that it does not lead")
	}
	if _, stat, err := c.Get(root + "/shop/state"); err != nil || stat.Version != 1 {
		t.Errorf("the State has version %d (%v)", stat.Version, err)
	}
	testcluster.WaitFor(t, "leadership, anew", a.Leading)
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
func TestWhatASessionHasCreatedIsFoundAgain(t *testing.T) {
	servers := sharedZooKeeper(t)
	a, b := open(t, memberConfig(t, servers, "a")), open(t, memberConfig(t, servers, "b"))
	for _, z := range []*ZooKeeper{a, b} {
		s := z.session.Load()
		testcluster.WaitFor(t, "its candidate", func() bool { return s.candidate.Load() != nil })
		if found, err := s.findOwn(t.Context()); err != nil || found != *s.candidate.Load() {
			t.Errorf("candidate %q (%v), and it is %q", found, err, *s.candidate.Load())
		}
		if err := s.register(t.Context()); err != nil {
			t.Errorf("registering again: %v", err)
		}
	}
	if err := b.Acknowledge(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	list, err := a.Members(t.Context())
	if err != nil || len(list) != 2 || list[1].Fenced != 5 {
		t.Errorf("members %+v (%v)", list, err)
	}
}

// A znode that is made anew has versions that were there before, with another content.
func TestAStateThatWasMadeAnewIsNotTakenForTheOldOne(t *testing.T) {
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	c, root := operator(t, servers)
	path := root + "/shop/state"
	other, err := Encode(stable(9))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Multi(&zk.DeleteRequest{Path: path, Version: -1}, &zk.CreateRequest{Path: path, Acl: zk.WorldACL(zk.PermAll)},
		&zk.SetDataRequest{Path: path, Data: other, Version: 0})
	if err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "the refusal", func() bool {
		p := a.Status().Problem
		return p != nil && strings.Contains(p.Error(), "made anew")
	})
	if permitted(a) || a.Leading() || a.Snapshot().State.Epoch != 1 {
		t.Errorf("grant %+v, leading %t, epoch %d", a.Grant(), a.Leading(), a.Snapshot().State.Epoch)
	}
}
