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

// settled acknowledges the fence once no write is in flight to the master that is being deposed. Reads are given up:
// they are asked again, and one whose client takes its time would keep everybody waiting.
func (p *Pool) settled() {
	if !p.tenure.Fencing {
		return
	}
	for c := range p.conns {
		if c.node.master && !c.subscriber && (c.writes > 0 || c.Passthrough) {
			return
		}
	}
	if p.claimed() {
		return
	}
	p.tenure.Fencing = false
	p.cut() // so that nothing can be sent on them later
	p.cfg.Fenced(p.fence)
}
