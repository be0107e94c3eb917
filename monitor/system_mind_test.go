package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

const (
	simTurn    = 200 * time.Millisecond // between two looks at the clock
	simPolling = 300 * time.Millisecond // between two INFO of a node
	simCommand = 300 * time.Millisecond // how long a command may take
	simRetry   = 250 * time.Millisecond // between two attempts at the same
)

// simMind is what a member's monitor knows, and does while it leads. The loop in it is the real one, and everything that
// judges and decides is its code: what observations make of a node, what a situation is, and what is to be done. Only
// what it would have goroutines do is done here, in virtual time: looking at nodes, writing the State, commanding.
type simMind struct {
	*simMember
	loop           *loop
	turning        bool
	membersChanged bool
	listing        bool
	writing        bool
	holdWrites     time.Duration
	probing        map[string]bool
	busy           map[string]bool
	term           *term // the one that orders belong to
	number         int   // of the leader's candidate in it
	orders         map[string]*simOrders
	told           string
}

// simSettings are those of every member.
func (y *simSystem) simSettings(id string) Config {
	cfg := Defaults()
	cfg.Cluster, cfg.ID, cfg.Identity = "sim", id, "sim"
	for _, s := range y.servers {
		cfg.Nodes = append(cfg.Nodes, s.addr)
	}
	cfg.DownAfter, cfg.StallAfter, cfg.ProbeInterval = 300*time.Millisecond, 600*time.Millisecond, simPolling
	cfg.CommandTimeout, cfg.RetryInterval, cfg.SwitchoverTimeout = simCommand, simRetry, time.Second
	cfg.WriteAcks = y.plan.acks
	cfg.FenceTimeout, cfg.MaxFailovers, cfg.FailbackDelay = 2*time.Second, 0, 500*time.Millisecond
	return cfg
}

// begin makes the loop of a monitor that runs nothing by itself.
func (d *simMind) begin(m *simMember) {
	d.simMember = m
	cfg := m.simSettings(m.id)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a task that the loop would begin of its own accord is none
	now := m.clock()
	d.loop = &loop{
		Monitor: &Monitor{cfg: cfg, coord: simCoordinator{m}, log: slog.New(slog.DiscardHandler)},
		ctx:     ctx, busy: make(map[string]bool), records: make(map[string]*record), aliases: make(map[string]string),
		announced: make(map[string]string), trail: newTrail(cfg.MaxLagTime), tried: make(map[step]attempt), alarms: make(map[string]alarm),
		stops: newStops(simTurn, 10*cfg.StallAfter, now), lastTurn: now,
	}
	d.probing, d.busy, d.orders = make(map[string]bool), make(map[string]bool), make(map[string]*simOrders)
	patience := patience{maxFailures: cfg.MaxFailures, downAfter: cfg.DownAfter, stallAfter: cfg.StallAfter}
	for _, s := range m.servers {
		d.loop.records[s.addr] = &record{watcher: &watcher{addr: s.addr}, vitality: vitality{patience: patience, stops: d.loop.stops}, since: now}
	}
	m.after(m.proc, m.between(0, simTurn), d.tick)
	m.after(m.proc, m.between(0, 20*time.Millisecond), d.poll)
}

func (d *simMind) tick() {
	d.after(d.proc, simTurn, d.tick)
	d.turnSoon()
}

// turnSoon has the loop take a turn. What happens in the same moment is one.
func (d *simMind) turnSoon() {
	if d.turning {
		return
	}
	d.turning = true
	d.after(d.proc, 500*time.Microsecond, d.turn)
}

// turn is what loop.run does after every event.
func (d *simMind) turn() {
	d.turning = false
	l, now := d.loop, d.clock()
	l.stops.mark(now)
	l.noticeGap(now)
	l.follow(l.coord.Snapshot(), now)
	d.lead()
	seen := l.resumeSeen
	if l.heed(now); seen.IsZero() && !l.resumeSeen.IsZero() {
		d.probeSoon(d.server(l.snapshot.State.Master.Addr))
	}
	l.judge(now)
	l.lastTurn = now
	d.publish()
	if !d.Leading() {
		return
	}
	if d.membersChanged || l.listed.Before(l.phaseSince) || l.rehearsal.unlisted(l.listed) || now.Sub(l.listed) > l.cfg.ProbeInterval {
		d.listMembers()
	}
	l.counting.judge(l.members, l.listed, now)
	l.rehearsal.judge(l.members, l.listed, now)
	d.decide(now)
}

