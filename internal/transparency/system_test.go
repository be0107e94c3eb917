package transparency

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// system is a proxy with a monitor that fails over, in front of a cluster.
type system struct {
	t       *testing.T
	cluster *testcluster.Cluster
	coord   *topology.Local
	addr    string
}

func newSystem(t *testing.T, replicas int) *system {
	t.Helper()
	return systemOptions{}.start(t, replicas)
}

// systemOptions are how a system differs from the ordinary one.
type systemOptions struct {
	addr string   // that the proxy listens on; "": any
	acks int      // replicas that must have a write before it is answered
	args []string // of the servers
}

func (o systemOptions) start(t *testing.T, replicas int) *system {
	t.Helper()
	s := &system{t: t, cluster: testcluster.New(t, replicas, o.args...)}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if s.coord, err = topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "a"}); err != nil {
		t.Fatal(err)
	}
	mcfg := monitor.Defaults()
	mcfg.Cluster, mcfg.ID, mcfg.Nodes, mcfg.WriteAcks = "test", "a", []string{s.cluster.Nodes[0].Addr}, o.acks
	m, err := monitor.New(mcfg, s.coord, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	pcfg := proxy.Defaults()
	pcfg.Listen = []proxy.Listen{{Network: "tcp", Addr: cmp.Or(o.addr, "127.0.0.1:0")}}
	pcfg.ClientName, pcfg.WriteAcks = "understudy:test:a", o.acks
	p, err := proxy.New(pcfg, s.coord, fixedAdmin{}, log)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = p.Addrs()[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{m.Run, p.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := s.coord.Close(); err != nil {
			t.Error(err)
		}
	})
	testcluster.WaitFor(t, "replicas that serve reads", func() bool {
		st, online := s.coord.Snapshot().State, 0
		for _, r := range st.Replicas {
			if r.Health == topology.Online {
				online++
			}
		}
		return st.Phase == topology.Stable && online == replicas
	})
	return s
}

// killMaster kills the present master and waits until there is another.
func (s *system) killMaster() {
	s.t.Helper()
	st := s.coord.Snapshot().State
	if err := s.cluster.Node(st.Master.Addr).Kill(); err != nil {
		s.t.Fatal(err)
	}
	testcluster.WaitFor(s.t, "a new master", func() bool {
		now := s.coord.Snapshot().State
		return now.Phase == topology.Stable && now.Epoch > st.Epoch
	})
}

// sync waits until the replicas have what the master has: what one connection writes, another may read only then.
func (s *system) sync() {
	s.t.Helper()
	if err := s.cluster.WaitInSync(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}
