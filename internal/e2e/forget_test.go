package e2e

import (
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/topology"
)

func TestAForgottenNodeIsSentNoCommandWhateverAnswersThereLater(t *testing.T) {
	s := start(t, options{replicas: 2})
	gone, other := s.cluster.Nodes[2], s.cluster.Nodes[1]
	c := s.dial()
	if _, err := c.Do("PROXY", "FORGET", gone.Addr); err == nil || !strings.Contains(err.Error(), "shut it down first") {
		t.Errorf("a replica that replicates: %v", err)
	}
	if _, err := c.Do("PROXY", "FORGET", s.cluster.Nodes[0].Addr); err == nil || !strings.Contains(err.Error(), "is the master") {
		t.Errorf("the master: %v", err)
	}
	must(t, gone.Stop())
	waitUnavailable(t, s, gone.Addr)
	s.do("PROXY", "FORGET", gone.Addr)
	if st := s.coord.Snapshot().State; len(st.Unavailable) > 0 || len(st.Replicas) != 1 {
		t.Errorf("the state still has %+v and %+v", st.Replicas, st.Unavailable)
	}

	// A server of somebody else, at the address of before.
	loseConfiguration(t, gone, "replicaof", "slaveof")
	must(t, gone.Restart(t.Context()))
	stranger, err := gone.Dial()
	must(t, err)
	defer stranger.Close()
	if _, err := stranger.Do("SET", "precious", "1"); err != nil {
		t.Fatal(err)
	}
	// A whole failover, which re-points all nodes, and then the return of the old master.
	epoch, old := s.epoch(), s.master()
	must(t, old.Kill())
	if s.waitMasterAfter(epoch) != other {
		t.Errorf("%s is master", s.master().Addr)
	}
	must(t, old.Restart(t.Context()))
	s.waitReplicas(1)
	if value, err := redis.String(stranger.Do("GET", "precious")); value != "1" {
		t.Errorf("the stranger's key: %q, %v", value, err)
	}
	if role, err := redis.Values(stranger.Do("ROLE")); err != nil || string(role[0].([]byte)) != "master" {
		t.Errorf("the stranger's role: %v, %v", role, err)
	}
}

func TestANodeIsForgottenAlsoWhereOthersSeeToTheRoles(t *testing.T) {
	s := start(t, options{replicas: 1, monitor: func(c *monitor.Config) { c.Follow = true }})
	gone := s.cluster.Nodes[1]
	must(t, gone.Stop())
	waitUnavailable(t, s, gone.Addr)
	s.do("PROXY", "FORGET", gone.Addr)
	testcluster.WaitFor(t, "the state without it", func() bool {
		st := s.coord.Snapshot().State
		return len(st.Unavailable) == 0 && len(st.Replicas) == 0 && st.Phase == topology.Stable
	})
}
