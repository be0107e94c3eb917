package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What follows is what term, control and commander do over the network: a leader's connections for commands, of which
// each, when it is opened, ends those of earlier leaders, and commands before each of which leadership and State are
// looked at.

var (
	errSimSilent = errors.New("no answer in time")
	errSimGone   = errors.New("connection refused")
)

// simOrders is a leader's connection for commands to one node.
type simOrders struct {
	server  *simServer
	wire    *simWire
	ready   bool
	pending func(error) // who waits for an answer
}

// lead begins or ends a term, and has the connections of earlier leaders ended at every node that answers.
func (d *simMind) lead() {
	l := d.loop
	if !d.Leading() {
		l.endTerm()
	} else if l.term == nil {
		ctx, cancel := context.WithCancel(context.Background())
		l.term = &term{loop: l, ctx: ctx, cancel: cancel, opened: make(map[string]time.Time)}
	}
	if d.term != l.term {
		for _, o := range d.orders {
			if o.wire != nil {
				o.wire.close(d.proc)
			}
		}
		if d.term = l.term; d.term != nil {
			d.number = d.sess.number
		}
		clear(d.orders)
		clear(d.busy)
	}
	if l.term == nil {
		return
	}
	for _, s := range d.servers {
		r := l.records[s.addr]
		if r.node.heard.IsZero() || r.vitality.down || !l.term.opened[s.addr].IsZero() {
			continue
		}
		l.term.opened[s.addr] = d.clock()
		if o := d.ordersTo(s.addr); o.pending == nil {
			d.open(o, func(error) {})
		}
	}
}

func (d *simMind) ordersTo(addr string) *simOrders {
	o := d.orders[addr]
	if o == nil {
		o = &simOrders{server: d.server(addr)}
		d.orders[addr] = o
	}
	return o
}

// open opens the connection and ends those of all others there.
func (d *simMind) open(o *simOrders, then func(error)) {
	server := o.server
	if !server.proc.alive && !d.isCut(d.proc, server.proc) {
		d.after(d.proc, time.Millisecond, func() { then(errSimGone) })
		return
	}
	o.ready = false
	o.wire = newWire(d.proc, server.proc, nil)
	o.wire.name = "leader"
	w, t, number := o.wire, d.term, d.number
	w.lost[0] = func() { d.answered(o, w, errSimGone) }
	d.exchange(o, func() { server.connect(w) }, func(err error) {
		if err == nil && !t.lasts() {
			err = errDeposed
		}
		if err != nil {
			then(err)
			return
		}
		d.exchange(o, func() {
			if d.rule == simEarlierLeadersStay {
				return
			}
			server.killClients(func(c *simWire) bool { return c.name == w.name && c != w })
			if server.commands.term < number {
				server.commands = simCommands{term: number}
			}
		}, func(err error) {
			o.ready = err == nil
			then(err)
		})
	})
}

// answered ends the wait for an answer.
func (d *simMind) answered(o *simOrders, w *simWire, err error) {
	if o.wire != w {
		return
	}
	if err != nil {
		w.close(d.proc)
		o.wire, o.ready = nil, false
	}
	if then := o.pending; then != nil {
		o.pending = nil
		then(err)
	}
}

// exchange sends something over the connection and waits for the answer.
func (d *simMind) exchange(o *simOrders, carryOut func(), then func(error)) {
	w := o.wire
	if !w.open(d.proc) {
		then(errSimGone)
		return
	}
	done := false
	o.pending = func(err error) {
		if !done {
			done = true
			then(err)
		}
	}
	d.send(d.proc, o.server.proc, w, func() {
		carryOut()
		d.send(o.server.proc, d.proc, w, func() {
			if !done {
				d.answered(o, w, nil)
			}
		})
	})
	d.after(d.proc, simCommand, func() {
		if !done {
			d.answered(o, w, errSimSilent)
		}
	})
}

// over has f called when the connection can be used.
func (d *simMind) over(o *simOrders, f func(error)) {
	if o.ready && o.wire.open(d.proc) {
		f(nil)
		return
	}
	d.open(o, f)
}

