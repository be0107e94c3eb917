package monitor

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// judge brings all verdicts up to now and publishes this member's view when it changed.
func (l *loop) judge(now time.Time) {
	var view []topology.NodeView
	unsettled, questioned := now.Sub(l.changedAt) < settleTime, l.questioned()
	for _, addr := range slices.Sorted(maps.Keys(l.records)) {
		r := l.records[addr]
		was := r.vitality.down
		r.vitality.judge(now)
		_, r.node.doubted = r.vitality.doubted()
		r.watcher.restless.Store(unsettled && l.unsettled(addr))
		if was := r.watcher.witness.Swap(questioned); questioned && !was {
			r.watcher.ask()
		}
		if !l.ours(addr) {
			continue // a name that is not known to be a node yet
		}
		if r.vitality.down && !was {
			level := slog.LevelInfo
			if l.essential(addr) {
				level = slog.LevelWarn
			}
			r.lose(now)
			r.err = nil // what it said before says nothing of what it will say when it is back
			l.log.Log(l.ctx, level, "node is down", "node", addr, "reason", r.vitality.reason, "after", now.Sub(r.vitality.since))
		} else if r.node.down && !r.vitality.down {
			l.log.Info("node answers again", "node", addr)
		}
		r.node.down, r.node.lives = r.vitality.down, !r.vitality.down && !r.vitality.life.IsZero()
		if r.vitality.testifies() {
			view = append(view, r.vitality.view(addr))
		}
	}
	if !slices.Equal(view, l.published) && !l.busy["publish"] {
		l.published = view
		l.task("publish", func(ctx context.Context) func() {
			err := l.coord.Publish(ctx, view)
			return func() {
				if err != nil {
					l.published = nil // so that it is tried again
					l.warn("the view of the nodes could not be published", err)
				}
			}
		})
	}
}

// ours reports whether addr is a node that is configured or in the State.
func (l *loop) ours(addr string) bool {
	return slices.Contains(l.cfg.Nodes, addr) || l.snapshot.State != nil && inState(l.snapshot.State, addr)
}

// essential reports whether a node is the master, or the last replica that is not down.
func (l *loop) essential(addr string) bool {
	s := l.snapshot.State
	if s == nil || addr == s.Master.Addr {
		return s != nil
	}
	_, replica := s.Replica(addr)
	return replica && !slices.ContainsFunc(s.Replicas, func(r topology.Replica) bool {
		other := l.records[r.Addr]
		return r.Addr != addr && other != nil && !other.vitality.down
	})
}

// unsettled reports whether a node's part in the State is about to change.
func (l *loop) unsettled(addr string) bool {
	s := l.snapshot.State
	if s == nil || s.Phase != topology.Stable {
		return true
	}
	r, replica := s.Replica(addr)
	return addr != s.Master.Addr && (!replica || r.Health != topology.Online)
}
