package topology

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestANewcomerDoesNotLeadWhileAnElectorMayWrite(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	board := newSwitchboard()
	cfg := memberConfig(t, through, "a")
	cfg.FailsafeLimit = 3 * testSession
	a := board.open(t, cfg)
	update(t, a, electing(1, a))
	awaitSource(t, Leased, a)
	ways.cut()
	cut := time.Now()
	awaitSource(t, Promised, a)
	b := board.open(t, memberConfig(t, servers, "b"))
	var both, last, leads moment
	stop := sample(t, func() {
		writes := permitted(a)
		switch {
		case b.Leading() && writes:
			both.mark()
		case b.Leading():
			leads.mark()
		case !writes:
			last.mark()
		}
	})
	testcluster.WaitFor(t, "the alarm", func() bool {
		alarm := b.Authority().Alarm
		return strings.Contains(alarm, "nobody may lead") && strings.Contains(alarm, "a at "+cfg.Addr)
	})
	// It takes over when no promise can last, and from then on leads like any other.
	leaderOf(t, b)
	testcluster.WaitFor(t, "the sampler to have seen it", func() bool { return leads.seen() || both.seen() })
	stop()
	if both.seen() {
		t.Fatalf("it leads while another writes, %v after the cut", both.time().Sub(cut))
	}
	if !last.seen() || last.time().Sub(cut) < 2*testSession || leads.time().Before(last.time()) {
		t.Errorf("writes ended after %v, and the newcomer led after %v", last.time().Sub(cut), leads.time().Sub(cut))
	}
	t.Logf("without ZooKeeper writes went on for %v; another led after %v", last.time().Sub(cut), leads.time().Sub(cut))
	update(t, b, electing(2, a))
	if got := b.Snapshot().State.Electors; len(got) != 1 || got[0].ID != "b" {
		t.Errorf("it took over, and the electors are %v", got)
	}
	update(t, b, electing(3, b))
	if alarm := b.Authority().Alarm; alarm != "" {
		t.Errorf("it leads, and the alarm stands: %s", alarm)
	}
	ways.heal()
	awaitGrant(t, a, 3)
	if a.Leading() {
		t.Error("the one that came back leads")
	}
}

func TestAnElectorThatComesBackKeepsANewcomerFromTakingOver(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	board := newSwitchboard()
	cfg := memberConfig(t, through, "a")
	cfg.FailsafeLimit = testSession
	a := board.open(t, cfg)
	update(t, a, electing(1, a))
	ways.cut()
	b := board.open(t, memberConfig(t, servers, "b"))
	leaderOf(t, b)
	// b has the right to take over, and has made no use of it. What it will have checked is out of date when a has
	// been there, though it may be gone again.
	s := b.session.Load()
	right := s.takeover.Load()
	ways.heal()
	leaderOf(t, a)
	s.elected.Store(true)
	s.takeover.Store(right)
	if s.candidate.Load() == nil {
		// It has stepped back; as if it had not yet.
		own, err := s.stand(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.candidate.Store(&own)
	}
	if err := b.Update(t.Context(), b.Snapshot().Version, electing(2, b)); !errors.Is(err, ErrNotLeader) {
		t.Errorf("it replaces the State although an elector is back: %v", err)
	}
	s.elected.Store(false)
}

func TestWhoIsNoElectorLetsOneLead(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	c := open(t, memberConfig(t, servers, "c"))
	leaderOf(t, a, b, c)
	update(t, a, electing(1, a, c))
	testcluster.WaitFor(t, "all to know the State", func() bool { return b.Snapshot().Version == 1 && c.Snapshot().Version == 1 })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// b has stood for election before c.
	if z, _ := leaderOf(t, b, c); z != c {
		t.Errorf("%s leads", z.cfg.ID)
	}
	update(t, c, electing(2, b, c))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, b)
}

func TestElectorsThatHaveLeftInOrderAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	update(t, a, electing(1, a))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, memberConfig(t, servers, "b"))
	leaderOf(t, b)
	update(t, b, electing(2, b))
}

func TestAProcessThatWasKilledIsSucceededWhenItsPromisesHaveEnded(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	a := open(t, memberConfig(t, through, "a"))
	update(t, a, electing(1, a))
	ways.cut()
	if err := a.Close(); err != nil { // and nobody hears of it
		t.Fatal(err)
	}
	began := time.Now()
	again := open(t, memberConfig(t, servers, "a"))
	var early moment
	stop := sample(t, func() {
		if again.Leading() && time.Since(again.started) < testSession {
			early.mark()
		}
	})
	leaderOf(t, again)
	stop()
	t.Logf("leads after %v", time.Since(began))
	if early.seen() || !again.succeeds.Load() {
		t.Errorf("it led while its predecessor's promises might last (knows of one: %v)", again.succeeds.Load())
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if last := open(t, memberConfig(t, servers, "a")); last.succeeds.Load() {
		t.Error("a process that left in order is waited for")
	}
}

// standAnew has a session give its candidacy up and stand again, while it leads.
func standAnew(t *testing.T, s *session) {
	t.Helper()
	own, err := s.stand(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := s.candidate.Swap(&own)
	if err := s.conn.Delete(*before, -1); err != nil {
		t.Fatal(err)
	}
}

func TestACandidacyThatWasGivenUpDoesNotCostTheSessionWhenItIsMissed(t *testing.T) {
	t.Parallel()
	a := open(t, memberConfig(t, sharedZooKeeper(t), "a"))
	leaderOf(t, a)
	s := a.session.Load()
	own := *s.candidate.Load()
	standAnew(t, s)
	// It was under way when the candidacy was given up.
	if err := s.asLeader(t.Context(), own, own); !errors.Is(err, ErrNotLeader) {
		t.Errorf("what a candidate of before does ends with %v", err)
	}
	if err := s.ctx.Err(); err != nil || a.session.Load() != s {
		t.Errorf("the session is over: %v", context.Cause(s.ctx))
	}
}
