package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/understudy/understudy/monitor"
)

// BenchmarkPauseWhenTheMasterIsKilled kills the master again and again under 50 writing clients, at default settings,
// and reports how long the one that waited longest could not write. Run it with
//
//	go test ./internal/e2e -run '^$' -bench Pause -benchtime 20x
func BenchmarkPauseWhenTheMasterIsKilled(b *testing.B) {
	s := start(b, options{replicas: 2, monitor: func(c *monitor.Config) { c.MaxFailovers = 0 }})
	s.do("SET", "fixed", "value")
	var pauses []time.Duration
	for b.Loop() {
		l := startLoad(s, 50, 5)
		l.progress(stage)
		epoch, old := s.epoch(), s.master()
		must(b, old.Kill())
		s.waitMasterAfter(epoch)
		l.progress(stage)
		l.end(b, 1)
		pauses = append(pauses, l.longestGap())
		must(b, old.Restart(b.Context()))
		s.waitReplicas(2)
	}
	report(b, pauses)
}

// benchmarkPauses measures the pauses of something that is done to the system and leaves it whole.
func benchmarkPauses(b *testing.B, do func(*system)) {
	s := start(b, options{replicas: 2})
	s.do("SET", "fixed", "value")
	var pauses []time.Duration
	for b.Loop() {
		l := startLoad(s, 50, 5)
		l.progress(stage)
		do(s)
		l.progress(stage)
		l.end(b, 0)
		l.exact(b)
		pauses = append(pauses, l.longestGap())
		s.waitReplicas(2)
	}
	report(b, pauses)
}

func report(b *testing.B, pauses []time.Duration) {
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(pauses[len(pauses)-1].Microseconds())/1000, "ms-max")
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
