package monitor

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/understudy/understudy/internal/testclock"
)

// simSystem is one whole system in virtual time: applications, members, redis-servers and the store in which members
// agree. Everything that happens is an event in its queue, and everything that is left to chance is taken from one
// generator, so a seed is a schedule.
type simSystem struct {
	seed  uint64
	rng   *rand.Rand
	rule  simRule // the rule that is broken; "" in a sound system
	now   time.Duration
	queue []simEvent
	count int // of events, which orders those of one moment

	net     simNetwork
	store   *simStore
	servers []*simServer
	members []*simMember // by place; of each the process that runs, or ran last
	apps    []*simApp
	trap    *simTrap
	plan    simPlan
	ledger  simLedger // what applications were told, and what servers did
	healed  bool      // all faults are over
	forced  bool      // an operator has given durable writes up

	telling bool
	story   []string
	fault   string       // the first violation of an invariant; "" while there is none
	broken  simInvariant // by it
}

// tell adds a line to the story. Stories are only written when a seed is run again: most of them interest nobody.
func (y *simSystem) tell(format string, args ...any) {
	if y.telling {
		y.story = append(y.story, fmt.Sprintf("%9.3fs  ", y.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// violate ends the schedule: an invariant does not hold.
func (y *simSystem) violate(broken simInvariant, format string, args ...any) {
	if y.fault == "" {
		y.broken, y.fault = broken, fmt.Sprintf(format, args...)
		y.tell("VIOLATION: %s", y.fault)
	}
}

// between returns a random time of at least low and less than high.
func (y *simSystem) between(low, high time.Duration) time.Duration {
	return low + time.Duration(y.rng.Int64N(int64(high-low)))
}

// chance is true in percent of all cases.
func (y *simSystem) chance(percent int) bool { return y.rng.IntN(100) < percent }

// simEvent is something that will happen.
type simEvent struct {
	at    time.Duration
	order int
	run   func()
}

func (e simEvent) before(f simEvent) bool { return e.at < f.at || e.at == f.at && e.order < f.order }

// at has run called at a moment. The queue is a heap.
func (y *simSystem) at(at time.Duration, run func()) {
	y.count++
	q := append(y.queue, simEvent{max(at, y.now), y.count, run})
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
	y.queue = q
}

// next takes the first event from the queue.
func (y *simSystem) next() simEvent {
	q := y.queue
	first, last := q[0], len(q)-1
	q[0], q[last] = q[last], simEvent{}
	q = q[:last]
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < len(q) && q[down].before(q[least]) {
				least = down
			}
		}
		if least == i {
			break
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
	y.queue = q
	return first
}

// runUntil lets everything happen up to a moment, or until something is wrong.
func (y *simSystem) runUntil(end time.Duration) {
	for len(y.queue) > 0 && y.queue[0].at <= end && y.fault == "" {
		e := y.next()
		y.now = e.at
		e.run()
	}
	if y.fault == "" {
		y.now = end
	}
}

// simProcess is one life of something that runs: of a member, a redis-server, or the store.
type simProcess struct {
	name  string
	party int // its place in the network
	alive bool
	died  time.Duration
	rate  float64 // of its clock
	skew  time.Duration
	wires []*simWire

	paused  bool
	since   time.Duration // when the last pause began
	stopped time.Duration // for how long its monotonic clock stood still, because its machine was suspended
	inbox   []simPacket   // what arrived, and which timers fired, meanwhile
	outbox  []simPacket   // what it was about to send
}

func (y *simSystem) newProcess(name string, party int) *simProcess {
	return &simProcess{name: name, party: party, alive: true, rate: 0.98 + 0.04*y.rng.Float64(), skew: y.between(-20*time.Millisecond, 20*time.Millisecond)}
}

// simBirth is when virtual time begins.
var simBirth = time.Now()

// clock is what a process takes for the time, by both of its clocks. They differ by how long its machine was suspended:
// the monotonic one stands still then.
func (y *simSystem) clock(p *simProcess) time.Time {
	return testclock.Suspended(simBirth.Add(time.Duration(float64(y.now-p.stopped)*p.rate)+p.skew), p.stopped)
}

// after has run called by a process in a while, unless it is dead then. While it is paused its timers wait.
func (y *simSystem) after(p *simProcess, d time.Duration, run func()) {
	y.at(y.now+d, func() { y.wake(p, run) })
}

func (y *simSystem) wake(p *simProcess, run func()) {
	switch {
	case !p.alive:
	case p.paused:
		p.inbox = append(p.inbox, simPacket{to: p, run: run})
	default:
		run()
	}
}

// pause stops a process, as SIGSTOP does, or together with the clock of its machine. It goes on with what it believed.
func (y *simSystem) pause(p *simProcess, d time.Duration, suspended bool) {
	if !p.alive || p.paused {
		return
	}
	p.paused, p.since = true, y.now
	y.tell("%s is stopped for %v%s", p.name, d.Round(time.Millisecond), map[bool]string{true: ", and its monotonic clock too"}[suspended])
	y.at(y.now+d, func() {
		if !p.paused || !p.alive {
			return
		}
		if suspended {
			p.stopped += y.now - p.since
		}
		y.resume(p)
	})
}

// resume lets a process go on. What it was about to send goes out now; what waits for it is taken up in any order that
// keeps that of each connection, as threads do.
func (y *simSystem) resume(p *simProcess) {
	p.paused = false
	y.tell("%s goes on", p.name)
	outbox, inbox := p.outbox, p.inbox
	p.outbox, p.inbox = nil, nil
	for _, packet := range outbox {
		packet.departs = y.now
		y.route(packet)
	}
	for _, packet := range inbox {
		at := y.now + y.between(0, 3*time.Millisecond)
		if w := packet.wire; w != nil {
			side := w.side(packet.to)
			at = max(at, w.taken[side]+1)
			w.taken[side] = at
		}
		packet.queued = true
		y.at(at, func() { y.take(packet) })
	}
}
