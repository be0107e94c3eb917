package testcluster

import "context"

// T is what the helpers for tests use of testing.TB. It is an interface of this package so that programs that start a
// cluster do not link the testing package.
type T interface {
	Helper()
	Name() string
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New starts a master with this number of replicas for a test and stops them at its end; args are as Options.Args.
// If the test failed by then, the tails of the servers' logs are logged.
func New(t T, replicas int, args ...string) *Cluster {
	t.Helper()
	c, err := StartCluster(context.Background(), replicas, Options{Args: args})
	if err != nil {
		t.Fatalf("start a cluster with %d replicas: %v", replicas, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, r := range c.Nodes {
				t.Logf("%s", r.LogTail())
			}
		}
		if err := c.Stop(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	return c
}

// NewRedis starts one redis-server for a test and stops it at its end; args are as Options.Args. If the test failed
// by then, the tail of the server's log is logged.
func NewRedis(t T, args ...string) *Redis {
	t.Helper()
	r, err := StartRedis(context.Background(), Options{Args: args})
	if err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", r.LogTail())
		}
		if err := r.Close(); err != nil {
			t.Errorf("stop redis-server: %v", err)
		}
	})
	return r
}

// NewRelay starts a relay to target for a test and closes it at its end.
func NewRelay(t T, target string) *Relay {
	t.Helper()
	r, err := StartRelay(target)
	if err != nil {
		t.Fatalf("start a relay to %s: %v", target, err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close the relay to %s: %v", target, err)
		}
	})
	return r
}

// NewEnsemble starts a ZooKeeper service of this many servers for a test and stops it at its end. If the test failed
// by then, the tails of the servers' logs are logged.
func NewEnsemble(t T, servers int) *Ensemble {
	t.Helper()
	e, err := StartEnsemble(context.Background(), servers, ZooKeeperOptions{})
	if err != nil {
		t.Fatalf("start %d ZooKeeper servers: %v", servers, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, z := range e.Servers {
				t.Logf("%s", z.LogTail())
			}
		}
		if err := e.Stop(); err != nil {
			t.Errorf("stop ZooKeeper: %v", err)
		}
	})
	return e
}
