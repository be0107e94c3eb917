package agreement

import (
	"net"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAllMembersFollowAnOperatorThroughZooKeeper(t *testing.T) {
	t.Parallel()
	s := start(t, options{args: append([]string{"--failover=off"}, swift...)})
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	next := s.cluster.Nodes[1]
	host, port, err := net.SplitHostPort(next.Addr)
	must(t, err)
	for _, n := range s.cluster.Nodes {
		args := []any{"REPLICAOF", host, port}
		if n == next {
			args = []any{"REPLICAOF", "NO", "ONE"}
		}
		_, err := n.Do(args...)
		must(t, err)
	}
	after := s.agree()
	if after.master != next || after.epoch != before.epoch+1 {
		t.Errorf("epoch %d with master %s, after %d", after.epoch, after.master.Addr, before.epoch)
	}
	l.progress(stage, s.members...)
	// Whoever leads next follows as well.
	s.smash(after.leader)
	l.progress(stage, s.alive()...)
	if now := s.agree(); now.epoch != after.epoch {
		t.Errorf("epoch %d after %d", now.epoch, after.epoch)
	}
	l.end(1)
}

func TestAllMembersFollowSentinelThroughZooKeeper(t *testing.T) {
	t.Parallel()
	// Sentinels that stand for leader at the same moment are elected in the next try, which comes 20 s later.
	s := start(t, options{args: append([]string{"--failover=off", "--hold-timeout=1m"}, swift...)})
	sentinels := testcluster.NewSentinels(t, 3, s.cluster.Nodes[0], 2, 500*time.Millisecond)
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	must(t, before.master.Kill())
	l.progress(stage, s.members...)
	after := s.agree()
	if addr, err := sentinels.Master(); err != nil || addr != after.master.Addr {
		t.Errorf("Sentinel says %s (%v), they agree on %s", addr, err, after.master.Addr)
	}
	l.end(1)
}
