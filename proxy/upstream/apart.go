package upstream

import (
	"cmp"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
)

const (
	// maxApart bounds the connections of a loop that are for one session alone because its replies are large. Servers have
	// a limit of clients, 10 000 by default, that all proxies share; without a proxy each of these sessions had one as well.
	maxApart = 512
	// restTime is how long one of them has carried nothing when it is given up for another. Not sooner, or more sessions than
	// there may be would open them anew for every request.
	restTime = time.Second
)

// Apart opens a connection to the node of a lane for one session alone, who retires it: its replies are so large that
// strangers would wait behind them. It returns nil when there are too many of them that are in use, or the node has just refused
// a connection.
func (g *Group) Apart(lane *Conn) *Conn {
	p := g.pool
	if !lane.node.available(p.loop.Now()) || g.Full() && !p.endIdleApart() {
		return nil
	}
	c := p.openInLine(g, lane.node)
	c.apart = true
	p.aparts++
	return c
}

// Full reports whether there are as many such connections as may be, though some of them may rest.
func (g *Group) Full() bool { return g.pool.aparts >= cmp.Or(g.pool.cfg.MaxApart, maxApart) }

// endIdleApart ends one of these connections that carries nothing now; the one that has rested longest.
func (p *Pool) endIdleApart() bool {
	var idle *Conn
	now := p.loop.Now()
	for c := range p.conns {
		if c.apart && c.ready && c.queue.n == 0 && now.Sub(c.lastUse) >= restTime && (idle == nil || c.lastUse.Before(idle.lastUse)) {
			idle = c
		}
	}
	if idle == nil {
		return false
	}
	idle.end(errRetired, false)
	return true
}

// Shared reports whether requests of several sessions may be on the connection: it is a lane.
func (c *Conn) Shared() bool { return !c.pin }

// MixesWrites reports whether the connection is the lane on which strangers' writes wait behind what is sent now.
func (c *Conn) MixesWrites() bool { return !c.pin && c.node.master && !c.reads }

// Serves reports whether a connection that a session has apart will do in place of a lane: it goes to the same node, or to
// another replica that may answer.
func (c *Conn) Serves(lane *Conn, w *freshness.Want) bool {
	switch {
	case !c.Usable() || c.node == lane.node:
		return c.Usable()
	case c.node.master || lane.node.master || c.node.fresh == nil:
		return false
	}
	return !c.group.pool.loop.Now().Before(c.node.doubtedUntil) && w.Allows(c.node.fresh)
}

// Isolate leaves a lane to those whose requests are on it and cannot be given back: it takes no more, and the reads of
// strangers to the session at the front are given back, to be asked on another lane. The replies at the front are so
// large that nobody should wait behind them.
func (c *Conn) Isolate() {
	if !c.pin && !c.retired {
		c.retire()
		c.evict()
	}
}

// Forsake says that a session has gone whose replies are the only reason why a lane that takes no more is still read. Closing
// it costs less than reading them to the end.
func (c *Conn) Forsake(gone Owner) {
	if c.pin || !c.retired || c.ended {
		return
	}
	for i := range c.queue.n {
		if e := c.queue.at(i); e.Owner == gone && e.Kind == Repeatable {
			c.giveBack(e)
		}
	}
	if c.given == c.queue.n {
		c.end(errRetired, false)
	}
}
