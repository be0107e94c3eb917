package testcluster

import (
	"errors"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// session opens a ZooKeeper session for the length of the test.
func session(t *testing.T, hosts []string) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect(hosts, 2*time.Second, zk.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		for range events { // closed when the client's goroutines have ended
		}
	})
	return conn
}

func create(t *testing.T, conn *zk.Conn, path string) {
	t.Helper()
	if _, err := conn.Create(path, []byte("v"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatalf("create %s: %v", path, err)
	}
}

func TestALoneZooKeeperKeepsItsDataOverACrash(t *testing.T) {
	e := NewEnsemble(t, 1)
	z, err := e.Leader()
	if err != nil {
		t.Fatal(err)
	}
	if mode, err := z.Mode(); err != nil || mode != "standalone" {
		t.Errorf("mode %q, %v", mode, err)
	}
	conn := session(t, e.Hosts())
	create(t, conn, "/k")
	if err := z.Kill(); err != nil {
		t.Fatal(err)
	}
	if z.Running() {
		t.Error("it still runs")
	}
	if err := z.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	WaitFor(t, "the znode to be there", func() bool {
		data, _, err := conn.Get("/k")
		return err == nil && string(data) == "v"
	})
}

func TestAnEnsembleServesOnWithoutItsLeader(t *testing.T) {
	e := NewEnsemble(t, 3)
	old, err := e.Leader()
	if err != nil {
		t.Fatal(err)
	}
	conn := session(t, e.Hosts())
	create(t, conn, "/before")
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	WaitFor(t, "another leader", func() bool {
		leader, err := e.Leader()
		return err == nil && leader != old
	})
	WaitFor(t, "a write through the survivors", func() bool {
		_, err := conn.Create("/after", nil, 0, zk.WorldACL(zk.PermAll))
		return err == nil || errors.Is(err, zk.ErrNodeExists)
	})
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mode, err := old.Mode(); err != nil || mode != "follower" {
		t.Errorf("the old leader is %q, %v", mode, err)
	}
}

func TestAnEnsembleWithoutAQuorumServesNothing(t *testing.T) {
	e := NewEnsemble(t, 3)
	for _, z := range e.Servers[1:] {
		if err := z.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	WaitFor(t, "the last server to refuse requests", func() bool {
		_, err := e.Servers[0].Mode()
		return err != nil && strings.Contains(err.Error(), "not currently serving")
	})
	for _, z := range e.Servers[1:] {
		if err := z.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	WaitFor(t, "a leader", func() bool {
		_, err := e.Leader()
		return err == nil
	})
}

func TestAMissingZooKeeperIsReportedWithWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := StartEnsemble(t.Context(), 1, ZooKeeperOptions{})
	if !errors.Is(err, ErrNoZooKeeper) || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("%v", err)
	}
}

func TestAWrongZooKeeperConfigurationIsReportedWithItsLog(t *testing.T) {
	_, err := StartEnsemble(t.Context(), 1, ZooKeeperOptions{Config: []string{"clientPort=none"}})
	if err == nil || !strings.Contains(err.Error(), "NumberFormatException") {
		t.Errorf("%v", err)
	}
}
