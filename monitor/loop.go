package monitor

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy/understudy/topology"
)

const (
	// turnInterval is how often the loop looks at the clock when nothing happens.
	turnInterval = 100 * time.Millisecond
	// settleTime is how long nodes are asked more often after a change of State.
	settleTime = 5 * time.Second
	// cutTime is how long after a command that disconnects a node's clients the loss of our own connection is its work.
	cutTime = time.Second
)

// loop is the one owner of everything the monitor knows. Its methods are called by the goroutine of run only; what
// takes time is done by others, who report back through reports and outcomes.
type loop struct {
	*Monitor
	ctx      context.Context
	dialer   *dialer
	reports  chan report
	outcomes chan func() // run by the loop: what a task found out
	changed  chan struct{}
	tasks    sync.WaitGroup
	busy     map[string]bool // keys of the tasks under way
	unwatch  func()

	records   map[string]*record
	aliases   map[string]string // further address of a node -> the one it is watched by
	announced map[string]string // address -> the one by which other nodes reach it, "" if that is the same
	trail     *trail            // of the master of history
	history   string            // the replication id that trail and peak are about
	peak      int64

	snapshot   topology.Snapshot
	phaseSince time.Time
	changedAt  time.Time
	members    []topology.Member
	listed     time.Time
	counting   counting
	rehearsal  rehearsal
	absent     map[string]time.Time // electors that were not listed, and since when
	// membersChanged says that members has changed since it was last asked for.
	membersChanged bool
	published      []topology.NodeView
	reading        *reading
	readTold       string // what the log has told of the last reading
	tried          map[step]attempt
	holdWrites     time.Time        // no write before: the last one failed
	alarms         map[string]alarm // by subject
	unwritable     string           // the alarm that the State cannot be written; "": it can
	misses         int              // how often in a row it could not
	raised         []string         // what others are told
	raisedIn       *term            // and in which term; nil: nothing yet
	raisedAt       time.Time        // when it was last tried
	failovers      chronicle
	resumeSeen     time.Time // since when this member knows of a resume that is asked for; zero while there is none
	term           *term     // nil while this member does not lead
	hello          hello     // the newest that Sentinels told

	disputed     time.Time // see dispute
	disputedNode string    // the master that it is about

	lastTurn time.Time
	reported time.Time // when Status was made
}

func newLoop(ctx context.Context, m *Monitor) *loop {
	l := &loop{
		Monitor:   m,
		ctx:       ctx,
		dialer:    newDialer(&m.cfg),
		reports:   make(chan report, 256),
		outcomes:  make(chan func(), 64),
		changed:   make(chan struct{}, 1),
		busy:      make(map[string]bool),
		records:   make(map[string]*record),
		aliases:   make(map[string]string),
		announced: make(map[string]string),
		trail:     newTrail(m.cfg.MaxLagTime),
		tried:     make(map[step]attempt),
		alarms:    make(map[string]alarm),
		lastTurn:  time.Now(),
	}
	unwatch := m.coord.Watch(func(topology.Snapshot) { poke(l.changed) })
	ignore := m.coord.WatchRequests(func([]topology.Request) { poke(l.changed) })
	l.unwatch = func() {
		unwatch()
		ignore()
	}
	for _, addr := range m.cfg.Nodes {
		l.watch(addr)
	}
	return l
}

// close waits for everything that run began; its context has ended.
func (l *loop) close() {
	l.unwatch()
	l.endTerm()
	l.tasks.Wait()
	for _, r := range l.records {
		r.watcher.close()
	}
}

// run takes turns until ctx ends: after every event, and now and then.
func (l *loop) run(ctx context.Context) {
	tick := time.NewTicker(turnInterval)
	defer tick.Stop()
	for {
		var r report
		var outcome func()
		select {
		case <-ctx.Done():
			return
		case r = <-l.reports:
		case outcome = <-l.outcomes:
		case <-l.changed:
		case <-l.coord.MembersChanged():
			l.membersChanged = true
		case <-l.coord.Suspicions():
			l.suspect()
		case <-tick.C:
		}
		now := time.Now()
		l.noticeGap(now)
		l.follow(now)
		l.lead(now)
		if r.from != nil {
			l.take(r)
			l.takeWaiting()
		}
		if outcome != nil {
			outcome()
		}
		l.heed(now)
		l.judge(now)
		if l.coord.Leading() && (l.membersChanged || l.listed.Before(l.phaseSince) || l.rehearsal.unlisted(l.listed) || now.Sub(l.listed) > l.cfg.ProbeInterval) {
			l.listMembers()
		}
		l.counting.judge(l.members, l.listed, now)
		l.rehearsal.judge(l.members, l.listed, now)
		l.decide(now)
		l.raise(now)
		l.prune(now)
		l.report(now)
		l.lastTurn = now
	}
}

