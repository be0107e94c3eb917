package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

func TestAStartWithZooKeeperThatFailsSaysWhyAndLeavesNothingOfItsOwnThere(t *testing.T) {
	t.Parallel()
	server := testcluster.NewEnsemble(t, 1).Servers[0]
	node := testcluster.NewRedis(t, "--requirepass", "secret")
	soon := []string{"--listen", "127.0.0.1:0", "--zookeeper-session-timeout", "4s", "--zookeeper-heartbeat", "200ms", "--zookeeper-tick", "200ms"}

	t.Run("the nodes want a password", func(t *testing.T) {
		status, _, stderr := once(t, nil, append([]string{"run", "--nodes", node.Addr, "--zookeeper", server.Addr + "/sec"}, soon...)...)
		if status != 1 || !strings.Contains(stderr, "password") {
			t.Fatalf("status %d: %s", status, stderr)
		}
		conn, events, err := zk.Connect([]string{server.Addr}, 4*time.Second, zk.WithLogInfo(false))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			conn.Close()
			for range events {
			}
		})
		if names, _, err := conn.Children("/"); err != nil || strings.Join(names, " ") != "zookeeper" {
			t.Errorf("left behind: %v, %v", names, err)
		}
	})

	t.Run("the first State is about other nodes", func(t *testing.T) {
		other := testcluster.NewRedis(t)
		leader, err := topology.OpenZooKeeper(t.Context(), topology.ZooKeeperConfig{Servers: server.Addr + "/shops", Cluster: "default", ID: "a",
			SessionTimeout: 4 * time.Second, Heartbeat: 200 * time.Millisecond, Tick: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { leader.Close() })
		p := start(t, nil, append([]string{"run", "--nodes", other.Addr, "--zookeeper", server.Addr + "/shops", "--id", "b"}, soon...)...)
		p.logged("waiting for the leading member")
		state := &topology.State{Format: topology.Format, Cluster: "default", Epoch: 1, Phase: topology.Stable, Master: topology.Node{Addr: "10.0.0.1:6379"}}
		if err := leader.Update(t.Context(), 0, state); err != nil {
			t.Fatal(err)
		}
		p.logged("is about the master 10.0.0.1:6379, and none of nodes (" + other.Addr + ") is in it")
		if status := p.exit(); status != 1 {
			t.Errorf("the status is %d", status)
		}
	})
}
