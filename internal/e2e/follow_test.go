package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
)

// sentinelDown is how long a node is silent before Sentinel holds it down.
const sentinelDown = 500 * time.Millisecond

func following(cfg *monitor.Config) { cfg.Follow = true }

// commanded returns how often nodes were sent commands that change or save a role.
func commanded(t *testing.T, s *system) map[string]int {
	t.Helper()
	sent := make(map[string]int)
	for _, n := range s.cluster.Nodes {
		stats, err := n.Info("commandstats")
		if err != nil {
			t.Fatal(err)
		}
		for name, line := range stats {
			var calls int
			switch strings.TrimPrefix(name, "cmdstat_") {
			case "replicaof", "slaveof", "failover", "config|rewrite", "client|kill":
				if _, err := fmt.Sscanf(line, "calls=%d", &calls); err != nil {
					t.Fatalf("%s: %q: %v", name, line, err)
				}
				sent[strings.TrimPrefix(name, "cmdstat_")] += calls
			}
		}
	}
	return sent
}

func TestFailoversOfSentinelAreFollowed(t *testing.T) {
	s := start(t, options{replicas: 2, monitor: following})
	sentinels := testcluster.NewSentinels(t, 3, s.cluster.Nodes[0], 2, sentinelDown)
	if _, err := s.cluster.Nodes[0].Do("SET", "fixed", "value"); err != nil {
		t.Fatal(err)
	}
	if err := s.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := startLoad(s, 4, 2)
	l.progress(100)
	agreed := func() {
		t.Helper()
		testcluster.WaitFor(t, "the master that Sentinel names", func() bool {
			addr, err := sentinels.Master()
			return err == nil && addr == s.coord.Snapshot().State.Master.Addr
		})
		s.waitReplicas(2)
		l.progress(100)
	}
	// It dies, and Sentinel promotes another one.
	epoch, dead := s.epoch(), s.master()
	if err := dead.Kill(); err != nil {
		t.Fatal(err)
	}
	if next := s.waitMasterAfter(epoch); next == dead {
		t.Fatal("the State still names the master that was killed")
	}
	s.waitReplicas(1) // Sentinel is done with it, and does not find an empty master in the middle of it
	l.progress(100)
	// It comes back, and Sentinel makes it a replica.
	if err := dead.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitWithin(t, time.Minute, "Sentinel to make it a replica", func() bool {
		info, err := dead.Info("replication")
		return err == nil && info["role"] == "slave" && info["master_link_status"] == "up"
	})
	agreed()
	// An operator has Sentinel change roles while the master lives.
	old := s.master()
	askSentinel(t, s, sentinels, func() {})
	l.progress(100)
	testcluster.WaitWithin(t, time.Minute, "Sentinel to make the old master a replica", func() bool {
		info, err := old.Info("replication")
		return err == nil && info["role"] == "slave"
	})
	agreed()
	l.end(t, 2)
}

func TestRolesThatAnOperatorChangesAreFollowedWithoutACommandOfOurs(t *testing.T) {
	s := start(t, options{replicas: 2, monitor: following})
	l := startLoad(s, 4, 0)
	l.progress(100)
	old, next, other := s.cluster.Nodes[0], s.cluster.Nodes[1], s.cluster.Nodes[2]
	host, port, err := net.SplitHostPort(next.Addr)
	if err != nil {
		t.Fatal(err)
	}
	before, epoch := commanded(t, s), s.epoch()
	do := func(n *testcluster.Redis, args ...any) {
		t.Helper()
		if _, err := n.Do(args...); err != nil {
			t.Fatal(err)
		}
	}
	do(next, "REPLICAOF", "NO", "ONE")
	do(other, "REPLICAOF", host, port)
	do(old, "REPLICAOF", host, port)
	if got := s.waitMasterAfter(epoch); got != next {
		t.Errorf("master %s, want %s", got.Addr, next.Addr)
	}
	s.waitReplicas(2)
	l.progress(100)
	l.end(t, 1)
	// A node that is moved away is not brought back.
	do(other, "REPLICAOF", "NO", "ONE")
	testcluster.WaitFor(t, "the State to show it as unavailable", func() bool {
		st := s.coord.Snapshot().State
		return len(st.Unavailable) == 1 && st.Unavailable[0].Addr == other.Addr
	})
	after := commanded(t, s)
	before["replicaof"] += 4
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the nodes were sent %v, of which the test has sent %v", after, before)
	}
}

func TestAMasterThatComesBackBeforeAnybodyElseIsMadeOneGoesOn(t *testing.T) {
	s := start(t, options{replicas: 1, args: []string{"--appendonly", "yes", "--appendfsync", "always"}, monitor: following})
	l := startLoad(s, 2, 0)
	l.progress(50)
	epoch, master := s.epoch(), s.master()
	if err := master.Kill(); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "clients to be held", func() bool { return s.epoch() > epoch })
	if err := master.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.waitMasterAfter(epoch); got != master {
		t.Errorf("master %s", got.Addr)
	}
	s.waitReplicas(1)
	l.progress(50)
	l.end(t, 1)
}

func TestASwitchOfSentinelIsFollowedWhileTheOldMasterStillSaysThatItIsOne(t *testing.T) {
	s := start(t, options{replicas: 1, monitor: following})
	sentinels := testcluster.NewSentinels(t, 3, s.cluster.Nodes[0], 1, 5*time.Second)
	l := startLoad(s, 4, 0)
	l.progress(50)
	old := s.master()
	askSentinel(t, s, sentinels, func() {})
	// Sentinel leaves it alone for eight seconds; whatever is written there now is lost.
	info, err := old.Info("replication")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the old master, which Sentinel has replaced, says that it is %s", info["role"]) // "slave" if Sentinel was quick
	l.progress(50)
	l.end(t, 1)
}
