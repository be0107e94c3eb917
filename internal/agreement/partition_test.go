package agreement

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// The parts of a test have one system, one after the other: what is left of one cut is what the next one meets.

func TestAMemberThatIsCutFromTheMasterAloneHasNobodyPromotedAndTellsItsClients(t *testing.T) {
	t.Parallel()
	const hold = 2 * time.Second
	s := start(t, options{machines: true, args: append([]string{"--hold-timeout=" + hold.String()}, swift...)})
	for name, choose := range whoLeadsAndWhoDoesNot {
		t.Logf("it is %s", name)
		before := s.agree()
		victim := choose(s, before)
		others := s.without(victim)
		l := startLoad(s, others...)
		conn := s.dial(victim)
		first, err := redis.Int(conn.Do("INCR", "cut"))
		must(t, err)
		heal := s.machines.cut(of(s.machines, victim), of(s.machines, before.master))

		// Nobody fences a master that all others reach, so nothing but the silence of the network tells the client.
		if r, err := conn.Do("INCR", "cut"); !isUnknown(err) {
			t.Errorf("a write that was on the way to the master is answered %v, %v", r, err)
		}
		var refusal redis.Error
		if r, err := conn.Do("INCR", "cut"); !errors.As(err, &refusal) || !strings.HasPrefix(string(refusal), "MASTERDOWN ") {
			t.Errorf("a write after the hold-timeout is answered %v, %v", r, err)
		}
		if v, err := redis.String(conn.Do("GET", "fixed")); v != "value" || err != nil {
			t.Errorf("a read is answered %q, %v", v, err)
		}
		l.progress(stage, others...)
		heal()
		testcluster.WaitFor(t, "a write through the victim", func() bool {
			n, err := redis.Int(conn.Do("INCR", "cut"))
			if n > first+2 {
				t.Fatalf("the counter is %d after %d", n, first)
			}
			return err == nil
		})
		if now := s.agree(); now != before {
			t.Errorf("epoch %d with master %s led by %s, after %d with %s led by %s", now.epoch, now.master.Addr, now.leader.id,
				before.epoch, before.master.Addr, before.leader.id)
		}
		l.progress(stage, others...)
		l.end(0)
	}
}

// whoLeadsAndWhoDoesNot choose a member.
var whoLeadsAndWhoDoesNot = map[string]func(*system, truth) *member{
	"the leader": func(_ *system, now truth) *member { return now.leader },
	"a follower": func(s *system, now truth) *member { return s.without(now.leader)[0] },
}

func TestNoCutOfTheNetworkCostsMoreThanAPause(t *testing.T) {
	t.Parallel()
	// A witness is believed for as long as down-after: longer than this machine is likely to be busy with something else.
	s := start(t, options{machines: true, args: append([]string{"--max-lag-time=2s", "--down-after=2s"}, patient...)})
	h := s.watch()
	for _, part := range []struct {
		name  string
		clear func(*testing.T, *system, *history)
	}{
		{"a master that most members do not reach and its replicas do goes on", masterCutFromMostMembers},
		{"a master that is cut from its replicas goes on", masterCutFromReplicas},
		{"nobody sees that ZooKeeper's leader is cut from its followers", leaderOfZooKeeperCutFromFollowers},
		{"nobody writes to a master that is lost together with a follower once another is made", lostWith(whoLeadsAndWhoDoesNot["a follower"])},
		{"nobody writes to a master that is lost together with the leader once another is made", lostWith(whoLeadsAndWhoDoesNot["the leader"])},
	} {
		t.Log(part.name)
		part.clear(t, s, h)
	}
}

