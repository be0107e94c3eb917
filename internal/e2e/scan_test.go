package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/topology"
)

// lasting is how many elements of each collection are there all the time.
const lasting = 4000

// iteration is what is iterated over: the command with its key, and how many items of a reply are one element.
type iteration struct {
	command string
	args    []any
	stride  int
}

var iterations = []iteration{
	{"SCAN", nil, 1},
	{"HSCAN", []any{"hash"}, 2},
	{"SSCAN", []any{"set"}, 1},
	{"ZSCAN", []any{"zset"}, 2},
}

// fill makes the collections, and waits until every node has them.
func (s *system) fill() {
	s.t.Helper()
	c := s.dial()
	for i := range lasting {
		e := fmt.Sprintf("lasting:%d", i)
		for _, cmd := range [][]any{{"SET", e, i}, {"HSET", "hash", e, i}, {"SADD", "set", e}, {"ZADD", "zset", i, e}} {
			must(s.t, c.Send(cmd[0].(string), cmd[1:]...))
		}
	}
	must(s.t, c.Flush())
	for range 4 * lasting {
		_, err := c.Receive()
		must(s.t, err)
	}
	must(s.t, s.cluster.WaitInSync(s.t.Context()))
}

// another starts a second proxy that routes under the same State, as another member does, and returns its address.
func (s *system) another() string {
	s.t.Helper()
	cfg := proxy.Defaults()
	cfg.Listen = []proxy.Listen{{Network: "tcp", Addr: "127.0.0.1:0"}}
	cfg.ClientName, cfg.Loops = "understudy:test:b", 2
	answers := admin.New(admin.Identity{Cluster: "test", ID: "b"}, s.coord, noReport{})
	p, err := proxy.New(cfg, s.coord, answers, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(func() {
		cancel()
		running.Wait()
		answers.Close()
	})
	return p.Addrs()[0].String()
}

// walker goes through one collection after the other.
type walker struct {
	conns  []redis.Conn // each step takes any of them
	found  map[string]bool
	cursor string
}

// step asks for more.
func (w *walker) step(it iteration) error {
	args := append(append([]any{}, it.args...), w.cursor, "COUNT", 50)
	reply, err := redis.Values(w.conns[rand.IntN(len(w.conns))].Do(it.command, args...))
	if err != nil {
		return err
	}
	items, err := redis.Strings(reply[1], nil)
	if err != nil {
		return err
	}
	w.cursor = string(reply[0].([]byte))
	for i := 0; i < len(items); i += it.stride {
		w.found[items[i]] = true
	}
	return nil
}

// begin takes some steps from the beginning.
func (w *walker) begin(it iteration, steps int) error {
	w.found, w.cursor = map[string]bool{}, "0"
	for range steps {
		if err := w.step(it); err != nil {
			return err
		}
		if w.cursor == "0" {
			return errors.New("it was over before it was to be")
		}
	}
	return nil
}

// finish goes on to the end and returns how many of the lasting elements were not returned.
func (w *walker) finish(it iteration) (missing int, err error) {
	for ok := true; ok; ok = w.cursor != "0" {
		if err := w.step(it); err != nil {
			return 0, err
		}
	}
	for i := range lasting {
		if !w.found[fmt.Sprintf("lasting:%d", i)] {
			missing++
		}
	}
	return missing, nil
}

// run is the number of the run that a cursor belongs to.
func (w *walker) run(t *testing.T) uint32 {
	t.Helper()
	var c uint64
	if _, err := fmt.Sscan(w.cursor, &c); err != nil || c >= 1<<53 {
		t.Fatalf("the cursor is %q (%v)", w.cursor, err)
	}
	return uint32(c % (1 << 17))
}

func TestAnIterationOfAReplicaThatIsPromotedIsCompleteAndOneOfTheDeadMasterFailsClearly(t *testing.T) {
	s := start(t, options{replicas: 1})
	s.fill()
	state := s.coord.Snapshot().State
	second, err := redis.Dial("tcp", s.another())
	must(t, err)
	t.Cleanup(func() { second.Close() })
	type begun struct {
		*walker
		iteration
		promoted bool
	}
	var all []begun
	for _, it := range iterations {
		for _, on := range []topology.Node{state.Replicas[0].Node, state.Master} {
			w := &walker{conns: []redis.Conn{s.dial()}}
			policy := "eventual"
			if on.Addr == state.Master.Addr {
				policy = "strong"
			}
			_, err := w.conns[0].Do("PROXY", "READ", policy)
			must(t, err)
			must(t, w.begin(it, 10))
			if w.run(t) != on.Run {
				t.Fatalf("%s began at the run %d instead of %d", it.command, w.run(t), on.Run)
			}
			w.conns = append(w.conns, second)
			all = append(all, begun{w, it, on.Addr != state.Master.Addr})
		}
	}
	must(t, s.master().Kill())
	s.waitMasterAfter(state.Epoch)
	for _, w := range all {
		missing, err := w.finish(w.iteration)
		switch {
		case w.promoted && (err != nil || missing > 0):
			t.Errorf("%s at the replica that was promoted misses %d elements: %v", w.command, missing, err)
		case !w.promoted && (err == nil || !strings.HasPrefix(err.Error(), "ERR invalid cursor: the server that it belongs to is gone")):
			t.Errorf("%s at the master that was killed: %v", w.command, err)
		}
	}
}

func TestIterationsThroughPooledConnectionsReturnAllThatStaysOrFailClearly(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.fill()
	other := s.another()
	var stopped atomic.Bool
	var going sync.WaitGroup
	conns := func(n int) (list []redis.Conn) {
		for i := range n {
			c, err := redis.Dial("tcp", []string{s.addr, other}[i%2], redis.DialReadTimeout(time.Minute))
			must(t, err)
			t.Cleanup(func() { c.Close() })
			list = append(list, c)
		}
		return list
	}
	noise := conns(1)[0]
	going.Go(func() { // what comes and goes makes the tables grow and shrink
		for i := 0; !stopped.Load(); i++ {
			e := fmt.Sprintf("passing:%d", i%5000)
			verbs := [][]any{{"SET", e, i}, {"HSET", "hash", e, i}, {"SADD", "set", e}, {"ZADD", "zset", i, e}}
			if i/5000%2 == 1 {
				verbs = [][]any{{"DEL", e}, {"HDEL", "hash", e}, {"SREM", "set", e}, {"ZREM", "zset", e}}
			}
			for _, v := range verbs {
				if _, err := noise.Do(v[0].(string), v[1:]...); err != nil && !isUnknown(err) {
					t.Errorf("%v: %v", v, err)
					return
				}
			}
		}
	})
	var complete, refused atomic.Int64
	for _, it := range iterations {
		w := &walker{conns: conns(6)}
		going.Go(func() {
			for !stopped.Load() {
				err := w.begin(it, 3)
				missing := 0
				if err == nil {
					missing, err = w.finish(it)
				}
				switch {
				case err != nil && strings.HasPrefix(err.Error(), "ERR invalid cursor: "):
					refused.Add(1)
				case err != nil:
					t.Errorf("%s: %v", it.command, err)
					return
				case missing > 0:
					t.Errorf("%s has missed %d elements that were there all the time", it.command, missing)
				default:
					complete.Add(1)
				}
			}
		})
	}
	progress := func() {
		t.Helper()
		for done, until := complete.Load(), time.Now().Add(60*time.Second); complete.Load() < done+8; time.Sleep(time.Millisecond) {
			if t.Failed() || time.Now().After(until) {
				t.Fatalf("%d iterations were completed, and then no more", complete.Load())
			}
		}
	}
	defer going.Wait()
	defer stopped.Store(true)
	progress()
	s.do("FAILOVER") // a switchover
	s.waitReplicas(2)
	progress()
	old, epoch := s.master(), s.epoch()
	must(t, old.Kill())
	s.waitMasterAfter(epoch)
	progress()
	must(t, old.Restart(t.Context()))
	s.waitReplicas(2)
	progress()
	t.Logf("%d iterations were complete, %d were refused", complete.Load(), refused.Load())
}
