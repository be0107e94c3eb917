package agreement

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// machines are the hosts of a system whose every process has one of its own, on a network that can be cut. Clients are
// on the host of their member, as in a pod.
type machines struct {
	t       testing.TB
	network *testcluster.Network
	all     []*testcluster.Host
	hosts   map[any]*testcluster.Host // by *member, *testcluster.Redis, *testcluster.ZooKeeper
	watcher *testcluster.Host         // of the test itself, never cut off
}

// newMachines makes a network without hosts. The test is skipped where that is not possible.
func newMachines(t testing.TB) *machines {
	t.Helper()
	network, err := testcluster.StartNetwork()
	if errors.Is(err, testcluster.ErrNoNetwork) {
		t.Skipf("this needs a network that can be cut: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, network.Close()) })
	m := &machines{t: t, network: network, hosts: map[any]*testcluster.Host{}}
	m.watcher = m.add()
	return m
}

func (m *machines) add() *testcluster.Host {
	m.t.Helper()
	h, err := m.network.Host()
	must(m.t, err)
	m.all = append(m.all, h)
	return h
}

// cluster starts a master and two replicas.
func (m *machines) cluster() *testcluster.Cluster {
	m.t.Helper()
	c := &testcluster.Cluster{}
	m.t.Cleanup(func() {
		for _, n := range c.Nodes {
			if m.t.Failed() {
				m.t.Logf("%s", n.LogTail())
			}
			must(m.t, n.Close())
		}
	})
	for range 3 {
		o := testcluster.Options{Host: m.add()}
		if len(c.Nodes) > 0 {
			host, port, err := net.SplitHostPort(c.Nodes[0].Addr)
			must(m.t, err)
			o.Args = []string{"--replicaof", host, port}
		}
		n, err := testcluster.StartRedis(context.Background(), o)
		must(m.t, err)
		c.Nodes = append(c.Nodes, n)
		m.hosts[n] = o.Host
		must(m.t, c.WaitInSync(m.t.Context()))
	}
	return c
}

// ensemble starts three ZooKeeper servers; a tick of 0 is a short one.
func (m *machines) ensemble(tick time.Duration) *testcluster.Ensemble {
	m.t.Helper()
	hosts := []*testcluster.Host{m.add(), m.add(), m.add()}
	e, err := testcluster.StartEnsemble(context.Background(), len(hosts), testcluster.ZooKeeperOptions{Hosts: hosts, Tick: tick})
	must(m.t, err)
	m.t.Cleanup(func() {
		for _, z := range e.Servers {
			if m.t.Failed() {
				m.t.Logf("%s", z.LogTail())
			}
		}
		must(m.t, e.Stop())
	})
	for i, z := range e.Servers {
		m.hosts[z] = hosts[i]
	}
	return e
}

// of are the hosts of these parties.
func of[P any](m *machines, parties ...P) []*testcluster.Host {
	m.t.Helper()
	var hosts []*testcluster.Host
	for _, p := range parties {
		h := m.hosts[p]
		if h == nil {
			m.t.Fatalf("%v has no host", p)
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// rest are all hosts but these, and the test's own.
func (m *machines) rest(hosts []*testcluster.Host) []*testcluster.Host {
	return slices.DeleteFunc(slices.Clone(m.all), func(h *testcluster.Host) bool { return h == m.watcher || slices.Contains(hosts, h) })
}

// cut cuts one group of hosts from another until heal is called.
func (m *machines) cut(a, b []*testcluster.Host) (heal func()) {
	m.t.Helper()
	must(m.t, m.network.Cut(a, b))
	return func() {
		m.t.Helper()
		must(m.t, m.network.Heal(a, b))
	}
}

// place is an address on a host of a network, or on this machine, for a server of this test.
func place(t testing.TB, h *testcluster.Host) string {
	t.Helper()
	addr := reserve(t)
	if h == nil {
		return addr
	}
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	return net.JoinHostPort(h.IP, port)
}