// read asks the nodes for their offsets, over the connections for commands.
func (d *simMind) read(a action) {
	d.spring(simReading, false, d.simMember)
	d.busy[a.key()] = true
	t, waiting := d.term, len(a.nodes)
	var answers []*answer
	over := false
	finish := func() {
		if over || d.term != t {
			return
		}
		over = true
		delete(d.busy, a.key())
		d.tellReading(answers)
		d.loop.haveRead(a.epoch, answers, 0, d.clock())
		d.spring(simReading, true, d.simMember)
		d.turnSoon()
		if d.loop.rehearsal.request != "" {
			d.after(d.proc, readingPause, d.turnSoon)
		}
	}
	for _, addr := range a.nodes {
		o := d.ordersTo(addr)
		if o.pending != nil {
			waiting--
			continue
		}
		d.over(o, func(err error) {
			if err != nil {
				if waiting--; waiting == 0 {
					finish()
				}
				return
			}
			var n info
			d.exchange(o, func() { n = o.server.info() }, func(err error) {
				if err == nil {
					answers = append(answers, &answer{addr, n, time.Millisecond, d.clock()})
				}
				if waiting--; waiting == 0 {
					finish()
				}
			})
		})
	}
	d.after(d.proc, simCommand, finish)
	if len(a.nodes) == 0 || waiting == 0 {
		finish()
	}
}

func (d *simMind) tellReading(answers []*answer) {
	if !d.telling {
		return
	}
	text := ""
	for _, n := range answers {
		text += fmt.Sprintf(" %s=%d", n.addr, n.info.Offset)
	}
	d.tell("%s has read the offsets:%s", d, text)
}

// wanted is commander.wanted for an action decided now.
func (d *simMind) wanted(a action) func() bool {
	t, phase := d.term, d.agreed.State.Phase
	return func() bool { return t.lasts() && d.agreed.State.Epoch == a.epoch && d.agreed.State.Phase == phase }
}

// command carries out an action on a node.
func (d *simMind) command(a action) {
	o := d.ordersTo(a.addr)
	if o.pending != nil {
		return // its connection is being opened; the next turn asks again
	}
	t, wanted := d.term, d.wanted(a)
	d.busy[a.key()] = true
	if a.force {
		d.loop.records[a.addr].cutAt = d.clock()
	}
	finish := func(res result, err error) {
		if d.term != t {
			return
		}
		delete(d.busy, a.key())
		if err != nil {
			d.tell("%s: %s failed: %v", d, a, err)
		}
		d.loop.commanded(a, res, err, 0, d.clock())
		d.spring(simStep(a.deed), true, d.simMember)
		d.probe(o.server)
		d.turnSoon()
	}
	if a.deed == deedSwap {
		d.swap(a, wanted)
		return
	}
	d.over(o, func(err error) {
		if err == nil && !wanted() {
			err = errDeposed
		}
		if err != nil {
			finish(result{}, err)
			return
		}
		d.spring(simStep(a.deed), false, d.simMember)
		d.tell("%s: %s", d, a)
		number, judged := d.number, judgedRun(d.agreed.State, a.addr)
		var other info
		d.exchange(o, func() {
			// The connection is to one process, so that one look and the command after it may be taken for one step.
			if a.deed == deedPromote && judged != "" && judged != o.server.run && d.rule != simBlindPromotion {
				other = o.server.info()
				return
			}
			d.carryOut(a, o, number)
		}, func(err error) {
			switch {
			case err != nil:
				finish(result{}, err)
				return
			case other.RunID != "":
				finish(result{info: other, at: d.clock()}, errOtherProcess)
				return
			case a.deed == deedPromote && !wanted():
				finish(result{}, errDeposed)
				return
			}
			d.inspect(a, o, finish)
		})
	})
}

// carryOut is what a command does at the node.
func (d *simMind) carryOut(a action, o *simOrders, number int) {
	s := o.server
	s.commanded(number, a.epoch, a.String())
	switch a.deed {
	case deedPromote:
		d.checkPromotion(s, a.epoch)
		s.abortFailover() // a server takes no REPLICAOF before
		s.promote()
	case deedAbort:
		s.abortFailover()
	case deedDemote, deedReplicate:
		s.replicate(a.host, a.force, o.wire)
		s.rewrite()
	}
}

// inspect sees what has come of a command.
func (d *simMind) inspect(a action, o *simOrders, finish func(result, error)) {
	var res result
	d.exchange(o, func() {
		if a.deed == deedPromote {
			o.server.rewrite()
		}
		res.info = o.server.info()
	}, func(err error) {
		if err != nil {
			finish(result{}, err)
			return
		}
		res.at = d.clock()
		want := roleReplica
		if a.deed == deedPromote {
			want = roleMaster
		}
		if a.deed != deedAbort && res.info.Role != want {
			err = fmt.Errorf("%w: it is a %s", errWrongRole, res.info.Role)
		}
		finish(res, err)
	})
}
