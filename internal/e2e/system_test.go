package e2e

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/topology"
)

// noReport stands in for what the monitor reports to the admin commands, which is not the subject.
type noReport struct{}

func (noReport) Report() admin.Report { return admin.Report{} }

// system is one Understudy in front of a cluster of real servers.
type system struct {
	t       testing.TB
	cluster *testcluster.Cluster
	coord   *topology.Local
	monitor *monitor.Monitor
	addr    string
	state   string // the State's file
	stop    func()
}

// options change what start makes.
type options struct {
	replicas int
	args     []string // of the servers
	proxy    func(*proxy.Config)
	monitor  func(*monitor.Config)
}

func start(t testing.TB, o options) *system {
	t.Helper()
	s := &system{t: t, cluster: testcluster.New(t, o.replicas, o.args...), state: filepath.Join(t.TempDir(), "state.json")}
	s.run(o)
	t.Cleanup(func() { s.stop() })
	return s
}

// run starts the proxy and the monitor; stop ends them.
func (s *system) run(o options) {
	t := s.t
	t.Helper()
	log := slog.New(slog.NewTextHandler(logWriter(t), &slog.HandlerOptions{Level: slog.LevelDebug}))
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "a", Path: s.state})
	if err != nil {
		t.Fatal(err)
	}
	s.coord = coord
	mcfg := monitor.Defaults()
	mcfg.Cluster, mcfg.ID, mcfg.Nodes = "test", "a", []string{s.cluster.Nodes[0].Addr}
	if o.monitor != nil {
		o.monitor(&mcfg)
	}
	m, err := monitor.New(mcfg, coord, log)
	if err != nil {
		t.Fatal(err)
	}
	s.monitor = m
	if err := m.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	pcfg := proxy.Defaults()
	pcfg.Listen = []proxy.Listen{{Network: "tcp", Addr: "127.0.0.1:0"}}
	pcfg.ClientName = "understudy:test:a"
	pcfg.HoldTimeout = time.Minute // longer than anything takes on a busy machine
	if o.proxy != nil {
		o.proxy(&pcfg)
	}
	answers := admin.New(admin.Identity{Cluster: "test", ID: "a"}, coord, noReport{})
	p, err := proxy.New(pcfg, coord, answers, log)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = p.Addrs()[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	s.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		answers.Close()
		if err := coord.Close(); err != nil {
			t.Error(err)
		}
	})
	s.waitReplicas(len(s.cluster.Nodes) - 1)
}

// logWriter writes to the test's log, or with UNDERSTUDY_TEST_LOG to that file.
func logWriter(t testing.TB) io.Writer {
	if path := os.Getenv("UNDERSTUDY_TEST_LOG"); path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	return t.Output()
}

// waitReplicas waits until n replicas serve reads under a stable State.
func (s *system) waitReplicas(n int) {
	s.t.Helper()
	testcluster.WaitFor(s.t, "replicas that serve reads", func() bool {
		st := s.coord.Snapshot().State
		online := 0
		for _, r := range st.Replicas {
			if r.Health == topology.Online {
				online++
			}
		}
		return st.Phase == topology.Stable && online >= n
	})
}

// replicasServe waits until replicas answer reads of a key: they are known to have it.
func (s *system) replicasServe(key string) {
	s.t.Helper()
	testcluster.WaitFor(s.t, "replicas that answer reads", func() bool {
		before := calls(s.t, s.master(), "get")
		for range 5 {
			c := s.dial() // one that has seen nothing yet
			if _, err := c.Do("GET", key); err != nil {
				s.t.Fatal(err)
			}
			c.Close()
		}
		return calls(s.t, s.master(), "get") == before
	})
}

// waitMasterAfter waits for a stable State of a later epoch and returns its master.
func (s *system) waitMasterAfter(epoch uint64) *testcluster.Redis {
	s.t.Helper()
	testcluster.WaitFor(s.t, "a new master", func() bool {
		st := s.coord.Snapshot().State
		return st.Phase == topology.Stable && st.Epoch > epoch
	})
	return s.master()
}

func (s *system) master() *testcluster.Redis {
	s.t.Helper()
	return s.node(s.coord.Snapshot().State.Master.Addr)
}

func (s *system) node(addr string) *testcluster.Redis {
	s.t.Helper()
	n := s.cluster.Node(addr)
	if n == nil {
		s.t.Fatalf("%s is no node of the cluster", addr)
	}
	return n
}

func (s *system) epoch() uint64 { return s.coord.Snapshot().State.Epoch }

// dial connects a client that gives up after a minute.
func (s *system) dial() redis.Conn {
	s.t.Helper()
	c, err := redis.Dial("tcp", s.addr, redis.DialReadTimeout(time.Minute), redis.DialConnectTimeout(30*time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// isUnknown reports whether a reply says that the outcome of a write is unknown.
func isUnknown(err error) bool {
	var e redis.Error
	return errors.As(err, &e) && len(e) > 13 && e[:13] == "UNKNOWNRESULT"
}
