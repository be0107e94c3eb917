package monitor

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// member is a monitor with a local coordinator, and a stand-in for the proxy: it acknowledges every fence at once, as
// a proxy without clients does.
type member struct {
	*Monitor
	*topology.Local
	stop func()
}

// testConfig is Defaults with limits that suit a test.
func testConfig(nodes ...string) Config {
	cfg := Defaults()
	cfg.Cluster, cfg.ID, cfg.Nodes = "test", "a", nodes
	cfg.RetryInterval = 100 * time.Millisecond
	return cfg
}

// start runs a monitor until the end of the test, or until stop.
func start(t *testing.T, cfg Config, path string) *member {
	t.Helper()
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: cfg.Cluster, ID: cfg.ID, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(cfg, coord, slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	unwatch := coord.Watch(func(s topology.Snapshot) {
		if s.State.Phase != topology.Stable {
			if err := coord.Acknowledge(context.Background(), s.State.Epoch); err != nil {
				t.Error(err)
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		unwatch()
		if err := coord.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return &member{Monitor: m, Local: coord, stop: stop}
}

// running runs a monitor that is all of a member, until the end of the test or until stop is called.
func running(t *testing.T, m *Monitor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return cancel
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s %s", time.Now().Format("05.000"), b)
	return len(b), nil
}

// waitState waits until the State is as wanted.
func (m *member) waitState(t *testing.T, what string, want func(*topology.State) bool) *topology.State {
	t.Helper()
	testcluster.WaitFor(t, what, func() bool {
		s := m.Snapshot().State
		return s != nil && want(s)
	})
	return m.Snapshot().State
}

// online reports whether the State is stable with that master and exactly these replicas, all of them online.
func online(s *topology.State, master string, replicas ...string) bool {
	if s.Phase != topology.Stable || s.Master.Addr != master || len(s.Replicas) != len(replicas) {
		return false
	}
	for _, addr := range replicas {
		if r, ok := s.Replica(addr); !ok || r.Health != topology.Online {
			return false
		}
	}
	return true
}

// cluster starts a master with replicas and a monitor that has found them all.
func cluster(t *testing.T, replicas int, change func(*Config)) (*testcluster.Cluster, *member) {
	t.Helper()
	c := testcluster.New(t, replicas)
	cfg := testConfig(c.Addrs()[0])
	if change != nil {
		change(&cfg)
	}
	m := start(t, cfg, "")
	m.waitState(t, "all replicas to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1:]...) })
	return c, m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustDo(t *testing.T, r *testcluster.Redis, args ...any) any {
	t.Helper()
	reply, err := r.Do(args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// replicated waits until nodes have the value of a key. (WAIT is no help: it waits for what its own connection has written.)
func replicated(t *testing.T, key, value string, nodes ...*testcluster.Redis) {
	t.Helper()
	for _, r := range nodes {
		testcluster.WaitFor(t, r.Addr+" to have "+key, func() bool {
			found, err := redis.String(r.Do("GET", key))
			return err == nil && found == value
		})
	}
}
