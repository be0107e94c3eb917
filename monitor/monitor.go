package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/understudy/understudy/topology"
)

// Coordinator is the part of topology.Coordinator that the monitor uses.
type Coordinator interface {
	Snapshot() topology.Snapshot
	Watch(f func(topology.Snapshot)) (stop func())
	Publish(ctx context.Context, view []topology.NodeView) error
	Members(ctx context.Context) ([]topology.Member, error)
	MembersChanged() <-chan struct{}
	Leading() bool
	Shared() bool
	Update(ctx context.Context, version int64, next *topology.State) error
	Suspicions() <-chan struct{}
	TakeSuspicions() []string
	Requests() []topology.Request
	WatchRequests(f func([]topology.Request)) (stop func())
	Answer(ctx context.Context, id string, answer topology.Answer, text string) error
	Raise(ctx context.Context, texts []string) error
}

// ErrRunning is returned by Run when the Monitor runs or has run.
var ErrRunning = errors.New("monitor: it runs, or has run, already")

// Monitor watches the nodes of one cluster for one member. Make one with New, and Run it once.
type Monitor struct {
	cfg    Config
	coord  Coordinator
	log    *slog.Logger
	status atomic.Pointer[Status]

	mu  sync.Mutex
	ran bool
}

// New returns a Monitor for the nodes of cfg, which must be valid.
func New(cfg Config, coord Coordinator, log *slog.Logger) (*Monitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	m := &Monitor{cfg: cfg, coord: coord, log: log}
	m.status.Store(&Status{})
	return m, nil
}

// Status returns what the monitor last knew, which nobody may change. It may be called at any time.
func (m *Monitor) Status() *Status { return m.status.Load() }

// Bootstrap makes the first State of a cluster from what Discover finds, if this member leads and there is no State
// yet. It returns Discover's error when the nodes do not show plainly who is master, and MayFound's when they are those of
// another cluster. Run does it too; a program calls it first in order to refuse to start.
func (m *Monitor) Bootstrap(ctx context.Context) error {
	before := m.coord.Snapshot()
	if before.State != nil {
		if !slices.ContainsFunc(m.cfg.Nodes, func(addr string) bool { return mentions(before.State, addr) }) {
			m.log.Warn("none of the configured nodes is in the recorded state, which is followed all the same",
				"nodes", m.cfg.Nodes, "master", before.State.Master.Addr)
		}
		return nil
	}
	if !m.coord.Leading() {
		return nil
	}
	if m.coord.Shared() {
		if err := MayFound(ctx, m.cfg); err != nil {
			return fmt.Errorf("monitor: there is no state of this cluster yet, and %w", err)
		}
	}
	found, err := Discover(ctx, m.cfg.Nodes, m.cfg)
	if err != nil {
		return err
	}
	first := found.State(m.cfg)
	err = m.coord.Update(ctx, before.Version, first)
	switch {
	case errors.Is(err, topology.ErrStale), errors.Is(err, topology.ErrNotLeader):
		return nil // somebody else was faster; theirs is the State
	case err != nil:
		return fmt.Errorf("monitor: record the first state: %w", err)
	}
	m.log.Info("cluster discovered", "epoch", first.Epoch, "master", first.Master.Addr, "replicas", len(first.Replicas),
		"unavailable", len(first.Unavailable))
	return nil
}

// mentions reports whether a State has a node with that address, whoever uses it.
func mentions(s *topology.State, addr string) bool {
	return slices.ContainsFunc(nodesOf(s), func(n topology.Node) bool { return n.Addr == addr || n.Announced == addr })
}

// Run watches until ctx ends, and returns nil then, when nothing of the monitor runs any more. It returns an error
// at once if Bootstrap does, and ErrRunning when called twice.
func (m *Monitor) Run(ctx context.Context) error {
	m.mu.Lock()
	ran := m.ran
	m.ran = true
	m.mu.Unlock()
	if ran {
		return ErrRunning
	}
	if err := m.Bootstrap(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := newLoop(ctx, m)
	defer l.close()
	defer cancel()
	l.run(ctx)
	return nil
}
