package monitor

import (
	"maps"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// identify draws the conclusions about which address is which node from what the node at addr said. A server is known
// by its run_id: two addresses where the same run answers are one node.
func (l *loop) identify(addr string, n info) {
	for other, r := range l.records {
		if other != addr && n.RunID != "" && r.node.RunID == n.RunID && r.known() && !r.vitality.down {
			keep, drop := l.prefer(addr, other)
			l.log.Info("two addresses are one node", "node", keep, "alias", drop)
			l.tasks.Go(l.records[drop].watcher.close)
			l.term.forget(drop)
			delete(l.records, drop)
			l.aliases[drop] = keep
			for alias, to := range l.aliases {
				if to == drop {
					l.aliases[alias] = keep
				}
			}
			if drop == addr {
				return
			}
		}
	}
	s := l.snapshot.State
	if s == nil {
		return
	}
	// Replicas that the master lists belong here; and so does the master of a node that does.
	switch _, ours := s.Node(addr); {
	case n.Role == roleMaster && addr == s.Master.Addr:
		for _, named := range n.Replicas {
			l.named(named)
		}
	case n.Role == roleReplica && ours && n.Master != "":
		l.named(n.Master)
	}
}

// named takes note of an address by which nodes know another node. One that is new is watched, which will show whether
// it is a node of its own or another name of one.
func (l *loop) named(host string) {
	addr := l.cfg.reachable(host)
	if known, ok := l.aliases[addr]; ok {
		addr = known
	}
	if addr != host && l.records[addr] != nil {
		l.aliases[host] = addr
	}
	l.watch(addr)
	if r := l.records[addr]; r != nil {
		r.named = time.Now()
	}
	if _, ok := l.announced[addr]; ok {
		return // the first name stays, so that State does not change with every node that is asked
	}
	switch {
	case addr == host:
		l.announced[addr] = "" // others reach it as we do
	case !loopback(host) || loopback(addr):
		l.announced[addr] = host
	}
}

// prefer orders two addresses of one node: the one that State uses, else the one that was configured, else the older.
func (l *loop) prefer(a, b string) (keep, drop string) {
	rank := func(addr string) int {
		s := l.snapshot.State
		if s != nil && s.Master.Addr == addr {
			return 3
		}
		if s != nil && inState(s, addr) {
			return 2
		}
		if slices.Contains(l.cfg.Nodes, addr) {
			return 1
		}
		return 0
	}
	if rank(a) > rank(b) {
		return a, b
	}
	return b, a
}

// spelled returns the address by which the node at addr is watched.
func (l *loop) spelled(addr string) string {
	if known, ok := l.aliases[addr]; ok {
		return known
	}
	return addr
}

// nameLasts is how long a name that other nodes use is watched after it was last used.
const nameLasts = time.Minute

// prune stops watching addresses that belong to no node of ours (any more).
func (l *loop) prune(now time.Time) {
	for addr, r := range l.records {
		if l.ours(addr) || now.Sub(r.named) < nameLasts || now.Sub(r.since) < nameLasts {
			continue
		}
		l.tasks.Go(r.watcher.close)
		l.term.forget(addr)
		delete(l.records, addr)
		delete(l.announced, addr)
		maps.DeleteFunc(l.aliases, func(_, to string) bool { return to == addr })
	}
}

func inState(s *topology.State, addr string) bool {
	_, ok := s.Node(addr)
	return ok
}
