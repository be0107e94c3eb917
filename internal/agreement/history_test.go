package agreement

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/topology"
)

// history is what became of the State, read from ZooKeeper itself. It may miss a State that was replaced at once.
type history struct {
	t       testing.TB
	conn    *zk.Conn
	path    string
	closing atomic.Bool

	mu      sync.Mutex
	seen    []sight
	changed chan struct{} // closed when seen grows, and replaced
}

// sight is a State and when it was seen, which is after it was written.
type sight struct {
	at    time.Time
	state *topology.State
}

// noLog swallows what the library logs.
type noLog struct{}

func (noLog) Printf(string, ...any) {}

// watch follows the State until the end of the test.
func (s *system) watch() *history {
	s.t.Helper()
	var dial zk.Dialer
	if s.machines != nil {
		dial = func(network, addr string, limit time.Duration) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			return s.machines.watcher.Dial(ctx, network, addr)
		}
	} else {
		dial = net.DialTimeout
	}
	conn, _, err := zk.Connect(s.ensemble.Hosts(), session, zk.WithLogger(noLog{}), zk.WithDialer(dial))
	if err != nil {
		s.t.Fatal(err)
	}
	h := &history{t: s.t, conn: conn, path: s.chroot + "/" + cluster + "/state", changed: make(chan struct{})}
	var following sync.WaitGroup
	following.Go(h.follow)
	s.t.Cleanup(func() {
		h.closing.Store(true)
		conn.Close()
		following.Wait()
	})
	h.await("the State", 0, func(*topology.State) bool { return true })
	return h
}

func (h *history) follow() {
	for {
		data, _, changed, err := h.conn.GetW(h.path)
		if h.closing.Load() {
			return
		}
		if errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrSessionExpired) || errors.Is(err, zk.ErrNoServer) {
			continue // the library finds another server; each attempt waits for that
		}
		if err != nil {
			h.t.Errorf("read %s: %v", h.path, err)
			return
		}
		state, err := topology.Decode(data)
		if err != nil {
			h.t.Error(err)
			return
		}
		h.mu.Lock()
		h.seen = append(h.seen, sight{time.Now(), state})
		close(h.changed)
		h.changed = make(chan struct{})
		h.mu.Unlock()
		<-changed
	}
}

// since returns what was seen from the n-th sight on, and a channel that is closed when there is more.
func (h *history) since(n int) ([]sight, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[n:len(h.seen):len(h.seen)], h.changed
}

func (h *history) length() int {
	seen, _ := h.since(0)
	return len(seen)
}

// await returns the first State from the n-th sight on for which cond holds, as soon as there is one.
func (h *history) await(what string, n int, cond func(*topology.State) bool) sight {
	h.t.Helper()
	limit := time.After(15 * time.Second)
	for {
		seen, more := h.since(n)
		for _, s := range seen {
			if cond(s.state) {
				return s
			}
		}
		select {
		case <-more:
		case <-limit:
			h.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// read returns the State as it is now, and not as a server that lags behind has it.
func (h *history) read() *topology.State {
	h.t.Helper()
	if _, err := h.conn.Sync(h.path); err != nil {
		h.t.Fatal(err)
	}
	data, _, err := h.conn.Get(h.path)
	must(h.t, err)
	state, err := topology.Decode(data)
	must(h.t, err)
	return state
}
