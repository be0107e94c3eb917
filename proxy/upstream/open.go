package upstream

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/understudy/understudy/proxy/eventloop"
)

const (
	// dialTimeout bounds an attempt to connect, handshakeTimeout the answers to what is said first.
	dialTimeout      = 2 * time.Second
	handshakeTimeout = time.Second
	// maxOpening is how many connections a loop opens to a node at a time; pins beyond that stand in line. After a change of
	// master all clients that block need one at once, and what a server has not accepted yet waits in its tcp-backlog, 511 by
	// default, which all proxies share. What finds no room there is tried again by TCP after a second.
	maxOpening = 128
)

// open starts a connection.
func (p *Pool) open(g *Group, n *node, pin bool) *Conn {
	c := p.newConn(g, n, pin)
	c.dial()
	return c
}

// openInLine is open for a pin that is one of many.
func (p *Pool) openInLine(g *Group, n *node) *Conn {
	c := p.newConn(g, n, true)
	if n.opening < maxOpening && len(n.line) == 0 {
		c.dial()
	} else {
		n.line = append(n.line, c)
	}
	return c
}

func (p *Pool) newConn(g *Group, n *node, pin bool) *Conn {
	c := &Conn{group: g, node: n, pin: pin}
	c.log.Pool = p.bytes
	c.lastUse = p.loop.Now()
	p.conns[c] = struct{}{}
	return c
}

// dial begins to connect.
func (c *Conn) dial() {
	c.opening = true
	c.node.opening++
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	c.cancel = cancel
	p := c.group.pool
	p.loop.Dial(ctx, p.cfg.Dial, "tcp", c.node.addr, c.dialled)
}

// dialled continues after the attempt to connect.
func (c *Conn) dialled(nc eventloop.Conn, err error) eventloop.Handler {
	c.cancel()
	if c.ended {
		return nil
	}
	if err != nil {
		c.end(fmt.Errorf("connecting: %w", err), false)
		return nil
	}
	c.net = nc
	if err := c.introduce(); err != nil { // it was reset as soon as it was made, by whatever stands in front of the node
		c.end(err, true)
		return nil
	}
	c.patience = c.group.pool.loop.After(cmp.Or(c.patient, handshakeTimeout), func() { c.end(errSilent, true) })
	return c
}

// opened notes that the node has answered the handshake, or will not, and lets the line move: in a task of its own, because those
// that stand in it may be about to end as well.
func (c *Conn) opened() {
	if !c.opening {
		return
	}
	c.opening = false
	n := c.node
	if n.opening--; len(n.line) > 0 && !n.moves {
		n.moves = true
		p := c.group.pool
		p.loop.Post(func() { n.moveLine(p.loop.Now()) })
	}
}

// moveLine opens as many of the pins in line as may be opened. They are not tried one after the other at a node that has just
// failed: those who wait for them wait for the node then.
func (n *node) moveLine(now time.Time) {
	n.moves = false
	for len(n.line) > 0 && n.opening < maxOpening {
		c := n.line[0]
		n.line[0] = nil
		n.line = n.line[1:]
		switch {
		case c.ended:
		case n.available(now):
			c.dial()
		default:
			c.end(errRetired, false)
		}
	}
	if len(n.line) == 0 {
		n.line = nil
	}
}
