package monitor

import (
	"slices"
	"time"
)

// simNetwork is what lies between the parties.
type simNetwork struct {
	cut    [simParties][simParties]bool
	held   []simPacket // on their way when the network was cut: their senders' kernels try again
	stormy bool        // delays are long and frequent
}

// simParties is how many parties there are at most: the store, the servers and the members.
const simParties = 8

// simPacket is something on its way from one process to another.
type simPacket struct {
	from, to *simProcess
	wire     *simWire // the connection it belongs to; nil for one of its own
	number   int      // its place on the connection
	departs  time.Duration
	queued   bool   // it has waited at the receiver
	run      func() // what the receiver does with it
}

// simWire is a connection: what is sent on it arrives in order or not at all.
type simWire struct {
	ends   [2]*simProcess
	closed [2]bool
	broken bool
	sent   [2]int           // packets, by the end that sent them
	next   [2]int           // the number of the one that is to be received next from that end
	early  [2][]simPacket   // those that have overtaken it
	taken  [2]time.Duration // when the last packet that waited at this end is taken up
	lost   [2]func()        // tells an end that the connection is gone
	name   string           // as CLIENT LIST has it
}

func newWire(a, b *simProcess, lost func()) *simWire {
	w := &simWire{ends: [2]*simProcess{a, b}, lost: [2]func(){lost, nil}}
	a.wires, b.wires = append(a.wires, w), append(b.wires, w)
	return w
}

func (w *simWire) side(p *simProcess) int {
	if p == w.ends[0] {
		return 0
	}
	return 1
}

// close ends the connection at one end. What was sent on it before and is in the network still arrives at the other.
func (w *simWire) close(p *simProcess) { w.closed[w.side(p)] = true }

// open reports whether an end can be used.
func (w *simWire) open(p *simProcess) bool { return w != nil && !w.closed[w.side(p)] && !w.broken }

func (y *simSystem) isCut(a, b *simProcess) bool { return y.net.cut[a.party][b.party] }

// send sends something, after the moment between deciding and sending in which a process may be stopped.
func (y *simSystem) send(from, to *simProcess, w *simWire, run func()) {
	p := simPacket{from: from, to: to, wire: w, departs: y.now + y.between(20*time.Microsecond, 200*time.Microsecond), run: run}
	if w != nil {
		side := w.side(from)
		p.number = w.sent[side]
		w.sent[side]++
	}
	y.route(p)
}

func (y *simSystem) latency() time.Duration {
	n := y.rng.IntN(1000)
	switch {
	case y.net.stormy && n < 10, n < 1:
		return y.between(100*time.Millisecond, 1500*time.Millisecond)
	case y.net.stormy && n < 100, n < 10:
		return y.between(5*time.Millisecond, 60*time.Millisecond)
	}
	return y.between(100*time.Microsecond, time.Millisecond)
}

func (y *simSystem) route(p simPacket) {
	y.at(p.departs+y.latency(), func() { y.arrive(p) })
}

// arrive is the moment at which a packet reaches the receiver's host, if it does.
func (y *simSystem) arrive(p simPacket) {
	switch from := p.from; {
	case !from.alive && from.died <= p.departs:
		return
	case from.paused && from.since <= p.departs:
		from.outbox = append(from.outbox, p)
		return
	case y.isCut(from, p.to):
		if p.wire != nil {
			y.net.held = append(y.net.held, p)
		}
		return
	}
	w := p.wire
	if w == nil {
		y.take(p)
		return
	}
	side := w.side(p.from)
	w.early[side] = append(w.early[side], p)
	for {
		i := slices.IndexFunc(w.early[side], func(o simPacket) bool { return o.number == w.next[side] })
		if i < 0 {
			return
		}
		first := w.early[side][i]
		w.early[side] = slices.Delete(w.early[side], i, i+1)
		w.next[side]++
		y.take(first)
	}
}

// take hands a packet to its receiver.
func (y *simSystem) take(p simPacket) {
	if w := p.wire; w != nil {
		side := w.side(p.to)
		switch {
		case w.broken || w.closed[side]:
			return
		case w.taken[side] > y.now && !p.queued: // behind what waited for a process that was stopped
			w.taken[side]++
			p.queued = true
			y.at(w.taken[side], func() { y.take(p) })
			return
		}
	}
	if p.queued = false; p.to.paused && p.to.alive {
		p.to.inbox = append(p.to.inbox, p)
		return
	}
	if p.to.alive {
		p.run()
	}
}

// tellLost tells both ends that live that a connection is gone.
func (y *simSystem) tellLost(w *simWire) {
	for side, lost := range w.lost {
		p := w.ends[side]
		if lost == nil || w.closed[side] {
			continue
		}
		y.after(p, y.latency(), func() {
			if !w.closed[side] {
				w.closed[side] = true
				lost()
			}
		})
	}
}

// kill ends a process. Its host tells those who were connected, where the network lets it.
func (y *simSystem) kill(p *simProcess) {
	p.alive, p.died, p.paused = false, y.now, false
	for _, w := range p.wires {
		other := w.ends[1-w.side(p)]
		w.closed[w.side(p)] = true
		if !y.isCut(p, other) {
			y.tellLost(w)
		}
	}
}

// partition cuts two parties off from one another.
func (y *simSystem) partition(a, b int, cut bool) {
	if y.net.cut[a][b] == cut {
		return
	}
	y.net.cut[a][b], y.net.cut[b][a] = cut, cut
	if cut {
		return
	}
	// What the kernels have kept is sent again, or they have given the connection up.
	gone := make(map[*simWire]bool)
	held := y.net.held
	y.net.held = nil
	for _, p := range held {
		if between := p.from.party == a && p.to.party == b || p.from.party == b && p.to.party == a; !between {
			y.net.held = append(y.net.held, p)
			continue
		}
		if _, decided := gone[p.wire]; !decided {
			gone[p.wire] = y.chance(40)
			if gone[p.wire] {
				p.wire.broken = true
				y.tellLost(p.wire)
			}
		}
		if !gone[p.wire] && !p.wire.closed[p.wire.side(p.from)] {
			p.departs = y.now
			y.route(p)
		}
	}
	// A connection whose other end was closed, or died, meanwhile is reset by the first packet, or by keepalives.
	for _, w := range y.wiresBetween(a, b) {
		if !w.ends[0].alive || !w.ends[1].alive || w.closed[0] || w.closed[1] {
			y.tellLost(w)
		}
	}
}

func (y *simSystem) wiresBetween(a, b int) []*simWire {
	var found []*simWire
	add := func(p *simProcess) {
		if p == nil {
			return
		}
		for _, w := range p.wires {
			if other := w.ends[1-w.side(p)]; !slices.Contains(found, w) && (p.party == a && other.party == b || p.party == b && other.party == a) {
				found = append(found, w)
			}
		}
	}
	for _, m := range y.members {
		add(m.proc)
	}
	for _, s := range y.servers {
		add(s.proc)
	}
	return found
}
