package monitor

import (
	"errors"
	"fmt"
	"time"
)

// simSwapPause is the time between two looks at the nodes while they exchange their parts.
const simSwapPause = 5 * time.Millisecond

// simSwap is commander.swap under way: the master hands its part to the target by itself (FAILOVER), or, where it cannot,
// the target catches up, and the roles are exchanged by commands of their own.
type simSwap struct {
	*simMind
	action action
	term   *term
	wanted func() bool
	run    string // which the master must be
	end    time.Duration
	over   bool
}

func (d *simMind) swap(a action, wanted func() bool) {
	d.spring(simStep(deedSwap), false, d.simMember)
	d.tell("%s: %s", d, a)
	w := &simSwap{simMind: d, action: a, term: d.term, wanted: wanted, run: d.agreed.State.Master.RunID, end: d.now + a.limit}
	w.look(a.from, func(target info) {
		if target.Role == roleMaster {
			w.save()
			return
		}
		w.look(a.addr, func(master info) {
			if w.run != "" && master.RunID != w.run {
				w.finish(swapResult{}, errors.New("the master was restarted"))
				return
			}
			w.start()
		})
	})
}

func (w *simSwap) finish(r swapResult, err error) {
	d := w.simMind
	if w.over || d.term != w.term {
		return
	}
	w.over = true
	delete(d.busy, w.action.key())
	if err != nil {
		d.tell("%s: %s failed: %v", d, w.action, err)
	}
	d.loop.swapped(w.action, r, err, 0, d.clock())
	d.spring(simStep(deedSwap), true, d.simMember)
	d.turnSoon()
}

// on carries out something at a node, if it is still wanted and there is time.
func (w *simSwap) on(addr string, carryOut func(*simServer), then func()) {
	d := w.simMind
	if d.term != w.term || w.over {
		return
	}
	o := d.ordersTo(addr)
	switch {
	case !w.wanted():
		w.finish(swapResult{}, errDeposed)
	case d.now >= w.end:
		w.finish(swapResult{}, fmt.Errorf("it was not done within %v", w.action.limit))
	case o.pending != nil:
		d.after(d.proc, simSwapPause, func() { w.on(addr, carryOut, then) })
	default:
		d.over(o, func(err error) {
			if err == nil && !w.wanted() {
				err = errDeposed
			}
			if err != nil {
				w.finish(swapResult{}, fmt.Errorf("asking %s: %w", addr, err))
				return
			}
			d.exchange(o, func() { carryOut(o.server) }, func(err error) {
				if err != nil {
					w.finish(swapResult{}, fmt.Errorf("asking %s: %w", addr, err))
					return
				}
				then()
			})
		})
	}
}

// look asks a node what it is.
func (w *simSwap) look(addr string, then func(info)) {
	var n info
	w.on(addr, func(s *simServer) { n = s.info() }, func() { then(n) })
}

// start sends FAILOVER.
func (w *simSwap) start() {
	var refusal error
	number, left := w.number, w.end-w.now
	w.on(w.action.addr, func(s *simServer) {
		s.commanded(number, w.action.epoch, w.action.String())
		refusal = s.failoverTo(w.action.from, left)
	}, func() {
		if refusal != nil {
			w.awaitOffset()
			return
		}
		w.awaitRoles()
	})
}

// awaitRoles waits until the target is a master and the master a replica.
func (w *simSwap) awaitRoles() {
	again := func() { w.after(w.proc, simSwapPause, w.awaitRoles) }
	w.look(w.action.addr, func(master info) {
		switch {
		case master.Role == roleMaster && master.Failover == "no-failover":
			w.finish(swapResult{}, errors.New("the master has given up its FAILOVER"))
		case master.Role == roleMaster:
			w.on(w.action.from, func(s *simServer) { s.acknowledgeNow() }, again)
		default:
			w.look(w.action.from, func(target info) {
				if target.Role == roleMaster {
					w.save()
					return
				}
				again()
			})
		}
	})
}

// awaitOffset waits until the target has everything that the master had at the same time or later.
func (w *simSwap) awaitOffset() {
	w.look(w.action.addr, func(master info) {
		w.look(w.action.from, func(target info) {
			if target.ReplID == master.ReplID && target.Offset >= master.Offset {
				w.finish(swapResult{caughtUp: true}, nil)
				return
			}
			w.after(w.proc, simSwapPause, w.awaitOffset)
		})
	})
}

// save has both nodes write their roles down, and sees that they have them.
func (w *simSwap) save() {
	var r swapResult
	rewrite := func(addr string, want role, to *result, then func()) {
		var n info
		w.on(addr, func(s *simServer) { s.rewrite(); n = s.info() }, func() {
			if n.Role != want {
				w.finish(swapResult{}, errWrongRole)
				return
			}
			*to = result{info: n, at: w.simMember.clock()}
			then()
		})
	}
	rewrite(w.action.addr, roleReplica, &r.master, func() {
		rewrite(w.action.from, roleMaster, &r.target, func() { w.finish(r, nil) })
	})
}
