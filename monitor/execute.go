package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// decide asks for the next actions, while this member leads, and begins those that are not under way.
func (l *loop) decide(now time.Time) {
	if l.snapshot.State == nil {
		l.begin(now)
		return
	}
	if l.term == nil || !l.term.lasts() {
		clear(l.alarms) // they are the leader's business
		l.unwritable, l.misses = "", 0
		return
	}
	if l.busy[string(deedWrite)] || len(l.members) == 0 {
		return
	}
	// The State may have changed since this turn began; what is decided about an old one is void.
	if l.coord.Snapshot().Version != l.snapshot.Version {
		return
	}
	actions := decide(l.situation(now))
	l.tellAlarms(actions, l.snapshot.State, now)
	for _, a := range actions {
		switch a.deed {
		case deedAlarm: // told
		case deedWrite:
			if now.After(l.holdWrites) {
				l.write(a, now)
			}
		case deedRead:
			l.read(a)
		case deedAnswer:
			if now.After(l.holdWrites) {
				l.answer(a)
			}
		default:
			l.command(a)
		}
	}
}

// begin makes the first State when this member has come to lead and there is none still.
func (l *loop) begin(now time.Time) {
	if !l.coord.Leading() || now.Before(l.holdWrites) {
		return
	}
	l.task("bootstrap", func(ctx context.Context) func() {
		err := l.Bootstrap(ctx)
		return func() {
			if err != nil {
				l.holdWrites = time.Now().Add(l.cfg.RetryInterval)
				l.warn("there is no state yet, and none can be made", err)
			}
		}
	})
}

// situation is what is known now.
func (l *loop) situation(now time.Time) situation {
	s := situation{
		now: now, state: l.snapshot.State, phaseSince: l.phaseSince, self: l.cfg.ID, absent: l.absent, members: slices.Clone(l.members), listed: l.listed,
		nodes: make(map[string]node, len(l.records)), aliases: l.aliases, announced: l.announced, peak: l.peak,
		reading: l.reading, tried: l.tried, requests: l.asked(), began: l.failovers.began(), rivals: l.rivals(now), guests: l.guests(now),
		lookedAgain: l.lookedAgain(now), appointed: l.appointed(now), durableFrom: l.counting.from, rehearsal: l.rehearsal,
		rules: rules{
			follow:   l.cfg.Follow,
			strategy: l.cfg.NodeStrategy, requiredMonitors: l.cfg.RequiredMonitors, noFailover: make(map[string]bool),
			configured: make(map[string]bool),
			downAfter:  l.cfg.DownAfter, probeInterval: l.cfg.ProbeInterval,
			maxLagBytes: l.cfg.MaxLagBytes, maxLagTime: l.cfg.MaxLagTime, maxLinkDown: l.cfg.MaxLinkDown,
			fenceTimeout: l.cfg.FenceTimeout, retryInterval: l.cfg.RetryInterval,
			switchoverTime: l.cfg.SwitchoverTimeout,
			maxFailovers:   l.cfg.MaxFailovers, failoverPeriod: l.cfg.FailoverPeriod, failbackDelay: l.cfg.FailbackDelay,
			writeAcks: l.writeAcks(), promises: l.cfg.Identity != "",
		},
	}
	s.rules.forgetAfter = l.cfg.ForgetAfter
	for _, addr := range l.cfg.NoFailover {
		s.rules.noFailover[l.spelled(addr)] = true
	}
	for _, addr := range l.cfg.Nodes {
		s.rules.configured[l.spelled(addr)] = true
	}
	var own []topology.NodeView
	for addr, r := range l.records {
		n := r.node
		if n.errs = r.err != nil; !r.known() {
			n.heard = time.Time{}
		}
		s.nodes[addr] = n
		if l.ours(addr) && r.vitality.testifies() {
			own = append(own, r.vitality.view(addr))
		}
	}
	// What this member thinks now, rather than what it published last.
	for i := range s.members {
		if s.members[i].ID == l.cfg.ID {
			s.members[i].View = own
		}
	}
	s.disputed = l.dispute(&s)
	return s
}

