package monitor

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/topology"
)

// simPlan is what a seed makes of the system before anything happens.
type simPlan struct {
	acks int // of durable writes; 0: there are none
	pace time.Duration
	// classic servers know no FAILOVER.
	classic  bool
	ensemble simEnsemble
}

// simFaults is how long faults begin.
const simFaults = 2500 * time.Millisecond

// simStep is a step of a failover, at which something can happen to the one who takes it.
type simStep string

const (
	simNoStep  simStep = ""
	simFence   simStep = "the fence"
	simChoice  simStep = "the choice"
	simStable  simStep = "the stable State"
	simReading simStep = "the reading"
	simSeen    simStep = "the fence is seen, with writes in flight" // by any member
	// and the deeds demote, promote, replicate, swap and abort
)

func simStepOf(was, next *topology.State) simStep {
	switch {
	case was.Phase == topology.Stable && next.Phase == topology.Fencing:
		return simFence
	case was.Phase == topology.Fencing && next.Phase == topology.Promoting:
		return simChoice
	case was.Phase == topology.Promoting && next.Phase == topology.Stable:
		return simStable
	}
	return simNoStep
}

var simSteps = []simStep{simFence, simSeen, simReading, simChoice, simStep(deedDemote), simStep(deedPromote), simStable, simStep(deedReplicate), simStep(deedSwap), simStep(deedAbort)}

// simTrap is something that happens to the leader at a step of the first failover that comes to it.
type simTrap struct {
	step  simStep
	after bool // after the step, not before it
	what  int
}

// spring is called by a leader before and after each step.
func (y *simSystem) spring(step simStep, after bool, m *simMember) {
	t := y.trap
	if t == nil || t.step != step || t.after != after {
		return
	}
	y.trap = nil
	y.tell("trap: %s %s", map[bool]string{false: "before", true: "after"}[after], step)
	switch t.what {
	case 0, 1:
		y.killMember(m, y.between(100*time.Millisecond, 900*time.Millisecond))
	case 2, 3:
		y.pause(m.proc, y.between(200*time.Millisecond, 3*time.Second), false)
	case 4:
		y.pause(m.proc, y.between(200*time.Millisecond, 3*time.Second), true)
	case 5:
		y.cutFor(0, m.proc.party, y.between(100*time.Millisecond, 3*time.Second))
	case 6:
		y.isolate(m.proc, y.between(100*time.Millisecond, 3*time.Second))
	case 7:
		victim := y.servers[y.rng.IntN(len(y.servers))]
		y.crashFor(victim, y.between(5*time.Millisecond, time.Second), simRestart(y.rng.IntN(3)))
	case 8: // what it does next, it does to another process
		s := y.store.agreed.State
		victim := s.Master.Addr
		if s.Phase == topology.Promoting {
			victim = s.Failover.Choice
		}
		y.crashFor(y.server(victim), y.between(time.Millisecond, 100*time.Millisecond), simRestart(y.rng.IntN(3)))
		y.pause(m.proc, y.between(50*time.Millisecond, 400*time.Millisecond), false)
	}
}

// arrange chooses the faults of a schedule.
func (y *simSystem) arrange() {
	if y.chance(60) {
		y.trap = &simTrap{step: simSteps[y.rng.IntN(len(simSteps))], after: y.chance(50), what: y.rng.IntN(9)}
	}
	y.at(y.between(300*time.Millisecond, 700*time.Millisecond), y.trouble)
	for range 1 + y.rng.IntN(5) {
		y.at(y.between(200*time.Millisecond, simFaults), y.disturb)
	}
}

// trouble is a reason to change the master.
func (y *simSystem) trouble() {
	m := y.server(y.store.agreed.State.Master.Addr)
	switch n := y.rng.IntN(20); {
	case n < 7:
		y.crashFor(m, y.between(5*time.Millisecond, 3*time.Second), simRestart(y.rng.IntN(3)))
	case n < 10:
		y.pause(m.proc, y.between(500*time.Millisecond, 3*time.Second), false)
	case n < 13:
		y.isolate(m.proc, y.between(300*time.Millisecond, 3*time.Second))
	case n < 17:
		y.request(topology.Switchover)
	case n < 19:
		y.estrange(m)
	}
}

// estrange has one member lose the store for long, perhaps soon after it was stopped, and the master hang for a while: it is
// replaced as soon as that member cannot write to it any more, which may be when it goes on.
func (y *simSystem) estrange(master *simServer) {
	member, begin := y.members[y.rng.IntN(len(y.members))].proc, y.now
	if y.chance(50) {
		stop := y.between(300*time.Millisecond, time.Second)
		y.pause(member, stop, false)
		begin += stop + y.between(0, 500*time.Millisecond)
	}
	y.at(begin, func() { y.cutFor(0, member.party, y.between(1500*time.Millisecond, 3*time.Second)) })
	y.at(begin+y.between(0, 400*time.Millisecond), func() {
		y.pause(master.proc, y.between(700*time.Millisecond, 1500*time.Millisecond), false)
	})
}

