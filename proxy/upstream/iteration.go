package upstream

import (
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// returnTime is how long after a change of master its nodes may take to find their places.
const returnTime = 5 * time.Second

// Run returns the number that the node's run has in State; 0 while it has none.
func (c *Conn) Run() uint32 { return c.node.run }

// Iteration returns the lane to the node whose run has that number, to go on with an iteration that began there,
// whatever has become of the node since: a replica that is promoted or resynchronised keeps the order of its keys, and
// one that lags has what was there all the time. gone says that the run is over, or that it is not to be waited for.
// Otherwise a nil lane means that the node may be reached later.
func (g *Group) Iteration(run uint32) (lane *Conn, gone bool) {
	p := g.pool
	if p.state == nil || p.tenure.Behind() {
		return nil, false
	}
	if p.master.run == run || p.authRequired && g.key.anonymous() { // the master tells strangers to authenticate
		return g.MasterReads(), false
	}
	now := p.loop.Now()
	for i, n := range p.replicas {
		if n.run != run {
			continue
		}
		if len(g.refused) > 0 && now.Before(g.refused[n]) {
			return nil, true
		}
		if c := g.replicas[i]; c != nil && c.Usable() && !now.Before(n.doubtedUntil) {
			return c, false
		}
		if now.Before(n.doubtedUntil) || now.Before(n.retryAt) {
			return nil, false
		}
		g.replicas[i] = p.open(g, n, false)
		return g.replicas[i], false
	}
	return nil, !p.returning(run)
}

// returning reports whether the node of that run is expected to be a replica in a moment. A master that has handed over
// to another is among the unavailable ones until it is seen to follow; one that was given up is not waited for.
func (p *Pool) returning(run uint32) bool {
	s := p.state
	i := slices.IndexFunc(s.Unavailable, func(n topology.Node) bool { return n.Run == run })
	if i < 0 || !p.Fresh(returnTime) {
		return false
	}
	return len(s.Recent) == 0 || s.Recent[len(s.Recent)-1].From != s.Unavailable[i].Addr
}