// write replaces the State.
func (l *loop) write(a action, now time.Time) {
	version, was := l.snapshot.Version, l.snapshot.State
	fencedIn := now.Sub(l.phaseSince)
	late := unfenced(l.members, was.Epoch)
	l.task(a.key(), func(ctx context.Context) func() {
		began := time.Now()
		err := l.coord.Update(ctx, version, a.next)
		took := time.Since(began)
		return func() {
			switch {
			case err == nil:
				l.unwritten(nil)
				l.tellWrite(was, a, took, fencedIn, late)
			case errors.Is(err, topology.ErrStale), errors.Is(err, topology.ErrNotLeader), errors.Is(err, topology.ErrClosed):
				l.log.Info("the state was not replaced", "epoch", a.next.Epoch, "reason", err)
			default:
				l.holdWrites = time.Now().Add(l.cfg.RetryInterval)
				l.unwritten(err)
			}
		}
	})
}

// answer is what one node said when its offset was read.
type answer struct {
	addr    string
	info    info
	latency time.Duration
	at      time.Time
}

// read asks the nodes for their offsets, all at once, and waits for the last one no longer than for one command: who
// does not answer has no offset, and decide says so.
func (l *loop) read(a action) {
	controls := make(map[string]*control)
	for _, addr := range a.nodes {
		// Over the connections for commands, whose opening ends those of earlier leaders: what is read is not changed
		// by them any more.
		if l.records[addr] != nil {
			controls[addr] = l.term.orders(addr)
		}
	}
	l.task(a.key(), func(ctx context.Context) func() {
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, l.cfg.CommandTimeout)
		defer cancel()
		incoming := make(chan *answer, len(controls))
		for addr, c := range controls {
			l.tasks.Go(func() {
				n, latency, err := c.info(limited, l.cfg.CommandTimeout)
				if err != nil {
					incoming <- nil
					return
				}
				incoming <- &answer{addr, n, latency, time.Now()}
			})
		}
		var answers []*answer
		for range controls {
			select {
			case got := <-incoming:
				if got != nil {
					answers = append(answers, got)
				}
			case <-limited.Done():
			}
		}
		took := time.Since(began)
		return func() { l.haveRead(a.epoch, answers, took, time.Now()) }
	})
}

// haveRead takes in a reading that is complete at now.
func (l *loop) haveRead(epoch uint64, answers []*answer, took time.Duration, now time.Time) {
	s := l.snapshot.State
	if s.Epoch == epoch && s.Phase == topology.Stable && s.Rehearsal != nil {
		l.haveRehearsed(answers, now)
	}
	if s.Epoch != epoch || s.Phase != topology.Fencing {
		return
	}
	found := &reading{epoch: epoch, at: now, nodes: make(map[string]node)}
	log := l.log.With("epoch", epoch, "took", took)
	for _, n := range answers {
		if r := l.records[n.addr]; r != nil {
			l.learn(n.addr, r, n.info, n.at, n.latency)
			if r.known() {
				found.nodes[n.addr] = r.node
			}
			log = log.With(n.addr, n.info.Offset)
		}
	}
	l.reading = found
	// While nobody can be chosen they are read again and again. What has not changed has been told.
	level, told := slog.LevelInfo, told(epoch, found.nodes)
	if told == l.readTold {
		level = slog.LevelDebug
	}
	l.readTold = told
	log.Log(l.ctx, level, "failover: offsets read")
}

// haveRehearsed takes in a reading of master and target, which the State tells of a switchover that is rehearsed.
func (l *loop) haveRehearsed(answers []*answer, now time.Time) {
	s := l.snapshot.State
	var master, target *answer
	for _, n := range answers {
		r := l.records[n.addr]
		if r == nil {
			continue
		}
		l.learn(n.addr, r, n.info, n.at, n.latency)
		switch n.addr {
		case s.Master.Addr:
			master = n
		case s.Rehearsal.Target:
			target = n
		}
	}
	l.rehearsal.take(master, target, s, now)
	time.AfterFunc(readingPause, func() { poke(l.changed) })
}

