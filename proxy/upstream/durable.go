package upstream

import (
	"maps"

	"github.com/understudy/understudy/topology"
)

// Claimant is a session with replies to writes that are withheld until the writes are durable.
type Claimant interface {
	// Honoured says that every write up to a sample is durable: enough holders are fresh as of it. It returns whether
	// there are more.
	Honoured(asOf uint64) (waits bool)
	// Forsaken says that it cannot be known any more what becomes of the writes.
	Forsaken()
	// Waits reports whether it has any.
	Waits() bool
}

// Claim has c told of the writes that are durable, until Honoured returns false, it is Forsaken, or Disclaim.
func (p *Pool) Claim(c Claimant) {
	p.claimants[c] = struct{}{}
	p.pace()
}

// Disclaim forgets a Claimant.
func (p *Pool) Disclaim(c Claimant) {
	delete(p.claimants, c)
	p.pace()
}

// honour tells the claimants what is durable now. It is a task of the loop's own.
func (p *Pool) honour() {
	p.Refresh()
	if len(p.claimants) == 0 {
		return
	}
	asOf := p.durableAsOf()
	if asOf == 0 {
		return
	}
	for c := range p.claimants {
		if !c.Honoured(asOf) {
			delete(p.claimants, c)
		}
	}
	p.pace()
	p.settled()
}

// Recheck looks in a later turn again who can be told that writes are durable, and who waits for nothing any more.
func (p *Pool) Recheck() {
	p.loop.Post(func() {
		p.honour()
		p.settled()
	})
}

// claimed reports whether a planned fence has to wait for replies that are withheld: behind it the next master takes over,
// and what it has is not what was promised.
func (p *Pool) claimed() bool {
	maps.DeleteFunc(p.claimants, func(c Claimant, _ struct{}) bool { return !c.Waits() })
	p.pace()
	return len(p.claimants) > 0 && p.state.Draining()
}

// durableAsOf returns the newest sample as of which writes are durable; 0 for none.
func (p *Pool) durableAsOf() uint64 {
	var room [8]topology.Holding
	have := room[:0]
	for _, r := range p.replicas {
		if r.fresh != nil {
			have = append(have, topology.Holding{Holder: topology.Holder{Addr: r.addr, RunID: r.runID}, AsOf: r.fresh.AsOf()})
		}
	}
	return p.tenure.DurableAsOf(have, p.cfg.WriteAcks)
}

// Claimable reports whether a write that is answered now can become durable.
func (p *Pool) Claimable() bool { return p.tenure.Claimable() }

// forsake says of everything that is withheld that it will not be known what becomes of it.
func (p *Pool) forsake() {
	claimants := p.claimants
	p.claimants = map[Claimant]struct{}{}
	p.pace()
	for c := range claimants {
		c.Forsaken()
	}
}
