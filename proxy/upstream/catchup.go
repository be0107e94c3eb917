package upstream

import (
	"slices"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
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

// caughtUp tells those for whom there is a replica now, and a choice: if they took the first one that comes, all would
// take the same one, and stay.
func (p *Pool) caughtUp() {
	reached := p.reached()
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

// reached returns the newest sample that all replicas have reached which are about as quick as the quickest.
func (p *Pool) reached() (n uint64) {
	least := time.Duration(0)
	for _, r := range p.replicas {
		if d := r.lag(); least == 0 || d > 0 && d < least {
			least = d
		}
	}
	for _, r := range p.replicas {
		if d := r.lag(); d > 0 && d <= 2*least {
			if asOf := r.fresh.AsOf(); n == 0 || asOf < n {
				n = asOf
			}
		}
	}
	return n
}

// lag is what it takes the replica to get what was written and be known to have it, 0 if it is not known.
func (n *node) lag() time.Duration {
	if n.fresh == nil {
		return 0
	}
	return n.fresh.Lag()
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

// Crowded reports whether a session at one replica had fewer sessions for company, by their weights, at another one.
func (g *Group) Crowded(at *freshness.Replica) bool {
	var here *node
	for _, r := range g.pool.replicas {
		if r.fresh == at {
			here = r
		}
	}
	if here == nil {
		return false
	}
	for _, r := range g.pool.replicas {
		if r != here && r.fresh != nil && r.near == here.near && (at.Guests()-1)*r.weight > r.fresh.Guests()*here.weight {
			return true
		}
	}
	return false
}
