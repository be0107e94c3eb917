package testcluster

import (
	"errors"
	"os"
	"testing"

	"github.com/gomodule/redigo/redis"
)

func TestAClusterIsInSyncWhenItIsReturned(t *testing.T) {
	c := New(t, 2)
	if len(c.Nodes) != 3 || len(c.Addrs()) != 3 {
		t.Fatalf("nodes %v", c.Addrs())
	}
	master, err := c.Master()
	if err != nil || master != c.Nodes[0] {
		t.Fatalf("master %v, %v", master, err)
	}
	if got := len(c.Replicas()); got != 2 {
		t.Errorf("%d replicas", got)
	}
	conn, err := master.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Do("SET", "k", "v"); err != nil {
		t.Fatal(err)
	}
	if n, err := redis.Int(conn.Do("WAIT", 2, 2000)); err != nil || n != 2 {
		t.Errorf("acknowledged by %d replicas, %v", n, err)
	}
	for _, r := range c.Replicas() {
		if got, err := redis.String(r.Do("GET", "k")); err != nil || got != "v" {
			t.Errorf("GET at %s: %q, %v", r.Addr, got, err)
		}
	}
	if c.Node(master.Addr) != master || c.Node("127.0.0.1:1") != nil {
		t.Error("Node finds the wrong one")
	}
}

func TestMasterFollowsTheRolesAndRefusesTwo(t *testing.T) {
	c := New(t, 2)
	old, heir, other := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	mustDo(t, heir, "REPLICAOF", "NO", "ONE")
	if m, err := c.Master(); err == nil {
		t.Errorf("two masters, and it says %s", m.Addr)
	}
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	mustDo(t, other, "REPLICAOF", loopback, heir.Port)
	if err := c.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Master(); err != nil || m != heir {
		t.Errorf("master %v, %v", m, err)
	}
}

func TestAClusterWithAPasswordReplicates(t *testing.T) {
	c := New(t, 1, "--requirepass", "secret")
	if _, err := c.Master(); err != nil {
		t.Error(err)
	}
}

func TestStopEndsEveryServerAndRemovesTheFolder(t *testing.T) {
	c, err := StartCluster(t.Context(), 1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Nodes {
		if r.Running() {
			t.Errorf("%s runs", r.Addr)
		}
	}
	if _, err := os.Stat(c.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}
