package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

// noAdmin answers for a proxy that nobody asks about itself.
type noAdmin struct{}

func (noAdmin) Info() string                                         { return "" }
func (noAdmin) Changes([][]byte) bool                                { return false }
func (noAdmin) Promise([][]byte) []byte                              { return nil }
func (noAdmin) Proxy(_ [][]byte, _ int, _ string, done func([]byte)) { done([]byte("+OK\r\n")) }

// BenchmarkProxy drives a proxy in this process over loopback. One operation is one pipeline: its requests are sent
// with one write and their replies awaited. The client allocates nothing, so whatever is allocated is the proxy's.
func BenchmarkProxy(b *testing.B) {
	addr := startProxy(b)
	for _, traffic := range pipelines() {
		b.Run(traffic.name, func(b *testing.B) {
			c := newPipeline(b, addr, traffic)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			for range b.N {
				c.exchange(b)
			}
			b.StopTimer()
			runtime.ReadMemStats(&after)
			requests := float64(b.N * traffic.requests)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/requests, "allocated-B/req")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/requests, "allocs/req")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/requests, "ns/req")
		})
	}
}

func TestTheProxyAllocatesNothingPerRequestInSteadyState(t *testing.T) {
	addr := startProxy(t)
	for _, traffic := range pipelines() {
		t.Run(traffic.name, func(t *testing.T) {
			c := newPipeline(t, addr, traffic)
			// What happens now and then allocates as well: the tending of connections, the refresh of the command table, the
			// runtime's own work. The slower the machine, the more of it falls to each request, but it does not fall into every
			// short window. What requests allocate does.
			const windows, exchanges = 100, 50
			counts := make([]uint64, windows)
			var before, after runtime.MemStats
			for i := range counts {
				runtime.ReadMemStats(&before)
				for range exchanges {
					c.exchange(t)
				}
				runtime.ReadMemStats(&after)
				counts[i] = after.Mallocs - before.Mallocs
			}
			if least := slices.Min(counts); least > 0 {
				t.Errorf("%d allocations in %d requests at least; in all windows: %d", least, exchanges*traffic.requests, counts)
			}
		})
	}
}

// traffic is one pipeline of requests, and the reply to each.
type traffic struct {
	name     string
	requests int
	request  []string
	reply    string
}

func pipelines() []traffic {
	value := strings.Repeat("x", smallValue)
	return []traffic{
		{"GET", 1, []string{"GET", "k"}, "$3\r\n" + value + "\r\n"},
		{"GET-P16", 16, []string{"GET", "k"}, "$3\r\n" + value + "\r\n"},
		{"SET", 1, []string{"SET", "k", value}, "+OK\r\n"},
		{"SET-P16", 16, []string{"SET", "k", value}, "+OK\r\n"},
	}
}

// pipeline is a client that sends the same pipeline again and again.
type pipeline struct {
	conn     net.Conn
	requests []byte
	want     []byte
	replies  []byte
}

// newPipeline connects, and exchanges so many pipelines that what is kept for a connection is there.
func newPipeline(t testing.TB, addr string, traffic traffic) *pipeline {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &pipeline{conn: conn}
	for range traffic.requests {
		p.requests = resp.AppendRequestStrings(p.requests, traffic.request...)
		p.want = append(p.want, traffic.reply...)
	}
	p.replies = make([]byte, len(p.want))
	for range 200 {
		p.exchange(t)
	}
	return p
}

// exchange sends the requests and checks the replies.
func (p *pipeline) exchange(t testing.TB) {
	if _, err := p.conn.Write(p.requests); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.conn, p.replies); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.replies, p.want) {
		t.Fatalf("replies %q, want %q", p.replies, p.want)
	}
}

// startProxy runs a proxy in this process, in front of a master with two replicas that hold the key which the
// pipelines use.
func startProxy(t testing.TB) (addr string) {
	t.Helper()
	cluster := testcluster.New(t, replicas)
	if _, err := cluster.Nodes[0].Do("SET", "k", strings.Repeat("x", smallValue)); err != nil {
		t.Fatal(err)
	}
	if err := cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	coordinator, err := topology.OpenLocal(topology.LocalConfig{Cluster: "bench", ID: "bench"})
	if err != nil {
		t.Fatal(err)
	}
	state := &topology.State{Format: topology.Format, Cluster: "bench", Epoch: 1, Phase: topology.Stable,
		Master: topology.Node{Addr: cluster.Nodes[0].Addr}}
	for _, addr := range slices.Sorted(slices.Values(cluster.Addrs()[1:])) {
		state.Replicas = append(state.Replicas, topology.Replica{Node: topology.Node{Addr: addr}, Health: topology.Online, Priority: 100})
	}
	if err := coordinator.Update(t.Context(), 0, state); err != nil {
		t.Fatal(err)
	}
	cfg := proxy.Defaults()
	cfg.Listen = []proxy.Listen{{Network: "tcp", Addr: "127.0.0.1:0"}}
	p, err := proxy.New(cfg, coordinator, noAdmin{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := coordinator.Close(); err != nil {
			t.Error(err)
		}
	})
	return p.Addrs()[0].String()
}
