package upstream

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/understudy/understudy/topology"
)

// Gate keeps what waits for a new master from being sent there before the subscriptions of all loops are there: a message that
// has waited here itself is lost else, because its subscribers come too late. The pools of a process share one. Its zero
// value is ready for use.
type Gate struct {
	mu       sync.Mutex
	passages []*passage
}

// passage is the place of one pool at the gate.
type passage struct {
	gate *Gate
	at   uint64             // the last epoch at whose master the loop's subscriptions are; nowhere if there are none
	open func(epoch uint64) // tells the pool; from any goroutine
}

// nowhere is later than every epoch: who has no subscriptions keeps nobody waiting.
const nowhere = math.MaxUint64

// gatePatience is how long a new master is left alone at most for the sake of subscriptions. It is enough for three round trips to
// another continent.
const gatePatience = 200 * time.Millisecond

// Vanguard goes to a new master before everybody else.
type Vanguard interface {
	// Advance is called whenever there may be a new master. When everything is there, Pool.Subscribed must be called.
	Advance()
	// Hurry is called when nobody waits any more.
	Hurry()
}

func (g *Gate) join(open func(uint64)) *passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	ps := &passage{gate: g, at: nowhere, open: open}
	g.passages = append(g.passages, ps)
	return ps
}

// opened reports whether the subscriptions of all loops are at the master of epoch.
func (g *Gate) opened(epoch uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all(epoch)
}

func (g *Gate) all(epoch uint64) bool {
	return !slices.ContainsFunc(g.passages, func(ps *passage) bool { return ps.at < epoch })
}

// begin notes that there are subscriptions, from epoch on if there were none.
func (ps *passage) begin(epoch uint64) {
	ps.gate.mu.Lock()
	defer ps.gate.mu.Unlock()
	ps.at = min(ps.at, epoch)
}

// reach notes where the subscriptions are, and lets everybody pass if they were the last.
func (ps *passage) reach(at, epoch uint64) {
	g := ps.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if ps.at == at {
		return
	}
	if ps.at = at; g.all(epoch) {
		for _, other := range g.passages {
			other.open(epoch)
		}
	}
}

// Precede has v go to each new master before everybody else.
func (p *Pool) Precede(v Vanguard) { p.vanguard = v }

// Subscribed says that all subscriptions of the loop are at the State's master, or that there are none.
func (p *Pool) Subscribed(any bool) {
	if p.state == nil || p.state.Phase != topology.Stable {
		return // the next master is another one
	}
	at := uint64(nowhere)
	if any {
		at = p.state.Epoch
	}
	p.gate.reach(at, p.state.Epoch)
}

// queueAtGate has everybody wait who needs the new master, unless no subscription has to go first.
func (p *Pool) queueAtGate(epoch uint64) {
	if p.gate.gate.opened(epoch) {
		p.passed = epoch
		return
	}
	p.loop.After(gatePatience, func() {
		if p.state.Epoch != epoch || p.passed == epoch {
			return
		}
		p.log.Warn("subscriptions are not at the new master in time; what is published now, some of them may miss",
			"epoch", epoch, "master", p.master.addr, "waited", gatePatience)
		if p.vanguard != nil {
			p.vanguard.Hurry()
		}
		p.pass(epoch)
	})
}

// pass lets everybody go on who waits at the gate.
func (p *Pool) pass(epoch uint64) {
	if p.state.Epoch == epoch && p.passed != epoch {
		p.passed = epoch
		p.wake()
	}
}

// PinSubscriber lends a connection to the master on which nothing is done but to subscribe, or returns nil as Master does. It goes
// through the gate before all others, and outlives the deposition of a master that is not dead: what is published there in
// its last moments, and what it gets from the next one as its replica. The borrower gives it up.
func (g *Group) PinSubscriber(borrower Listener) *Conn {
	p := g.pool
	if !p.reachable() || !p.master.available(p.loop.Now()) {
		return nil
	}
	c := p.open(g, p.master, true)
	c.Listener, c.Passthrough, c.subscriber = borrower, true, true
	p.gate.begin(p.state.Epoch)
	return c
}

// Current reports whether the node is the master of the State.
func (c *Conn) Current() bool { return c.node.master && !c.node.left }
