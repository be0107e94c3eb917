package agreement

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// BenchmarkPauseWithThreeProxies kills the master again and again under writing clients of three members, all at default
// settings, and reports how long the client that waited longest could not write. Run it with
//
//	go test ./internal/agreement -run '^$' -bench . -benchtime 10x
func BenchmarkPauseWithThreeProxies(b *testing.B) {
	benchmark(b, 1, func(s *system, before truth) {
		must(b, before.master.Kill())
	}, func(s *system, before truth) {
		must(b, before.master.Restart(b.Context()))
	})
}

// BenchmarkSwitchover changes the master under writing clients of three members, all at default settings, and reports
// how long the client that waited longest could not write.
func BenchmarkSwitchover(b *testing.B) {
	benchmark(b, 0, func(s *system, before truth) {
		s.do(s.without(before.leader)[0], "PROXY", "FAILOVER")
	}, func(*system, truth) {})
}

func benchmark(b *testing.B, losses int, do, repair func(s *system, before truth)) {
	// Sessions of the default length need servers with the default tick.
	ensemble, err := testcluster.StartEnsemble(context.Background(), 3, testcluster.ZooKeeperOptions{Tick: 2 * time.Second})
	must(b, err)
	b.Cleanup(func() { must(b, ensemble.Stop()) })
	s := start(b, options{ensemble: ensemble, args: []string{"--log-level=info", "--max-failovers=0"}})
	var pauses []time.Duration
	for b.Loop() {
		l := startLoad(s)
		l.progress(stage, s.members...)
		before := s.agree()
		do(s, before)
		l.progress(stage, s.members...)
		l.end(losses)
		pauses = append(pauses, l.longestGap())
		repair(s, before)
		s.agree()
	}
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(pauses[len(pauses)-1].Microseconds())/1000, "ms-max")
	b.ReportMetric(0, "ns/op") // the time of a round says nothing
}

// longestGap returns the longest time between two acknowledged writes of one client.
func (l *load) longestGap() (gap time.Duration) {
	for _, c := range l.clients {
		if !isReader(c) {
			gap = max(gap, c.gap)
		}
	}
	return gap
}