// takeWaiting takes in the reports that have queued up, so that one decision serves them all.
func (l *loop) takeWaiting() {
	for range len(l.reports) {
		l.take(<-l.reports)
	}
}

// noticeGap discards observations when this process was not running since the last turn: every limit may have passed
// meanwhile without any fault of the nodes. The wall clock is looked at as well because a suspended machine may stop
// the monotonic one.
func (l *loop) noticeGap(now time.Time) {
	limit := min(max(l.cfg.DownAfter/2, 5*turnInterval), time.Second)
	gap := max(now.Sub(l.lastTurn), now.Round(0).Sub(l.lastTurn.Round(0)))
	if gap < limit {
		return
	}
	l.log.Warn("this process was stopped for a while; observations of that time are discarded", "gap", gap)
	for _, r := range l.records {
		r.vitality.discard(now)
		r.node.heard = time.Time{}
		r.watcher.doubt()
		r.watcher.ask()
	}
	l.reading = nil
	l.endTerm() // others may have led meanwhile
}

// suspect probes the nodes that the proxy has doubts about.
func (l *loop) suspect() {
	for _, addr := range l.coord.TakeSuspicions() {
		if r, ok := l.records[l.spelled(addr)]; ok {
			r.watcher.doubt()
			r.watcher.ask()
		}
	}
}

// follow takes in a new State.
func (l *loop) follow(now time.Time) {
	was, is := l.snapshot, l.coord.Snapshot()
	if is.State == nil || is.Version == was.Version {
		return
	}
	l.snapshot, l.changedAt = is, now
	if was.State == nil || was.State.Epoch != is.State.Epoch || was.State.Phase != is.State.Phase {
		l.phaseSince = now
		l.reading = nil
	}
	l.failovers.follow(was.State, is.State, now)
	l.counting.follow(was.State, is, now)
	l.rehearsal.follow(is, now)
	for _, n := range nodesOf(is.State) {
		l.watch(n.Addr)
	}
	if is.State.Master.ReplID != l.history {
		l.history, l.peak, l.trail = is.State.Master.ReplID, 0, newTrail(l.cfg.MaxLagTime)
	}
}

// nodesOf lists all nodes of a State.
func nodesOf(s *topology.State) []topology.Node {
	nodes := []topology.Node{s.Master}
	for _, r := range s.Replicas {
		nodes = append(nodes, r.Node)
	}
	return append(nodes, s.Unavailable...)
}

// watch begins to watch a node, unless it is watched already under this or another address.
func (l *loop) watch(addr string) {
	if _, ok := l.aliases[addr]; ok || l.records[addr] != nil {
		return
	}
	p := patience{maxFailures: l.cfg.MaxFailures, downAfter: l.cfg.DownAfter, stallAfter: l.cfg.StallAfter}
	l.records[addr] = &record{
		watcher:  watch(l.ctx, &l.cfg, l.dialer, addr, l.reports),
		vitality: vitality{patience: p},
		since:    time.Now(),
	}
}

// take takes in one report.
func (l *loop) take(r report) {
	rec := l.records[r.from.addr]
	if rec == nil || rec.watcher != r.from {
		return // of a node that is not watched any more
	}
	rec.vitality.observe(r.observation)
	if r.company != nil {
		rec.company = *r.company
	}
	if r.hello != nil && l.ours(r.from.addr) {
		l.greeted(*r.hello)
	}
	if r.sign == signLife {
		rec.lost = false
	}
	if r.lost != nil && !rec.lost && !rec.vitality.down && l.ours(r.from.addr) && r.at.Sub(rec.cutAt) > cutTime {
		rec.lost = true
		l.log.Info("watch connection lost", "node", r.from.addr, "error", brief(r.lost))
	}
	if r.lost != nil || r.sign == signRefusal {
		rec.lose(r.at)
	}
	if r.asked && denies(r.err) {
		rec.node.denied = strings.TrimRight(r.err.Error(), ". ")
	}
	if r.err != nil {
		rec.err = r.err
		if !rec.told {
			rec.told = true
			l.log.Warn("node answers with an error", "node", r.from.addr, "error", r.err)
		}
	}
	if r.info != nil && !r.began.Before(rec.vitality.voidUntil) {
		rec.err, rec.told = nil, false
		l.learn(r.from.addr, rec, *r.info, r.at, r.latency)
	}
}

