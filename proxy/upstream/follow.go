package upstream

import (
	"maps"
	"time"

	"github.com/understudy/understudy/topology"
)

// Refresh takes in the coordinator's State if it is newer than the one that the loop routes under. That ends connections, so it
// is done only where nobody holds one: in a task of the loop's own, which the coordinator has posted for every State, and before
// what has arrived on a connection to a node is looked at. In the middle of a session's work it is not done. Whoever asks for a
// connection there while there is a newer State gets none, and waits for that task as for a master. States that were taken in
// there took away pins that a session had at hand, and lanes that it was about to be given: that has ended the process, and once
// left a read waiting for good.
func (p *Pool) Refresh() {
	if p.tenure.Behind() {
		p.apply(p.coord.Snapshot())
	}
}

func (p *Pool) apply(s topology.Snapshot) {
	old := p.state
	keeps := p.tenure.Keeps(s.State)
	p.state, p.tenure.State, p.tenure.Version = s.State, s.State, s.Version
	if !keeps {
		p.forsake()
	}
	p.enroll(s.State)
	p.judgeAnew(s)
	switch {
	case s.State.Phase != topology.Stable:
		p.raiseFence(s.State)
	default:
		p.tenure.Fencing = false
		if old == nil || old.Epoch != s.State.Epoch || old.Phase != topology.Stable {
			p.since = p.loop.Now()
			p.queueAtGate(s.State.Epoch)
			p.log.Debug("routing under a new state", "epoch", s.State.Epoch, "master", s.State.Master.Addr)
		}
	}
	p.loop.Post(func() { // not now: replies that have arrived go first
		p.warm()
		if p.vanguard != nil && p.state.Phase == topology.Stable {
			p.vanguard.Advance()
		}
		p.wake()
		p.honour() // other replicas may count
	})
}

// warm connects the lanes of clients that have not said who they are, so that the first of them does not wait.
func (p *Pool) warm() {
	g := p.Group(Key{Proto: 2})
	g.Release()
	opens := p.reachable() && p.Granted() // also while it is to be left alone
	if opens {
		g.readsLane()
	}
	for _, key := range []Key{{Proto: 2}, p.ownKey()} {
		g := p.Group(key)
		g.Release()
		if opens {
			g.masterLane()
		}
	}
	for i := range p.replicas {
		g.replica(i, p.loop.Now())
	}
}

// enroll brings the nodes up to a State and ends the connections that it leaves without a purpose.
func (p *Pool) enroll(s *topology.State) {
	next := make(map[string]*node, len(p.nodes))
	member := func(t topology.Node, master, serves bool) *node {
		n := p.nodes[t.Addr]
		if n == nil || n.master != master || n.runID != "" && t.RunID != "" && n.runID != t.RunID {
			n = &node{addr: t.Addr, latency: startLatency}
		}
		if t.RunID != "" {
			n.runID = t.RunID
		}
		n.run = t.Run
		n.master, n.serves = master, serves
		next[t.Addr] = n
		return n
	}
	p.master = member(s.Master, true, s.Phase == topology.Stable)
	var replicas []*node
	for _, r := range s.Replicas {
		if r.Addr != s.Master.Addr {
			replicas = append(replicas, member(r.Node, false, r.Health == topology.Online))
		}
	}
	for addr, n := range p.nodes {
		if next[addr] != n {
			n.left = true
		}
	}
	for _, g := range p.groups {
		lanes := make([]*Conn, len(replicas))
		for i, n := range replicas {
			for _, c := range g.replicas {
				if c != nil && c.node == n {
					lanes[i] = c
				}
			}
		}
		g.replicas = lanes
		maps.DeleteFunc(g.refused, func(n *node, _ time.Time) bool { return next[n.addr] != n })
	}
	p.nodes, p.replicas = next, replicas
	p.near = 0
	for _, n := range replicas {
		n.weight = DefaultWeight
		if w, ok := p.cfg.Weights[n.addr]; ok {
			n.weight = w
		}
		if n.near = p.cfg.Near == nil || p.cfg.Near[n.addr]; n.near {
			p.near++
		}
	}
	for c := range p.conns {
		if c.subscriber && c.ready {
			continue // its borrower decides
		}
		if c.node.left || !c.node.master && !c.node.serves {
			c.end(errRetired, false)
		}
	}
}