// publish has the others see this member's view of the nodes when it has changed.
func (d *simMind) publish() {
	var view []topology.NodeView
	for _, s := range d.servers {
		if v := &d.loop.records[s.addr].vitality; v.testifies() {
			n := v.view(s.addr)
			n.Since = n.Since.Round(0) // as others read it
			view = append(view, n)
		}
	}
	if !slices.Equal(view, d.entry.View) {
		for _, n := range view {
			if i := slices.IndexFunc(d.entry.View, func(o topology.NodeView) bool { return o.Addr == n.Addr }); i < 0 && n.Down || i >= 0 && d.entry.View[i].Down != n.Down {
				d.tell("%s holds %s %s", d, n.Addr, map[bool]string{true: "down: " + n.Reason, false: "alive"}[n.Down])
			}
		}
		d.entry.View = view
		d.beat()
	}
}

// listMembers asks the store who is there.
func (d *simMind) listMembers() {
	if d.listing || d.sess == nil {
		return
	}
	d.listing, d.membersChanged = true, false
	began := d.clock()
	var members []topology.Member
	s, term := d.sess, d.loop.term
	d.call(func(*simWire) error { members = d.store.members(); return nil }, func(error) {
		d.listing = false
		if d.sess == s && d.loop.term == term {
			d.loop.haveListed(members, began)
			d.turnSoon()
		}
	}, func() { d.listing = false })
}

// decide is loop.decide.
func (d *simMind) decide(now time.Time) {
	l := d.loop
	if l.term == nil || !l.term.lasts() || d.writing || len(l.members) == 0 || d.agreed.Version != l.snapshot.Version {
		return
	}
	s := l.situation(now)
	if d.rule == simNoFenceWait {
		for i := range s.members {
			s.members[i].Fenced = s.state.Epoch
		}
	}
	if d.rule == simNoDurableRule && s.state.Phase == topology.Fencing {
		s.state = s.state.Clone()
		s.state.Failover.Forced = true
	}
	for _, a := range decide(s) {
		d.act(a)
	}
}

// act carries out an action that is not under way.
func (d *simMind) act(a action) {
	switch a.deed {
	case deedAlarm:
		d.tellOnce("%s: %s", d, a)
		if waitsForHolders(a) {
			d.simSystem.ledger.waited = d.now
		}
	case deedWrite:
		if d.now >= d.holdWrites && !d.writing {
			d.write(topology.Snapshot{State: a.next})
		}
	case deedRead:
		if !d.busy[a.key()] {
			d.read(a)
		}
	case deedAnswer:
		s := d.sess
		d.call(func(*simWire) error { d.store.answer(s, a.request, a.answer, a.why); return nil }, func(error) {}, func() {})
	default:
		if !d.busy[a.key()] {
			d.command(a)
		}
	}
}

// tellOnce tells what is told with every turn when it is something new.
func (d *simMind) tellOnce(format string, args ...any) {
	if !d.telling {
		return
	}
	if line := fmt.Sprintf(format, args...); line != d.told {
		d.told = line
		d.tell("%s", line)
	}
}

// write replaces the State.
func (d *simMind) write(next topology.Snapshot) {
	if err := next.State.Validate(); err != nil {
		d.violate(simStateInSteps, "%s writes a State that is none: %v", d, err)
		return
	}
	for i := range next.State.Recent {
		next.State.Recent[i].At = next.State.Recent[i].At.Round(0)
	}
	d.spring(simStepOf(d.agreed.State, next.State), false, d.simMember)
	d.writing = true
	s, version := d.sess, d.agreed.Version
	d.call(func(w *simWire) error { return d.store.update(s, w, version, next) }, func(err error) {
		d.writing = false
		switch {
		case err == nil:
			next.Version = version + 1
			if d.rule == simUnversionedWrite {
				next = d.store.agreed
			}
			d.learn(next)
		case errors.Is(err, topology.ErrNotLeader) && d.sess == s:
			d.lose()
		}
		d.spring(simStepOf(d.agreed.State, next.State), true, d.simMember)
		d.turnSoon()
	}, func() {
		// Its outcome is unknown until the State has been read again.
		d.refresh(func() {})
		d.holdWrites = d.now + simRetry
		d.writing = false
	})
}