// disturb does one random thing.
func (y *simSystem) disturb() {
	server := y.servers[y.rng.IntN(len(y.servers))]
	member := y.members[y.rng.IntN(len(y.members))]
	switch n := y.rng.IntN(100); {
	case n < 14:
		y.killMember(member, y.between(50*time.Millisecond, 900*time.Millisecond))
	case n < 34:
		y.pause(member.proc, y.between(100*time.Millisecond, 3*time.Second), y.chance(50))
	case n < 47:
		y.cutFor(0, member.proc.party, y.between(50*time.Millisecond, 3*time.Second))
	case n < 57:
		y.cutFor(member.proc.party, server.proc.party, y.between(50*time.Millisecond, 2*time.Second))
	case n < 64:
		other := y.servers[y.rng.IntN(len(y.servers))]
		if other != server {
			y.cutFor(server.proc.party, other.proc.party, y.between(50*time.Millisecond, 2*time.Second))
		}
	case n < 72:
		y.crashFor(server, y.between(5*time.Millisecond, 1500*time.Millisecond), simRestart(y.rng.IntN(3)))
	case n < 77:
		y.pause(server.proc, y.between(50*time.Millisecond, 2*time.Second), false)
	case n < 82:
		y.isolate(server.proc, y.between(50*time.Millisecond, 2*time.Second))
	case n < 87:
		y.isolate(member.proc, y.between(50*time.Millisecond, 3*time.Second))
	case n < 91:
		y.store.lose(y.between(50*time.Millisecond, 2*time.Second))
	case n < 94:
		y.net.stormy = !y.net.stormy
		y.tell("delays are long: %v", y.net.stormy)
	default:
		y.request([]topology.RequestKind{topology.Switchover, topology.Switchover, topology.Abort, topology.Pause, topology.Resume}[y.rng.IntN(5)])
	}
}

func (y *simSystem) request(kind topology.RequestKind) {
	r := topology.Request{ID: fmt.Sprintf("%03d", len(y.store.requests)+1), Kind: kind, By: "ops", At: y.clock(y.store.proc).Round(0)}
	y.tell("somebody asks for a %s", kind)
	y.store.ask(r)
}

func (y *simSystem) partyName(party int) string {
	switch {
	case party == 0:
		return "the store"
	case party <= len(y.servers):
		return y.servers[party-1].addr
	}
	return y.members[party-1-len(y.servers)].id
}

// cutFor cuts two parties off from one another for a while.
func (y *simSystem) cutFor(a, b int, d time.Duration) {
	if y.net.cut[a][b] || y.healed {
		return
	}
	y.tell("%s and %s are cut off from one another for %v", y.partyName(a), y.partyName(b), d.Round(time.Millisecond))
	y.partition(a, b, true)
	if a > 0 && a <= len(y.servers) && b > 0 && b <= len(y.servers) {
		y.silence(a, b)
	}
	y.at(y.now+d, func() {
		if y.net.cut[a][b] {
			y.tell("%s and %s reach one another again", y.partyName(a), y.partyName(b))
			y.partition(a, b, false)
		}
	})
}

// isolate cuts one party off from all others.
func (y *simSystem) isolate(p *simProcess, d time.Duration) {
	for other := range 1 + len(y.servers) + len(y.members) {
		if other != p.party {
			y.cutFor(p.party, other, d)
		}
	}
}

// crashFor kills a server, which is started again after a while.
func (y *simSystem) crashFor(s *simServer, d time.Duration, how simRestart) {
	if !s.proc.alive || y.healed {
		return
	}
	s.crash()
	y.at(y.now+d, func() { s.restart(how) })
}

// killMember kills a member, which is started again after a while.
func (y *simSystem) killMember(m *simMember, d time.Duration) {
	if !m.proc.alive || y.healed {
		return
	}
	y.tell("%s is killed", m)
	y.kill(m.proc)
	y.at(y.now+d, func() { y.startMember(m) })
}

// startMember starts another process in the place of one that is dead.
func (y *simSystem) startMember(m *simMember) {
	for i := range y.members {
		if y.members[i] == m && !m.proc.alive {
			y.tell("%s is started again", m)
			y.members[i] = y.newMember(m.id, m.proc.party)
			for _, app := range y.apps {
				if app.place == i {
					app.restarted()
				}
			}
		}
	}
}

// heal ends all faults.
func (y *simSystem) heal() {
	y.tell("all faults are over")
	y.healed, y.trap, y.net.stormy = true, nil, false
	y.store.regain()
	for a := range simParties {
		for b := range a {
			y.partition(a, b, false)
		}
	}
	for _, m := range y.members {
		if m.proc.paused {
			y.resume(m.proc)
		}
		y.startMember(m)
	}
	for _, s := range y.servers {
		if s.proc.paused {
			y.resume(s.proc)
		}
		s.restart(withData)
	}
	y.request(topology.Resume)
}
