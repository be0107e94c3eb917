package upstream

import (
	"slices"

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

// Claim has c told of the writes that are durable, until Honoured returns false or it is Forsaken.
func (p *Pool) Claim(c Claimant) {
	p.claimants = append(p.claimants, c)
	p.pace()
}

// honour tells the claimants what is durable now.
func (p *Pool) honour() {
	p.refresh()
	if len(p.claimants) == 0 {
		return
	}
	asOf := p.durableAsOf()
	if asOf == 0 {
		return
	}
	claimants := p.claimants
	p.claimants = nil
	for _, c := range claimants {
		if c.Honoured(asOf) {
			p.claimants = append(p.claimants, c)
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
	p.claimants = slices.DeleteFunc(p.claimants, func(c Claimant) bool { return !c.Waits() })
	p.pace()
	return len(p.claimants) > 0 && draining(p.state)
}

// durableAsOf returns the newest sample that as many holders have reached as a durable write needs; 0 if there are too
// few. They are those of the newest State, and it takes authority to be sure that there is no newer one.
func (p *Pool) durableAsOf() uint64 {
	if !p.Claimable() || p.state.Durable == nil {
		return 0
	}
	d := p.state.Durable
	var reached []uint64
	for _, r := range p.replicas {
		if r.fresh != nil && d.Counts(r.addr, r.runID) {
			reached = append(reached, r.fresh.AsOf())
		}
	}
	acks := max(p.cfg.WriteAcks, d.Acks)
	if len(reached) < acks || p.coord.Snapshot().Version != p.version {
		return 0
	}
	slices.Sort(reached)
	return reached[len(reached)-acks]
}

// Claimable reports whether a write that is answered now can become durable: nobody can have taken the master's place, nor
// will somebody before this loop has acknowledged the fence. A fence that was planned waits until what is withheld
// has been answered; behind any other it will never be known who has what.
func (p *Pool) Claimable() bool {
	switch {
	case p.state == nil:
		return false
	case p.state.Phase == topology.Stable:
		return p.granted(0)
	}
	return p.fencing && draining(p.state) && p.lasts()
}

// draining reports whether a State asks for what is under way to be answered by a master that lives and agrees.
func draining(s *topology.State) bool {
	return s.Phase == topology.Fencing && s.Failover != nil && s.Failover.Planned && s.Failover.Aborted == ""
}

// forsake deals with what is withheld when another State follows: it can be kept if the same master goes on, or is still
// to answer behind a planned fence, and nothing that this member has not seen lies in between.
func (p *Pool) forsake(old, next *topology.State) {
	if old == nil || len(p.claimants) == 0 {
		return
	}
	same := old.Master.Addr == next.Master.Addr && old.Master.RunID == next.Master.RunID
	stable := old.Phase == topology.Stable && next.Phase == topology.Stable && old.Epoch == next.Epoch
	begun := old.Phase == topology.Stable && draining(next) && next.Epoch == old.Epoch+1
	unchanged := draining(old) && draining(next) && next.Epoch == old.Epoch
	givenUp := draining(old) && next.Phase == topology.Stable && next.Epoch == old.Epoch+1
	if same && (stable || begun || unchanged || givenUp) {
		return
	}
	claimants := p.claimants
	p.claimants = nil
	p.pace()
	for _, c := range claimants {
		c.Forsaken()
	}
}