func masterCutFromMostMembers(t *testing.T, s *system, _ *history) {
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	third := s.without(before.leader)[0]
	heal := s.machines.cut(of(s.machines, s.without(third)...), of(s.machines, before.master))
	testcluster.WaitFor(t, "the alarm", func() bool {
		info, err := before.leader.info()
		return err == nil && strings.Contains(info["alarm0"], "master "+before.master.Addr+" cannot be reached") &&
			strings.Contains(info["alarm0"], "seen by 2 of 3), but ")
	})
	for _, m := range s.without(before.leader) { // whoever looks, looks at any of them
		testcluster.WaitFor(t, "the alarm of the leader to be told by "+m.id, func() bool {
			info, err := m.info()
			return err == nil && info["alarms_of_leader"] == "1" && info["alarms_leader"] == before.leader.id &&
				strings.Contains(info["alarm0"], "master "+before.master.Addr+" cannot be reached")
		})
	}
	l.progress(stage, third)
	heal()
	l.progress(stage, s.members...)
	if now := s.agree(); now != before {
		t.Errorf("epoch %d with master %s, after %d with %s", now.epoch, now.master.Addr, before.epoch, before.master.Addr)
	}
	testcluster.WaitFor(t, "the alarm to be over for everybody", func() bool {
		for _, m := range s.members {
			if info, err := m.info(); err != nil || info["alarms"] != "0" {
				return false
			}
		}
		return true
	})
	l.end(0)
}

func masterCutFromReplicas(t *testing.T, s *system, _ *history) {
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	heal := s.machines.cut(of(s.machines, before.master), of(s.machines, s.cluster.Replicas()...))
	s.awaitInfo("replicas_online", "0", s.members...)
	l.progress(stage, s.members...)
	heal()
	if now := s.agree(); now != before {
		t.Errorf("epoch %d with master %s, after %d with %s", now.epoch, now.master.Addr, before.epoch, before.master.Addr)
	}
	l.progress(stage, s.members...)
	l.end(0)
}

func leaderOfZooKeeperCutFromFollowers(t *testing.T, s *system, _ *history) {
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	leader := zooKeeperThat(t, s.ensemble, true)
	var followers []*testcluster.ZooKeeper
	for _, z := range s.ensemble.Servers {
		if z != leader {
			followers = append(followers, z)
		}
	}
	heal := s.machines.cut(of(s.machines, leader), of(s.machines, followers...))
	testcluster.WaitFor(t, "another leader of ZooKeeper", func() bool {
		now, err := s.ensemble.Leader()
		return err == nil && now != leader
	})
	s.awaitGrant("lease", s.members...)
	l.progress(stage, s.members...)
	heal()
	if now := s.agree(); now.epoch != before.epoch || now.master != before.master {
		t.Errorf("epoch %d with master %s, after %d with %s", now.epoch, now.master.Addr, before.epoch, before.master.Addr)
	}
	l.progress(stage, s.members...)
	l.end(0)
}

// lostWith cuts the master and a member from everything else, together with a ZooKeeper server, as when the machine is
// lost on which they are: the member has somebody to talk to.
func lostWith(choose func(*system, truth) *member) func(*testing.T, *system, *history) {
	return func(t *testing.T, s *system, h *history) {
		l := startLoad(s)
		l.progress(stage, s.members...)
		before := s.agree()
		victim := choose(s, before)
		others := s.without(victim)
		seen := h.length()
		lost := slices.Concat(of(s.machines, victim), of(s.machines, before.master), of(s.machines, zooKeeperThat(t, s.ensemble, false)))
		heal := s.machines.cut(lost, s.machines.rest(lost))
		made := h.await("the choice of a new master", seen, func(st *topology.State) bool {
			return st.Epoch > before.epoch && st.Phase == topology.Promoting
		})
		fenced := l.countersOn(before.master)
		l.progress(stage, others...)
		if now := l.countersOn(before.master); !maps.Equal(now, fenced) {
			t.Errorf("the deposed master had %v when another was chosen, and has %v", fenced, now)
		}
		if last := l.lastWrite(victim); !last.Before(made.at) {
			t.Errorf("a write through the member that is lost was acknowledged %v after the choice of a new master", last.Sub(made.at))
		}
		s.awaitGrant("none", victim) // its clients wait: for the master, or for what they had asked a replica
		heal()
		l.progress(stage, s.members...)
		if now := s.agree(); now.epoch != before.epoch+1 || now.master == before.master || now.leader == victim {
			t.Errorf("epoch %d with master %s led by %s, after %d with %s led by %s", now.epoch, now.master.Addr, now.leader.id,
				before.epoch, before.master.Addr, before.leader.id)
		}
		l.end(1)
	}
}
