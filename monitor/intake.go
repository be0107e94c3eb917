package monitor

import (
	"maps"
	"strings"
	"time"
)

// takeWaiting takes in the reports that have queued up, so that one decision serves them all.
func (l *loop) takeWaiting() {
	for range len(l.reports) {
		l.take(<-l.reports)
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
