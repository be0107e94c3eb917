package upstream

import "github.com/understudy/understudy/topology"

// raiseFence stops the flow to a master that is being deposed. What is in flight to a dead one is given up at once;
// a living one gets a moment to answer.
func (p *Pool) raiseFence(s *topology.State) {
	if p.fence != s.Epoch {
		p.fence, p.tenure.Fencing = s.Epoch, true
		if p.draining != nil {
			p.draining.Stop()
		}
		if p.draining = nil; s.Failover == nil || !s.Failover.Planned {
			p.draining = p.loop.After(p.cfg.DrainTimeout, p.cut)
		}
	}
	down := s.Failover == nil || s.Failover.MasterDown
	for c := range p.conns {
		if c.node.master && (down || !c.ready || c.Passthrough && !c.subscriber) {
			c.end(errFenced, false)
		}
	}
	for c := range p.conns {
		if c.urgent() {
			c.Resume()
		}
	}
	p.settled()
	if p.tenure.Fencing {
		p.interrupt()
	}
}

// urgent reports whether a fence waits for what is answered on the connection: a client that does not read its replies must
// not keep everybody waiting then.
func (c *Conn) urgent() bool { return c.group.pool.tenure.Fencing && c.node.master && c.writes > 0 }

// cut resets every connection to the master that is being deposed, but for those that change nothing there.
func (p *Pool) cut() {
	if p.state.Phase == topology.Stable {
		return
	}
	for c := range p.conns {
		if c.node.master && !c.subscriber {
			c.end(errFenced, false)
		}
	}
}

// settled has the fence acknowledged if nothing keeps it: in a task of its own, because a session may be at work on one of the
// connections that this ends.
func (p *Pool) settled() {
	if !p.tenure.Fencing || p.settling || p.busy() {
		return
	}
	p.settling = true
	p.loop.Post(func() {
		p.settling = false
		p.acknowledge()
	})
}

// busy reports whether a write is in flight to the master that is being deposed, or its reply is withheld.
func (p *Pool) busy() bool {
	for c := range p.conns {
		if c.node.master && !c.subscriber && (c.writes > 0 || c.Passthrough) {
			return true
		}
	}
	return p.claimed()
}

// acknowledge acknowledges the fence unless something still keeps it. Reads are given up: they are asked again, and one whose
// client takes its time would keep everybody waiting.
func (p *Pool) acknowledge() {
	if !p.tenure.Fencing || p.busy() {
		return
	}
	p.tenure.Fencing = false
	p.cut() // so that nothing can be sent on them later
	p.cfg.Fenced(p.fence)
}
