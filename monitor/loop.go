package monitor

import (
	"context"
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
	wanted     wantedAcks
	absent     map[string]time.Time // electors that were not listed, and since when
	// membersChanged says that members has changed since it was last asked for.
	membersChanged bool
	published      []topology.NodeView
	reading        *reading
	readTold       string // what the log has told of the last reading
	tried          map[step]attempt
	holdWrites     time.Time            // no write before: the last one failed
	alarms         map[string]alarm     // by subject
	expected       map[string]time.Time // subjects of alarms that have some time before they are raised, and since when they stand
	unwritable     string               // the alarm that the State cannot be written; "": it can
	misses         int                  // how often in a row it could not
	raised         []string             // what others are told
	raisedIn       *term                // and in which term; nil: nothing yet
	raisedAt       time.Time            // when it was last tried
	failovers      chronicle
	resumeSeen     time.Time // since when this member knows of a resume that is asked for; zero while there is none
	term           *term     // nil while this member does not lead
	hello          hello     // the newest that Sentinels told
	overruled      hello     // what they told when State's master became another one than that

	sought       map[string]string // by request that names a node as nobody else does, the node in State; "": there is none
	disputed     time.Time         // see dispute
	disputedNode string            // the master that it is about

	stops    *stops
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
		sought:    make(map[string]string),
		announced: make(map[string]string),
		trail:     newTrail(m.cfg.MaxLagTime),
		tried:     make(map[step]attempt),
		alarms:    make(map[string]alarm),
		stops:     newStops(turnInterval, 10*m.cfg.StallAfter, time.Now()),
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
		is := l.coord.Snapshot()
		now := time.Now() // after that: what is waited for behind a fence is counted from when it was learned of
		l.stops.mark(now)
		l.noticeGap(now)
		l.follow(is, now)
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

// suspect probes the nodes that the proxy has doubts about.
func (l *loop) suspect() {
	for _, addr := range l.coord.TakeSuspicions() {
		if r, ok := l.records[l.spelled(addr)]; ok {
			r.watcher.doubt()
			r.watcher.ask()
		}
	}
}

// follow takes in the State that there was just before now, if it is a new one.
func (l *loop) follow(is topology.Snapshot, now time.Time) {
	was := l.snapshot
	if is.State == nil || is.Version == was.Version {
		return
	}
	l.snapshot, l.changedAt = is, now
	if was.State == nil || was.State.Epoch != is.State.Epoch || was.State.Phase != is.State.Phase {
		l.phaseSince = now
		l.reading = nil
	}
	if was.State != nil && was.State.Master.Addr != is.State.Master.Addr {
		l.overrule(is.State.Master.Addr, now)
	}
	l.failovers.follow(was.State, is.State, now)
	l.counting.follow(was.State, is, now)
	l.rehearsal.follow(is, now)
	for _, n := range nodesOf(is.State) {
		l.watch(n.Addr)
	}
	if is.State.Master.ReplID != l.history {
		l.history, l.peak, l.trail = is.State.Master.ReplID, inherited(is.State), newTrail(l.cfg.MaxLagTime)
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
		watcher:  watch(l.ctx, &l.cfg, l.dialer, addr, l.reports, l.stops),
		vitality: vitality{patience: p, stops: l.stops},
		since:    time.Now(),
	}
}

// listMembers refreshes the list of members.
func (l *loop) listMembers() {
	began, term := time.Now(), l.term
	begun := l.task("members", func(ctx context.Context) func() {
		members, err := l.coord.Members(ctx)
		return func() {
			switch {
			case err != nil:
				l.warn("the members could not be listed", err)
			case l.term == term:
				l.haveListed(members, began)
			}
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
		if l.term != nil {
			l.wanted.look(l.term, l.cfg.WriteAcks, agreedAcks(s), members, asked)
		}
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
