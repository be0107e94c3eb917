package agreement

import (
	"strings"
	"syscall"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/topology"
)

func TestClientsOfOtherMembersSeeNothingWhenTheLeaderIsKilled(t *testing.T) {
	s := start(t, options{})
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	s.smash(before.leader)
	l.progress(stage, s.alive()...)
	after := s.agree()
	if after.epoch != before.epoch || after.master != before.master {
		t.Errorf("epoch %d with master %s, after %d with %s", after.epoch, after.master.Addr, before.epoch, before.master.Addr)
	}
	l.progress(stage, s.alive()...)
	l.end(0)
}

func TestClientsOfOtherMembersSeeOnlyAPauseWhenLeaderAndMasterAreKilledAtOnce(t *testing.T) {
	s := start(t, options{})
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	s.smash(before.leader)
	must(t, before.master.Kill())
	l.progress(stage, s.alive()...)
	if after := s.agree(); after.epoch != before.epoch+1 {
		t.Errorf("epoch %d after %d", after.epoch, before.epoch)
	}
	l.end(1)
}

func TestALeaderThatIsStoppedInAFailoverChangesNothingWhenItRunsOn(t *testing.T) {
	const attempts = 10
	s := start(t, options{})
	h := s.watch()
	l := startLoad(s)
	for losses := 1; ; losses++ {
		l.progress(stage, s.members...)
		before := s.agree()
		seen := h.length()
		must(t, before.master.Kill())
		h.await("the failover", seen, func(st *topology.State) bool { return st.Epoch > before.epoch })
		must(t, before.leader.signal(syscall.SIGSTOP))
		if st := h.read(); st.Phase != topology.Stable {
			t.Logf("stopped in phase %s, at attempt %d", st.Phase, losses)
			s.takeOver(l, h, before, losses)
			return
		}
		// It was quicker than the signal.
		must(t, before.leader.signal(syscall.SIGCONT))
		if losses == attempts {
			t.Fatalf("the leader was never stopped in a failover in %d attempts", attempts)
		}
		must(t, before.master.Restart(t.Context()))
	}
}

// takeOver goes on after the leader was stopped in a failover.
func (s *system) takeOver(l *load, h *history, before truth, losses int) {
	t := s.t
	others := s.without(before.leader)
	l.progress(stage, others...)
	after := s.agreeing(others)
	if after.leader == before.leader || after.epoch <= before.epoch || after.master == before.master {
		t.Errorf("epoch %d with master %s led by %s, after %d with %s led by %s", after.epoch, after.master.Addr, after.leader.id,
			before.epoch, before.master.Addr, before.leader.id)
	}
	seen := h.length()
	must(t, before.leader.signal(syscall.SIGCONT))
	if now := s.agree(); now != after {
		t.Errorf("the stopped leader runs on, and now %s is master in epoch %d led by %s", now.master.Addr, now.epoch, now.leader.id)
	}
	s.onlyLeader(after.leader)
	l.progress(stage, s.members...)
	sights, _ := h.since(seen)
	for _, sight := range sights {
		if st := sight.state; st.Epoch != after.epoch || st.Phase != topology.Stable || st.Master.Addr != after.master.Addr {
			t.Errorf("after the stopped leader ran on the State was %+v", st)
		}
	}
	l.end(losses)
	must(t, before.master.Restart(t.Context()))
	if now := s.agree(); now != after {
		t.Errorf("the old master came back, and now %s is master in epoch %d led by %s", now.master.Addr, now.epoch, now.leader.id)
	}
}

// onlyLeader checks that nobody but this member has a connection for commands to a node.
func (s *system) onlyLeader(m *member) {
	s.t.Helper()
	for _, n := range s.cluster.Nodes {
		if !n.Running() {
			continue
		}
		list, err := redis.String(n.Do("CLIENT", "LIST"))
		must(s.t, err)
		for _, other := range s.members {
			if other != m && strings.Contains(list, "name=understudy:"+cluster+":"+other.id+":") {
				s.t.Errorf("%s has a connection for commands to %s, and %s leads", other.id, n.Addr, m.id)
			}
		}
	}
}