// told is what the log tells of a reading.
func told(epoch uint64, nodes map[string]node) string {
	text := fmt.Sprint(epoch)
	for _, addr := range slices.Sorted(maps.Keys(nodes)) {
		text += fmt.Sprintf(" %s=%d", addr, nodes[addr].Offset)
	}
	return text
}

// command carries out an action on a node.
func (l *loop) command(a action) {
	r := l.records[a.addr]
	if r == nil {
		return
	}
	phase, term := l.snapshot.State.Phase, l.term
	c := &commander{control: term.orders(a.addr), limit: l.cfg.CommandTimeout, wanted: func() bool {
		s := l.coord.Snapshot().State
		return term.lasts() && s.Epoch == a.epoch && s.Phase == phase && inState(s, a.addr)
	}}
	if a.deed == deedSwap {
		l.swap(a, c)
		return
	}
	judged := judgedRun(l.snapshot.State, a.addr)
	if a.force {
		r.cutAt = time.Now()
	}
	l.task(a.key(), func(ctx context.Context) func() {
		began := time.Now()
		var res result
		var err error
		switch a.deed {
		case deedPromote:
			res, err = c.promote(ctx, judged)
		case deedAbort:
			res, err = c.abort(ctx)
		default:
			res, err = c.replicate(ctx, a.host, a.force)
		}
		took := time.Since(began)
		return func() { l.commanded(a, res, err, took, time.Now()) }
	})
}

// judgedRun returns the process that was judged fit to be promoted at an address, as it is recorded with the choice. That
// of the master itself is not: what is recorded there is the one that was master before.
func judgedRun(s *topology.State, addr string) string {
	if known, ok := s.Node(addr); ok && addr != s.Master.Addr {
		return known.RunID
	}
	return ""
}

// commanded takes in how an action on a node ended at now.
func (l *loop) commanded(a action, res result, err error, took time.Duration, now time.Time) {
	if errors.Is(err, errDeposed) {
		l.log.Info(string(a.deed)+" was given up", "epoch", a.epoch, "node", a.addr, "reason", err)
		return
	}
	key := step{a.deed, a.addr}
	tried := attempt{epoch: a.epoch, at: now, failed: err != nil}
	before := l.tried[key]
	if err != nil {
		tried.failures, tried.why = 1, brief(err)
		if before.epoch == a.epoch {
			tried.failures += before.failures
		}
	}
	l.tried[key] = tried
	r := l.records[a.addr]
	if r != nil && !res.at.IsZero() {
		l.learn(a.addr, r, res.info, res.at, 0)
	}
	log := l.log.With("epoch", a.epoch, "node", a.addr, "took", took)
	if a.from != "" {
		log = log.With("master", a.from)
	}
	switch {
	case err != nil && l.ctx.Err() == nil:
		level := slog.LevelError
		switch {
		case tried.failures > 1 && tried.why == before.why:
			level = slog.LevelDebug // an alarm says that it goes on
		case loads(err):
			level = slog.LevelInfo // it was started just now, and will do it when it has its data
		}
		log.Log(l.ctx, level, string(a.deed)+" failed", "error", err, "failures", tried.failures)
	case a.deed == deedPromote:
		log.Info("failover: promoted", "offset", res.info.Offset)
	case a.deed == deedAbort:
		log.Info("switchover: the master's own failover is ended", "role", string(res.info.Role))
	case a.deed == deedDemote:
		log.Info("failover: old master demoted")
	default:
		log.Info("node made a replica")
	}
	if res.rewrite != nil {
		l.tellRewrite(log, r, res.rewrite)
	}
	if r != nil {
		r.watcher.ask()
	}
}
