package topology

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/understudy/understudy/internal/testcluster"
)

// pair is two members that may write in epoch 1: a, which leads and reaches ZooKeeper by ways of its own, and b.
func pair(t *testing.T) (a *ZooKeeper, ways wires, b *ZooKeeper) {
	t.Helper()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	a = open(t, memberConfig(t, through, "a"))
	b = open(t, memberConfig(t, servers, "b"))
	leaderOf(t, a, b)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	awaitGrant(t, b, 1)
	return a, ways, b
}

func TestAMemberThatIsCutOffLosesGrantAndLeadershipBeforeOthersCanTakeOver(t *testing.T) {
	for name, fault := range map[string]func(wires){"reset": wires.cut, "silent": wires.freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, ways, b := pair(t)

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
	a, ways, b := pair(t)
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
	// It may be a predecessor that was killed. When it is not, people are told who it is, and what to do.
	if waits := second.Authority().Waits; !strings.Contains(waits, "has the id") {
		t.Errorf("from the beginning it says that it waits %q", waits)
	}
	testcluster.WaitFor(t, "the alarm", func() bool { return second.Authority().Namesake != "" })
	owner := fmt.Sprintf("session %#x", first.session.Load().sessionID())
	for _, word := range []string{"the id a:", fmt.Sprintf("process %d on ", os.Getpid()), first.cfg.Addr, owner, "--id"} {
		if a := second.Authority(); !strings.Contains(a.Alarm, word) || a.Alarm != a.Namesake {
			t.Errorf("the alarm %q does not say %q", a.Alarm, word)
		}
	}
	ways.freeze() // as one that was killed, or stopped
	awaitGrant(t, second, 1)
	testcluster.WaitFor(t, "leadership", second.Leading)
	if a := second.Authority(); a.Alarm != "" || a.Namesake != "" || a.Waits != "" {
		t.Errorf("it is alone, and the alarm is %q", a.Alarm)
	}
	if overlap.seen() {
		t.Error("both had authority under one id at one moment")
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
	testcluster.WaitFor(t, "a heartbeat", func() bool { return a.lease.Load().Sent.After(since) })
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
