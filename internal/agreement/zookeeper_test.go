package agreement

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

func TestClientsSeeNothingWhenAFollowerAndThenTheLeaderOfZooKeeperIsKilled(t *testing.T) {
	t.Parallel()
	ensemble := testcluster.NewEnsemble(t, 3)
	s := start(t, options{ensemble: ensemble})
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	for _, leads := range []bool{false, true} {
		server := zooKeeperThat(t, ensemble, leads)
		must(t, server.Kill())
		l.until(time.Now().Add(2*lease), s.members...) // whoever writes then has a lease that was renewed since
		if after := s.agree(); after != before {
			t.Errorf("epoch %d with master %s led by %s, after %d with %s led by %s", after.epoch, after.master.Addr, after.leader.id,
				before.epoch, before.master.Addr, before.leader.id)
		}
		must(t, server.Restart(t.Context()))
	}
	l.end(0)
}

// zooKeeperThat returns the server of an ensemble that leads, or one that does not.
func zooKeeperThat(t testing.TB, e *testcluster.Ensemble, leads bool) *testcluster.ZooKeeper {
	t.Helper()
	leader, err := e.Leader()
	must(t, err)
	for _, z := range e.Servers {
		if (z == leader) == leads {
			return z
		}
	}
	t.Fatal("there is no such server")
	return nil
}

func TestWithoutZooKeeperAndFailsafeReadsGoOnAndWritesAreHeldUntilItIsBack(t *testing.T) {
	t.Parallel()
	ensemble := testcluster.NewEnsemble(t, 3)
	s := start(t, options{ensemble: ensemble, args: append([]string{"--hold-timeout=30s", "--no-failsafe"}, swift...)})
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	gone := s.loseZooKeeper()
	s.awaitHeld(s.members...)
	answered := l.writes() // each client has its next one held, so it has taken in all answers
	for _, m := range s.members {
		if last := l.lastWrite(m); last.Sub(gone) > lease {
			t.Errorf("a write through %s was asked for %v after ZooKeeper was gone, and answered", m.id, last.Sub(gone))
		}
	}
	l.progressOf(10*stage, isReader)
	if now := l.writes(); now != answered {
		t.Errorf("%d writes were answered while all were held", now-answered)
	}
	restart(t, ensemble)
	l.progress(stage, s.members...)
	back := s.agree()
	if back.epoch != before.epoch || back.master != before.master {
		t.Errorf("epoch %d with master %s, after %d with %s", back.epoch, back.master.Addr, before.epoch, before.master.Addr)
	}
	l.end(0)

	l = startLoad(s)
	l.progress(stage, s.members...)
	must(t, back.master.Kill())
	l.progress(stage, s.members...)
	if after := s.agree(); after.epoch != back.epoch+1 {
		t.Errorf("epoch %d after %d", after.epoch, back.epoch)
	}
	l.end(1)
}

// restart starts all servers of an ensemble that were killed.
func restart(t *testing.T, e *testcluster.Ensemble) {
	t.Helper()
	var starting sync.WaitGroup
	for _, z := range e.Servers {
		starting.Go(func() {
			if err := z.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
}

// awaitHeld waits until these members hold the writes of all clients of a load, and perhaps the reads.
func (s *system) awaitHeld(members ...*member) {
	s.t.Helper()
	for _, m := range members {
		testcluster.WaitFor(s.t, "the writes through "+m.id+" to be held", func() bool {
			info, err := m.info()
			return err == nil && (info["clients_held"] == strconv.Itoa(writers) || info["clients_held"] == strconv.Itoa(writers+readers))
		})
	}
}

func TestAMemberThatIsCutFromZooKeeperHoldsItsWritesBeforeAnotherMasterIsMade(t *testing.T) {
	t.Parallel()
	for name, choose := range map[string]func(*system, truth) *member{
		"the leader": func(_ *system, now truth) *member { return now.leader },
		"a follower": func(s *system, now truth) *member { return s.without(now.leader)[0] },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{relays: true, args: patient})
			h := s.watch()
			l := startLoad(s)
			l.progress(stage, s.members...)
			before := s.agree()
			victim := choose(s, before)
			others := s.without(victim)
			seen := h.length()
			cut := time.Now()
			for _, r := range victim.relays {
				r.Freeze(testcluster.BothWays)
			}
			// The old master lives, so nothing but the end of the lease keeps the one that is cut off from writing to it.
			// Asked while the lease of the other is still far from its end, a switchover is given up, and the next one comes.
			testcluster.WaitFor(t, "a switchover to be carried out", func() bool {
				c := s.dial(others[0])
				defer c.Close()
				_, err := c.Do("PROXY", "FAILOVER")
				if err != nil && !strings.Contains(err.Error(), "did not answer within") {
					t.Fatalf("PROXY FAILOVER through %s: %v", others[0].id, err)
				}
				return err == nil
			})
			made := h.await("the new master", seen, func(st *topology.State) bool {
				return st.Epoch > before.epoch && st.Phase == topology.Promoting
			})
			s.awaitHeld(victim)
			if last := l.lastWrite(victim); !last.Before(made.at) {
				t.Errorf("a write through the one that is cut off was answered %v after the cut, %v after the choice", last.Sub(cut), last.Sub(made.at))
			} else {
				t.Logf("after the cut: last write %v, choice of the new master %v", last.Sub(cut), made.at.Sub(cut))
			}
			// The clients of the victim that read may have to wait, too: its replicas follow another master now, so it does not
			// know what they have, if it asks.
			l.progress(stage, others...)
			after := s.agreeing(others)
			for _, r := range victim.relays {
				r.Heal()
			}
			l.progress(stage, s.members...)
			if now := s.agree(); now != after {
				t.Errorf("it is back, and now %s is master in epoch %d led by %s", now.master.Addr, now.epoch, now.leader.id)
			}
			l.end(0)
		})
	}
}
