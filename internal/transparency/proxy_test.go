package transparency

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// fixedAdmin answers for a proxy whose admin commands are not the subject.
type fixedAdmin struct{}

func (fixedAdmin) Info() string                                         { return "# Understudy\r\ntest:1\r\n" }
func (fixedAdmin) Changes([][]byte) bool                                { return false }
func (fixedAdmin) Promise([][]byte) []byte                              { return nil }
func (fixedAdmin) Proxy(_ [][]byte, _ int, _ string, done func([]byte)) { done([]byte("+OK\r\n")) }

// front is a proxy in front of a cluster, under a State that the test writes.
type front struct {
	runs    []string // addresses by the number of the run, less one
	t       testing.TB
	cluster *testcluster.Cluster
	coord   *topology.Local
	proxy   *proxy.Proxy
	addr    string // of the first listener
	stop    func() // as SIGTERM does; returns when the proxy has ended
}

// newFront starts a proxy whose State says what the cluster is: its first node is the master. change, if not nil,
// edits the configuration.
func newFront(t testing.TB, cluster *testcluster.Cluster, change func(*proxy.Config)) *front {
	t.Helper()
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, cluster: cluster, coord: coord}
	f.publish(&topology.State{Epoch: 1, Phase: topology.Stable}, cluster.Nodes[0], cluster.Nodes[1:]...)
	cfg := proxy.Defaults()
	cfg.Listen = []proxy.Listen{{Network: "tcp", Addr: "127.0.0.1:0"}}
	if change != nil {
		change(&cfg)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if f.proxy, err = proxy.New(cfg, coord, fixedAdmin{}, log); err != nil {
		t.Fatal(err)
	}
	f.addr = f.proxy.Addrs()[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.proxy.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := coord.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.stop)
	return f
}

// publish replaces the State by s with this master and these replicas, all online.
func (f *front) publish(s *topology.State, master *testcluster.Redis, replicas ...*testcluster.Redis) {
	f.t.Helper()
	s.Format, s.Cluster, s.Master = topology.Format, "test", topology.Node{Addr: master.Addr, Run: f.run(master)}
	for _, r := range replicas {
		s.Replicas = append(s.Replicas, topology.Replica{Node: topology.Node{Addr: r.Addr, Run: f.run(r)}, Health: topology.Online, Priority: 100})
	}
	slices.SortFunc(s.Replicas, func(a, b topology.Replica) int { return cmp.Compare(a.Addr, b.Addr) })
	if err := f.coord.Update(context.Background(), f.coord.Snapshot().Version, s); err != nil {
		f.t.Fatal(err)
	}
}

// run is the number of a node's run: no node is restarted.
func (f *front) run(node *testcluster.Redis) uint32 {
	if !slices.Contains(f.runs, node.Addr) {
		f.runs = append(f.runs, node.Addr)
	}
	return uint32(1 + slices.Index(f.runs, node.Addr))
}

// master is the node that was master in the beginning.
func (f *front) master() *testcluster.Redis { return f.cluster.Nodes[0] }

// connectionsToMaster is how many the master has received since it began.
func (f *front) connectionsToMaster() int {
	f.t.Helper()
	info, err := f.master().Info("stats")
	if err != nil {
		f.t.Fatal(err)
	}
	n, err := strconv.Atoi(info["total_connections_received"])
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// dial connects a client to the proxy.
func (f *front) dial() *client { return dial(f.t, "tcp", f.addr) }

// must fails the test if a command on a node does.
func must(t testing.TB, node *testcluster.Redis, args ...any) any {
	t.Helper()
	reply, err := node.Do(args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// dialNet opens a connection that is closed at the end of the test.
func dialNet(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
