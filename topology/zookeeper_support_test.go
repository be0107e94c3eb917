package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/understudy/understudy/internal/testcluster"
)

const (
	testTick    = 200 * time.Millisecond // of testcluster's servers
	testSession = 2 * time.Second
)

var (
	startedShared    atomic.Bool
	chroots          sync.Map // *testing.T -> the number of its chroot: a test may run several times
	testsWithChroots atomic.Int64
)

// sharedZooKeeper returns the address of the shared server with the chroot of this test.
func sharedZooKeeper(t *testing.T) string {
	t.Helper()
	startedShared.Store(true)
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	number, _ := chroots.LoadOrStore(t, testsWithChroots.Add(1))
	return fmt.Sprintf("%s/%s-%d", e.Hosts()[0], strings.ReplaceAll(t.Name(), "/", "-"), number)
}

// memberConfig is the configuration of a member that notices things soon.
func memberConfig(t *testing.T, servers, id string) ZooKeeperConfig {
	return ZooKeeperConfig{
		Servers: servers, Cluster: "shop", ID: id, Addr: "127.0.0.1:1" + id,
		SessionTimeout: testSession, Heartbeat: 150 * time.Millisecond, Tick: testTick,
		Log: testLog(t, id),
	}
}

// testLog logs to the test as long as it runs.
func testLog(t *testing.T, id string) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.t = nil
	})
	options := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format("05.000"))
		}
		return a
	}}
	return slog.New(slog.NewTextHandler(w, options)).With("member", id)
}

type testWriter struct {
	mu sync.Mutex
	t  *testing.T
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Logf("%s", bytes.TrimSpace(b))
	}
	return len(b), nil
}

// open joins a cluster and leaves it at the end of the test.
func open(t *testing.T, cfg ZooKeeperConfig) *ZooKeeper {
	t.Helper()
	z, err := OpenZooKeeper(t.Context(), cfg)
	if err != nil {
		t.Fatalf("member %s: %v", cfg.ID, err)
	}
	t.Cleanup(func() {
		if err := z.Close(); err != nil {
			t.Errorf("close member %s: %v", cfg.ID, err)
		}
	})
	return z
}

// update replaces the State that c knows by next, and fails the test if it cannot.
func update(t *testing.T, c Coordinator, next *State) {
	t.Helper()
	if err := c.Update(t.Context(), c.Snapshot().Version, next); err != nil {
		t.Fatalf("update to epoch %d %s: %v", next.Epoch, next.Phase, err)
	}
}

// permitted reports whether c may write now under the State that it knows.
func permitted(c Coordinator) bool {
	s := c.Snapshot().State
	return s != nil && c.Grant().Permits(s.Epoch, time.Now())
}

// awaitGrant waits until c may write under a State of that epoch.
func awaitGrant(t *testing.T, c Coordinator, epoch uint64) {
	t.Helper()
	testcluster.WaitFor(t, "the grant", func() bool { return c.Grant().Permits(epoch, time.Now()) })
}

// leaderOf waits until one of these members leads, and returns it and its index. Two that do at once fail the test.
func leaderOf(t *testing.T, members ...*ZooKeeper) (leader *ZooKeeper, index int) {
	t.Helper()
	testcluster.WaitFor(t, "a leader", func() bool {
		leader = nil
		for i, z := range members {
			if z != nil && z.Leading() {
				if leader != nil {
					t.Fatal("two members lead")
				}
				leader, index = z, i
			}
		}
		return leader != nil
	})
	return leader, index
}

// ids lists who is present as c sees it.
func ids(t *testing.T, c Coordinator) string {
	t.Helper()
	members, err := c.Members(t.Context())
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, m := range members {
		names = append(names, m.ID)
	}
	return strings.Join(names, " ")
}

// operator is a plain client that changes things behind the members' backs.
func operator(t *testing.T, servers string) (c *zk.Conn, root string) {
	t.Helper()
	hosts, root, err := ParseZooKeeper(servers)
	if err != nil {
		t.Fatal(err)
	}
	c, events, err := zk.Connect(hosts, 4*time.Second, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for range events {
		}
	})
	if root == "" {
		root = defaultRoot
	}
	return c, root
}

// wipe deletes a znode with all below it, also what members make there meanwhile.
func wipe(t *testing.T, c *zk.Conn, path string) {
	t.Helper()
	var once func(path string)
	once = func(path string) {
		names, _, err := c.Children(path)
		if err != nil && err != zk.ErrNoNode {
			t.Fatal(err)
		}
		for _, name := range names {
			once(path + "/" + name)
		}
		if err := c.Delete(path, -1); err != nil && err != zk.ErrNoNode && err != zk.ErrNotEmpty {
			t.Fatal(err)
		}
	}
	testcluster.WaitFor(t, path+" to be gone", func() bool {
		once(path)
		there, _, err := c.Exists(path)
		return err == nil && !there
	})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// refusedWith opens a member that must be refused with an error like this one, whose sentence has all these parts.
func refusedWith(t *testing.T, cfg ZooKeeperConfig, is error, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	z, err := OpenZooKeeper(ctx, cfg)
	if err == nil {
		z.Close()
		t.Fatalf("it was not refused, but should have been with %v", is)
	}
	if !errors.Is(err, is) {
		t.Errorf("error %q is not %q", err, is)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q is more than one sentence", err)
	}
	t.Logf("refused: %v", err)
}

// wires are the ways of one member to all servers, each through a relay.
type wires []*testcluster.Relay

// wire makes ways to these servers, given as host:port[,...][/chroot], and returns the addresses at their ends.
func wire(t *testing.T, servers string) (string, wires) {
	t.Helper()
	hosts, root, err := ParseZooKeeper(servers)
	if err != nil {
		t.Fatal(err)
	}
	var w wires
	var ends []string
	for _, host := range hosts {
		r := testcluster.NewRelay(t, host)
		w = append(w, r)
		ends = append(ends, r.Addr)
	}
	return strings.Join(ends, ",") + root, w
}

func (w wires) each(f func(*testcluster.Relay)) {
	for _, r := range w {
		f(r)
	}
}

func (w wires) cut()    { w.each((*testcluster.Relay).Cut) }
func (w wires) heal()   { w.each((*testcluster.Relay).Heal) }
func (w wires) freeze() { w.each(func(r *testcluster.Relay) { r.Freeze(testcluster.BothWays) }) }

// moment is when something was first seen.
type moment struct{ atomic.Pointer[time.Time] }

func (m *moment) mark()           { now := time.Now(); m.CompareAndSwap(nil, &now) }
func (m *moment) seen() bool      { return m.Load() != nil }
func (m *moment) time() time.Time { return *m.Load() }

// sample calls f as often as the machine allows until the test ends or stop is called, which waits for the last call.
func sample(t *testing.T, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			f()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// stable returns example in another epoch.
func stable(epoch uint64) *State {
	s := example()
	s.Epoch = epoch
	return s
}