// poll asks every node for INFO.
func (d *simMind) poll() {
	d.after(d.proc, simPolling, d.poll)
	for _, s := range d.servers {
		d.probe(s)
	}
}

// probeSoon looks at a node at once.
func (d *simMind) probeSoon(s *simServer) { d.after(d.proc, time.Millisecond, func() { d.probe(s) }) }

// noticeDeath is what the end of a watch connection is for.
func (m *simMember) noticeDeath(s *simServer) {
	if m.proc.alive && !m.isCut(m.proc, s.proc) {
		m.mind.probeSoon(s)
	}
}

// probe looks at a node, as the goroutines of watcher do. What it is like in this moment decides what is seen.
func (d *simMind) probe(s *simServer) {
	if d.probing[s.addr] {
		return
	}
	d.probing[s.addr] = true
	began := d.clock()
	seen := func(wait time.Duration, observations ...sign) {
		d.after(d.proc, wait, func() {
			if d.probing[s.addr] = false; d.loop.stops.spoiled(began, d.clock()) {
				d.probeSoon(s)
				return
			}
			for _, sign := range observations {
				d.observe(s, observation{sign: sign, began: began, at: d.clock(), reason: "connection refused"}, nil)
			}
		})
	}
	switch p := s.proc; {
	case d.isCut(d.proc, p):
		seen(d.loop.cfg.DownAfter/2, signTimeout)
	case !p.alive:
		seen(8*time.Millisecond, signRefusal, signRefusal, signRefusal)
	case p.paused:
		seen(d.loop.cfg.DownAfter/2, signAccept, signSilence)
	default:
		d.send(d.proc, p, nil, func() {
			n := s.info()
			d.send(p, d.proc, nil, func() {
				d.probing[s.addr] = false
				d.observe(s, observation{sign: signLife, began: began, at: d.clock()}, &n)
			})
		})
		d.after(d.proc, d.loop.cfg.DownAfter, func() { d.probing[s.addr] = false })
	}
}

// observe gives the loop what was seen.
func (d *simMind) observe(s *simServer, o observation, n *info) {
	r := d.loop.records[s.addr]
	d.loop.take(report{from: r.watcher, observation: o, info: n, latency: time.Millisecond})
	switch {
	case o.sign == signTimeout || o.sign == signSilence:
		d.probeSoon(s)
	case o.sign == signLife && !r.vitality.down && !d.Leading():
		return // the next look at the clock is soon enough: this is most of what happens, and changes nothing
	}
	d.turnSoon()
}

// simCoordinator is what the loop sees of the agreement.
type simCoordinator struct{ m *simMember }

func (c simCoordinator) Snapshot() topology.Snapshot                                   { return c.m.agreed }
func (c simCoordinator) Watch(func(topology.Snapshot)) (stop func())                   { return func() {} }
func (c simCoordinator) Publish(context.Context, []topology.NodeView) error            { return nil }
func (c simCoordinator) Members(context.Context) ([]topology.Member, error)            { return nil, nil }
func (c simCoordinator) MembersChanged() <-chan struct{}                               { return nil }
func (c simCoordinator) Raise(context.Context, []string) error                         { return nil }
func (c simCoordinator) Leading() bool                                                 { return c.m.Leading() }
func (c simCoordinator) Shared() bool                                                  { return true }
func (c simCoordinator) Update(context.Context, int64, *topology.State) error          { return nil }
func (c simCoordinator) Suspicions() <-chan struct{}                                   { return nil }
func (c simCoordinator) TakeSuspicions() []string                                      { return nil }
func (c simCoordinator) Requests() []topology.Request                                  { return c.m.requests }
func (c simCoordinator) WatchRequests(func([]topology.Request)) (stop func())          { return func() {} }
func (c simCoordinator) Answer(context.Context, string, topology.Answer, string) error { return nil }
