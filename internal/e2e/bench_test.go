package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/monitor"
)

// BenchmarkPauseWhenTheMasterIsKilled kills the master again and again under 50 writing clients, at default settings,
// and reports how long the one that waited longest could not write, and of all rounds the errors, the writes with unknown
// outcome, and those that were acknowledged and lost. Run it with
//
//	go test ./internal/e2e -run '^$' -bench Pause -benchtime 20x
func BenchmarkPauseWhenTheMasterIsKilled(b *testing.B) {
	s := start(b, options{replicas: 2, monitor: func(c *monitor.Config) { c.MaxFailovers = 0 }})
	s.do("SET", "fixed", "value")
	var r rounds
	for b.Loop() {
		l := startLoad(s, 50, 5)
		l.progress(stage)
		epoch, old := s.epoch(), s.master()
		must(b, old.Kill())
		s.waitMasterAfter(epoch)
		l.progress(stage)
		l.end(b, 1)
		r.add(b, l)
		must(b, old.Restart(b.Context()))
		s.waitReplicas(2)
	}
	r.report(b)
}

// benchmarkPauses measures the pauses of something that is done to the system and leaves it whole.
func benchmarkPauses(b *testing.B, do func(*system)) {
	s := start(b, options{replicas: 2})
	s.do("SET", "fixed", "value")
	var r rounds
	for b.Loop() {
		l := startLoad(s, 50, 5)
		l.progress(stage)
		do(s)
		l.progress(stage)
		l.end(b, 0)
		l.exact(b)
		r.add(b, l)
		s.waitReplicas(2)
	}
	r.report(b)
}

// rounds is what clients saw in the rounds of a benchmark.
type rounds struct {
	pauses                []time.Duration // the longest of each
	errors, unknown, lost int64
}

// add counts one load, after end.
func (r *rounds) add(b *testing.B, l *load) {
	r.pauses = append(r.pauses, l.longestGap())
	conn := l.s.dial()
	for _, w := range l.writers {
		final, err := redis.Int64(conn.Do("GET", w.key))
		must(b, err)
		r.errors += int64(len(w.errs))
		r.unknown += w.unknown
		r.lost += max(0, w.acked.Load()-final)
	}
	for _, reader := range l.readers {
		r.errors += int64(len(reader.errs))
	}
}

func (r *rounds) report(b *testing.B) {
	slices.Sort(r.pauses)
	const much = 100 * time.Millisecond
	within, _ := slices.BinarySearch(r.pauses, much)
	b.ReportMetric(float64(r.pauses[len(r.pauses)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(r.pauses[len(r.pauses)-1].Microseconds())/1000, "ms-max")
	b.ReportMetric(float64(len(r.pauses)-within), "over-100ms")
	b.ReportMetric(float64(r.errors), "errors")
	b.ReportMetric(float64(r.unknown), "unknown")
	b.ReportMetric(float64(r.lost), "lost")
	b.ReportMetric(0, "ns/op") // the time of a round says nothing
}

// longestGap returns the longest time between two acknowledged writes of one client.
func (l *load) longestGap() time.Duration {
	var gap time.Duration
	for _, w := range l.writers {
		gap = max(gap, w.gap)
	}
	return gap
}
