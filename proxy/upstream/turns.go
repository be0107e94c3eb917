package upstream

import (
	"slices"
	"time"
)

// turnPatience is how long those on pins that are ready wait for others that are not, if none becomes ready meanwhile.
const turnPatience = 200 * time.Millisecond

// InTurn has what is sent on a pin next wait until all pins that wait in this way are ready; then it is sent on one after the
// other. A server gives the first element to the client that has blocked first. Clients whose commands are sent again after
// a switchover have new connections, which are ready in no order: a server answers the handshake that came last first.
func (c *Conn) InTurn() {
	p := c.group.pool
	switch {
	case len(p.turns) > 0:
	case c.ready:
		return
	default:
		p.watchTurns(0)
	}
	c.inLine = true
	p.turns = append(p.turns, c)
	if !c.ready {
		p.unready++
	}
}

// Turns reports whether there are pins on which something waits for its turn.
func (p *Pool) Turns() bool { return len(p.turns) > 0 }

// arrive notes that a pin is ready, or has ended before it was.
func (c *Conn) arrive() {
	if c.inLine {
		c.group.pool.unready--
		c.group.pool.calm()
	}
}

// calm lets those that wait for their turn send when all are ready, and the server has nothing more to do with the handshakes: it
// looks first at connections on which it has just read something, and would not keep to the order.
func (p *Pool) calm() {
	if p.unready > 0 || p.calming {
		return
	}
	p.turns = slices.DeleteFunc(p.turns, func(c *Conn) bool { return c.ended })
	if len(p.turns) <= 1 || !p.steady() {
		p.release(len(p.turns))
		return
	}
	p.calming = true
	p.ownLane().Send(&calming{pool: p, turns: len(p.turns)}, Repeatable, 0, pingRequest, 1)
}

// calming owns the PING whose answer shows that a server has nothing more to do with what came before.
type calming struct {
	discard
	pool  *Pool
	turns int
}

// Reply implements Owner.
func (s *calming) Reply(*Conn, *Entry, []byte) { s.over() }

// Lost implements Owner.
func (s *calming) Lost(*Conn, *Entry, []byte, bool, bool) { s.over() }

func (s *calming) over() {
	s.pool.calming = false
	s.pool.release(min(s.turns, len(s.pool.turns)))
	s.pool.calm()
}

// release lets the first n pins send, each at once or when it is ready.
func (p *Pool) release(n int) {
	now := p.turns[:n]
	if p.turns = p.turns[n:]; len(p.turns) == 0 {
		p.turns = nil
	}
	for _, c := range now {
		c.inLine = false
		switch {
		case c.ended:
		case c.ready:
			c.net.Flush()
		default:
			p.unready--
		}
	}
}

// watchTurns does not let pins keep others waiting for too long.
func (p *Pool) watchTurns(before int) {
	p.loop.After(turnPatience, func() {
		if len(p.turns) == 0 {
			return
		}
		if p.unready > 0 && p.unready == before && !p.calming {
			p.release(len(p.turns))
			return
		}
		p.watchTurns(p.unready)
	})
}
