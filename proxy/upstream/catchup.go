package upstream

import (
	"slices"
	"time"
)

// Catcher is a session that waits until a replica is fresh as of a sample.
type Catcher interface {
	// CaughtUp says that there is one.
	CaughtUp()
}

// catching is a Catcher and its sample.
type catching struct {
	n uint64
	c Catcher
}

// CatchUp has c told when a replica is fresh as of sample n, in a later turn.
func (p *Pool) CatchUp(n uint64, c Catcher) {
	p.catching = append(p.catching, catching{n, c})
	p.cfg.Freshness.Need(n)
	p.pace()
}

// Desist undoes CatchUp.
func (p *Pool) Desist(c Catcher) {
	p.catching = slices.DeleteFunc(p.catching, func(k catching) bool { return k.c == c })
	p.pace()
}

// caughtUp tells those for whom there is a replica now.
func (p *Pool) caughtUp() {
	reached := uint64(0)
	for _, r := range p.replicas {
		if r.fresh != nil {
			reached = max(reached, r.fresh.AsOf())
		}
	}
	waiting := p.catching
	p.catching = nil
	for _, k := range waiting {
		if k.n <= reached {
			k.c.CaughtUp()
		} else {
			p.catching = append(p.catching, k)
		}
	}
	p.pace()
}

// pace has the sampler hurry for as long as anybody waits for a replica.
func (p *Pool) pace() {
	waits := len(p.catching) > 0 || len(p.claimants) > 0
	if p.awaits.Load() == waits {
		return
	}
	p.awaits.Store(waits)
	if waits {
		p.cfg.Freshness.Hurry()
	} else {
		p.cfg.Freshness.Calm()
	}
}

// progressed is called, on any goroutine, when a replica has reached another sample.
func (p *Pool) progressed() {
	if p.awaits.Load() {
		p.loop.Post(p.onProgress)
	}
}

// Lag returns what it takes the quickest replica to get what was written and be known to have it, 0 if it is not known.
func (g *Group) Lag() time.Duration {
	least, now := time.Duration(0), g.pool.loop.Now()
	for i, r := range g.pool.replicas {
		if r.fresh != nil && g.replica(i, now) != nil {
			if d := r.fresh.Lag(); least == 0 || d > 0 && d < least {
				least = d
			}
		}
	}
	return least
}
