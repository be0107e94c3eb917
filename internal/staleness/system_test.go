package staleness

import (
	"cmp"
	"context"
	"flag"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// reads is how many reads each part of a test makes.
var reads = flag.Int("reads", 5000, "reads that are checked, for each delay")

// fixedAdmin answers for a proxy whose admin commands are not the subject.
type fixedAdmin struct{}

func (fixedAdmin) Info() string                                         { return "" }
func (fixedAdmin) Changes([][]byte) bool                                { return false }
func (fixedAdmin) Promise([][]byte) []byte                              { return nil }
func (fixedAdmin) Proxy(_ [][]byte, _ int, _ string, done func([]byte)) { done([]byte("+OK\r\n")) }

// nodes is a master and replicas that get everything later by a delay.
type nodes struct {
	master   *testcluster.Redis
	replicas []*testcluster.Redis
	relays   []*testcluster.Relay
}

func startNodes(t testing.TB, replicas int, delay time.Duration) *nodes {
	t.Helper()
	n := &nodes{master: testcluster.NewRedis(t)}
	for range replicas {
		relay := testcluster.NewRelay(t, n.master.Addr)
		host, port, err := net.SplitHostPort(relay.Addr)
		if err != nil {
			t.Fatal(err)
		}
		r := testcluster.NewRedis(t, "--replicaof", host, port)
		testcluster.WaitFor(t, "a replica that is in sync", func() bool {
			info, err := r.Info("replication")
			return err == nil && info["master_link_status"] == "up"
		})
		relay.Delay(testcluster.Downward, delay)
		n.replicas, n.relays = append(n.replicas, r), append(n.relays, relay)
	}
	return n
}

// member is one proxy.
type member struct {
	proxy *proxy.Proxy
	meter *proxy.Meter
	pool  *redis.Pool

	counted uint64 // reads, when traffic looked last
}

// startMember starts a proxy in front of the nodes, under a State that stays.
func startMember(t testing.TB, n *nodes, policy session.Policy, loops int) *member {
	t.Helper()
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	state := &topology.State{Format: topology.Format, Cluster: "test", Epoch: 1, Phase: topology.Stable, Master: topology.Node{Addr: n.master.Addr}}
	for _, r := range n.replicas {
		state.Replicas = append(state.Replicas, topology.Replica{Node: topology.Node{Addr: r.Addr}, Health: topology.Online, Priority: 100})
	}
	slices.SortFunc(state.Replicas, func(a, b topology.Replica) int { return cmp.Compare(a.Addr, b.Addr) })
	if err := coord.Update(t.Context(), 0, state); err != nil {
		t.Fatal(err)
	}
	cfg := proxy.Defaults()
	cfg.Listen = []proxy.Listen{{Network: "tcp", Addr: "127.0.0.1:0"}}
	cfg.Consistency, cfg.Loops = policy, loops
	p, err := proxy.New(cfg, coord, fixedAdmin{}, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	m := &member{proxy: p, meter: proxy.NewMeter(p)}
	addr := p.Addrs()[0].String()
	m.pool = &redis.Pool{MaxIdle: 64, MaxActive: 64, Wait: true, Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", addr, redis.DialReadTimeout(time.Minute), redis.DialConnectTimeout(30*time.Second))
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		m.pool.Close()
		cancel()
		running.Wait()
		if err := coord.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// traffic returns what the proxy counts, once it has counted so many reads more than the last time.
func (m *member) traffic(t testing.TB, reads int64) session.Stats {
	t.Helper()
	m.counted += uint64(reads)
	var now session.Stats
	testcluster.WaitFor(t, "every read to be counted", func() bool {
		now = m.meter.Traffic().Sessions
		return now.Reads+now.MasterReads() >= m.counted
	})
	return now
}

// TestMain makes room for the event loops of three proxies, each of which keeps a processor while it waits.
func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 6))
	os.Exit(m.Run())
}
