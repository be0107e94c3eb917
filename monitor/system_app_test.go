package monitor

import "time"

// simApp is an application beside a member. It asks one thing after the other, and no next one before it has an answer.
type simApp struct {
	*simSystem
	place   int // of its member
	asking  *simRequest
	durable bool
	done    bool // it asks nothing any more
	served  bool // it was given an answer after all faults
}

// ask asks the next thing.
func (a *simApp) ask() {
	m := a.simSystem.members[a.place]
	if a.done || a.asking != nil || !m.proc.alive {
		return
	}
	r := &simRequest{by: a}
	if !a.chance(15) {
		a.simSystem.ledger.writes++
		r.id = a.simSystem.ledger.writes
		if a.durable {
			r.acks = a.plan.acks
		}
	}
	a.asking = r
	a.wake(m.proc, func() { m.flow.submit(r) })
}

// answered takes in an answer, or that the outcome is unknown.
func (a *simApp) answered(r *simRequest, acknowledged bool) {
	if a.asking != r {
		return
	}
	a.asking = nil
	if acknowledged {
		a.served = a.served || a.healed && r.id > 0
	}
	a.at(a.now+a.between(a.plan.pace/2, a.plan.pace*3/2), a.ask)
}

// restarted begins anew with another process of the member: what was asked of the last one has no answer.
func (a *simApp) restarted() {
	a.asking = nil
	a.at(a.now+time.Millisecond, a.ask)
}
