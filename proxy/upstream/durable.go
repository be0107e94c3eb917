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
}

// durableAsOf returns the newest sample that as many holders have reached as a durable write needs; 0 if there are too
// few. They are those of the newest State, and it takes a grant to be sure that there is no newer one.
func (p *Pool) durableAsOf() uint64 {
	s := p.state
	if s == nil || s.Phase != topology.Stable || s.Durable == nil || !p.granted(0) {
		return 0
	}
	var reached []uint64
	for _, r := range p.replicas {
		if r.fresh != nil && s.Durable.Counts(r.addr, r.runID) {
			reached = append(reached, r.fresh.AsOf())
		}
	}
	acks := max(p.cfg.WriteAcks, s.Durable.Acks)
	if len(reached) < acks {
		return 0
	}
	slices.Sort(reached)
	return reached[len(reached)-acks]
}

// forsake deals with what is withheld when another State follows. A planned change of master hands over everything; any
// other may leave behind what the old one alone had.
func (p *Pool) forsake(old, next *topology.State) {
	if old == nil || old.Epoch == next.Epoch || len(p.claimants) == 0 {
		return
	}
	planned := func(s *topology.State) bool { return s.Failover != nil && s.Failover.Planned }
	same := old.Master.Addr == next.Master.Addr && old.Master.RunID == next.Master.RunID
	if next.Phase == topology.Stable && (same || planned(old)) || planned(next) {
		return
	}
	claimants := p.claimants
	p.claimants = nil
	p.pace()
	for _, c := range claimants {
		c.Forsaken()
	}
}
