package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/topology"
)

// loseConfiguration takes out of a server's configuration file the lines that begin with one of these words.
func loseConfiguration(t *testing.T, n *testcluster.Redis, words ...string) {
	t.Helper()
	path := filepath.Join(n.Dir, "redis.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		word, _, _ := strings.Cut(line, " ")
		if !slices.Contains(words, word) {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// watchForOnline records whether a State names addr as a replica that serves reads, from now on.
func watchForOnline(t *testing.T, s *system, addr string) (seen func() bool) {
	var mu sync.Mutex
	online := false
	stop := s.coord.Watch(func(snapshot topology.Snapshot) {
		r, ok := snapshot.State.Replica(addr)
		mu.Lock()
		defer mu.Unlock()
		online = online || ok && r.Health == topology.Online
	})
	t.Cleanup(stop)
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return online
	}
}

// waitHeard waits until the monitor knows what addr says of itself as a replica.
func waitHeard(t *testing.T, s *system, addr string) {
	t.Helper()
	testcluster.WaitFor(t, "the node to be heard", func() bool {
		return slices.ContainsFunc(s.monitor.Status().Nodes, func(n monitor.NodeStatus) bool {
			return n.Addr == addr && n.Role == "replica" && n.Link == "up"
		})
	})
}

// waitUnavailable waits until the State lists addr as unavailable.
func waitUnavailable(t *testing.T, s *system, addr string) {
	t.Helper()
	testcluster.WaitFor(t, "the node to be unavailable", func() bool {
		return slices.ContainsFunc(s.coord.Snapshot().State.Unavailable, func(n topology.Node) bool { return n.Addr == addr })
	})
}

func TestANodeThatComesBackAndLetsNobodyInServesNothingAndIsAnAlarm(t *testing.T) {
	s := &system{t: t, cluster: testcluster.New(t, 1), state: filepath.Join(t.TempDir(), "state.json")}
	permit := func(n *testcluster.Redis) {
		t.Helper()
		if _, err := n.Do("ACL", "SETUSER", "proxy", "on", ">secret", "~*", "&*", "+@all"); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range s.cluster.Nodes {
		permit(n)
		if _, err := n.Do("CONFIG", "REWRITE"); err != nil {
			t.Fatal(err)
		}
	}
	s.run(options{monitor: func(cfg *monitor.Config) { cfg.Username, cfg.Password = "proxy", "secret" }})
	t.Cleanup(func() { s.stop() })
	replica := s.cluster.Nodes[1]
	waitHeard(t, s, replica.Addr)
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	waitUnavailable(t, s, replica.Addr)
	online := watchForOnline(t, s, replica.Addr)
	loseConfiguration(t, replica, "user", "replicaof")
	if err := replica.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "an alarm that names the node and its answer", func() bool {
		return slices.ContainsFunc(s.monitor.Status().Alarms, func(alarm string) bool {
			return strings.Contains(alarm, replica.Addr) && strings.Contains(alarm, "WRONGPASS")
		})
	})
	if online() {
		t.Error("a node that has told nothing of itself since it came back was taken for a replica that serves reads")
	}
	waitUnavailable(t, s, replica.Addr)
	permit(replica)
	s.waitReplicas(1)
	testcluster.WaitFor(t, "the end of the alarm", func() bool { return len(s.monitor.Status().Alarms) == 0 })
}

func TestAReplicaThatComesBackAsAMasterServesNothingBeforeItIsAReplicaAgain(t *testing.T) {
	s := start(t, options{replicas: 1})
	replica := s.cluster.Nodes[1]
	waitHeard(t, s, replica.Addr)
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	waitUnavailable(t, s, replica.Addr)
	var mu sync.Mutex
	var wrong string
	stop := s.coord.Watch(func(snapshot topology.Snapshot) {
		if r, ok := snapshot.State.Replica(replica.Addr); ok && r.Health == topology.Online {
			if info, err := replica.Info("replication"); err == nil && info["role"] != "slave" {
				mu.Lock()
				wrong = info["role"]
				mu.Unlock()
			}
		}
	})
	defer stop()
	loseConfiguration(t, replica, "replicaof")
	if err := replica.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitReplicas(1)
	mu.Lock()
	defer mu.Unlock()
	if wrong != "" {
		t.Errorf("a node that is a %s was said to serve reads as a replica", wrong)
	}
}