// learn takes in what a node said of itself.
func (l *loop) learn(addr string, rec *record, n info, at time.Time, latency time.Duration) {
	asked := at.Add(-latency)
	if at.Before(rec.node.heard) || !asked.After(rec.lostAt) {
		return // overtaken by what a command has found out, or by the loss of the node
	}
	if s := l.snapshot.State; s != nil && addr == s.Master.Addr && n.Role == roleMaster && n.ReplID == l.history &&
		!restarted(s.Master, n) {
		l.peak = max(l.peak, n.Offset)
		l.trail.add(n.Offset, asked) // it was so when it was asked, or later
	}
	if rec.node.RunID != n.RunID {
		// Another process: what else answered as the last one may not be this one.
		maps.DeleteFunc(l.aliases, func(_, to string) bool { return to == addr })
	}
	rec.learn(n, at, latency, l.trail)
	l.identify(addr, n)
}

// judge brings all verdicts up to now and publishes this member's view when it changed.
func (l *loop) judge(now time.Time) {
	var view []topology.NodeView
	unsettled, questioned := now.Sub(l.changedAt) < settleTime, l.questioned()
	for _, addr := range slices.Sorted(maps.Keys(l.records)) {
		r := l.records[addr]
		was := r.vitality.down
		r.vitality.judge(now)
		_, r.node.doubted = r.vitality.doubted()
		r.watcher.restless.Store(unsettled && l.unsettled(addr))
		if was := r.watcher.witness.Swap(questioned); questioned && !was {
			r.watcher.ask()
		}
		if !l.ours(addr) {
			continue // a name that is not known to be a node yet
		}
		if r.vitality.down && !was {
			level := slog.LevelInfo
			if l.essential(addr) {
				level = slog.LevelWarn
			}
			r.lose(now)
			l.log.Log(l.ctx, level, "node is down", "node", addr, "reason", r.vitality.reason, "after", now.Sub(r.vitality.since))
		} else if r.node.down && !r.vitality.down {
			l.log.Info("node answers again", "node", addr)
		}
		r.node.down, r.node.lives = r.vitality.down, !r.vitality.down && !r.vitality.life.IsZero()
		if !r.vitality.born.IsZero() {
			view = append(view, r.vitality.view(addr))
		}
	}
	if !slices.Equal(view, l.published) && !l.busy["publish"] {
		l.published = view
		l.task("publish", func(ctx context.Context) func() {
			err := l.coord.Publish(ctx, view)
			return func() {
				if err != nil {
					l.published = nil // so that it is tried again
					l.warn("the view of the nodes could not be published", err)
				}
			}
		})
	}
}

// ours reports whether addr is a node that is configured or in the State.
func (l *loop) ours(addr string) bool {
	return slices.Contains(l.cfg.Nodes, addr) || l.snapshot.State != nil && inState(l.snapshot.State, addr)
}

// essential reports whether a node is the master, or the last replica that is not down.
func (l *loop) essential(addr string) bool {
	s := l.snapshot.State
	if s == nil || addr == s.Master.Addr {
		return s != nil
	}
	_, replica := s.Replica(addr)
	return replica && !slices.ContainsFunc(s.Replicas, func(r topology.Replica) bool {
		other := l.records[r.Addr]
		return r.Addr != addr && other != nil && !other.vitality.down
	})
}

// unsettled reports whether a node's part in the State is about to change.
func (l *loop) unsettled(addr string) bool {
	s := l.snapshot.State
	if s == nil || s.Phase != topology.Stable {
		return true
	}
	r, replica := s.Replica(addr)
	return addr != s.Master.Addr && (!replica || r.Health != topology.Online)
}

// listMembers refreshes the list of members.
func (l *loop) listMembers() {
	began := time.Now()
	begun := l.task("members", func(ctx context.Context) func() {
		members, err := l.coord.Members(ctx)
		return func() {
			if err != nil {
				l.warn("the members could not be listed", err)
				return
			}
			l.haveListed(members, began)
		}
	})
	if begun { // or else what is under way may have read before the change, and the next turn asks again
		l.membersChanged = false
	}
}

// haveListed takes in a list of members that was asked for at a time.
func (l *loop) haveListed(members []topology.Member, asked time.Time) {
	l.members, l.listed = members, asked
	if s := l.snapshot.State; s != nil {
		l.absent = absentees(l.absent, s.Electors, members, asked)
	}
}

// task runs f in a goroutine, unless one with the same key is under way, and then the function that it returns in the
// loop. It reports whether it was begun.
func (l *loop) task(key string, f func(ctx context.Context) func()) bool {
	if l.busy[key] || l.ctx.Err() != nil {
		return false
	}
	l.busy[key] = true
	l.tasks.Go(func() {
		outcome := f(l.ctx)
		select {
		case l.outcomes <- func() { delete(l.busy, key); outcome() }:
		case <-l.ctx.Done():
		}
	})
	return true
}

// warn logs an error, except that of being told to stop.
func (l *loop) warn(what string, err error) {
	if l.ctx.Err() == nil {
		l.log.Warn(what, "error", err)
	}
}
