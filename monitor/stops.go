package monitor

import (
	"slices"
	"sync"
	"time"
)

// stops knows when this process did not run: because it was stopped, or because others had the processors. What was waited for
// meanwhile may have come, and lie unread. Any number of goroutines may use it; of a nil one there are no stops.
//
// Every turn of the loop is a sign that the process runs, and so is every question that is asked here: somebody is awake to
// ask. Only the monotonic clock counts, because that is what limits are measured by.
type stops struct {
	usual time.Duration // between two turns
	kept  time.Duration // for how long they are remembered

	mu   sync.Mutex
	last time.Time // when it was last seen to run
	all  []stop    // in order
}

// stop is a time in which the process did not run.
type stop struct{ began, ended time.Time }

func newStops(usual, kept time.Duration, now time.Time) *stops {
	return &stops{usual: usual, kept: kept, last: now}
}

// mark takes note that the process runs.
func (s *stops) mark(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see(now)
}

// see is mark. A turn may come late by half of the usual time: that is no stop. The caller holds mu.
func (s *stops) see(now time.Time) {
	if now.Sub(s.last) > s.usual*3/2 {
		s.all = append(slices.DeleteFunc(s.all, func(o stop) bool { return now.Sub(o.ended) > s.kept }), stop{s.last.Add(s.usual), now})
	}
	if now.After(s.last) {
		s.last = now
	}
}

// within returns for how much of a time that ends now, or ended before, the process did not run.
func (s *stops) within(began, ended time.Time) (lost time.Duration) {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see(ended)
	for _, o := range s.all {
		from, to := o.began, o.ended
		if from.Before(began) {
			from = began
		}
		if to.After(ended) {
			to = ended
		}
		lost += max(0, to.Sub(from))
	}
	return lost
}

// spoiled reports whether it proves nothing that a time of waiting has ended without an answer: the process ran for less
// than half of it.
func (s *stops) spoiled(began, ended time.Time) bool {
	return 2*s.within(began, ended) > ended.Sub(began)
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
		r.node.heard, r.err = time.Time{}, nil
		r.watcher.doubt()
		r.watcher.ask()
	}
	l.reading = nil
	l.endTerm() // what the others held before is as old, and one of them may have led meanwhile
}
