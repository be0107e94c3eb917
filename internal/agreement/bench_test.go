package agreement

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// These benchmarks do something to the system again and again under writing clients of three members, all at default
// settings but for the patience of clients, and report how long the client that waited longest could not write. Run one
// with
//
//	go test ./internal/agreement -run '^$' -bench PauseWhenTheMasterIsKilled -benchtime 20x

func BenchmarkPauseWhenTheMasterIsKilled(b *testing.B) {
	benchmark(b, options{}, 1, func(s *system, _ *load, before truth) {
		must(b, before.master.Kill())
	}, func(s *system, before truth) {
		must(b, before.master.Restart(b.Context()))
	})
}

func BenchmarkPauseWhenTheMasterHangs(b *testing.B) {
	benchmark(b, options{}, 1, func(s *system, _ *load, before truth) {
		must(b, before.master.Pause())
	}, func(s *system, before truth) {
		must(b, before.master.Resume())
	})
}

func BenchmarkPauseOfASwitchover(b *testing.B) {
	benchmark(b, options{}, 0, func(s *system, _ *load, before truth) {
		s.do(s.without(before.leader)[0], "PROXY", "FAILOVER")
	}, func(*system, truth) {})
}

func BenchmarkPauseWhenTheMasterAndAFollowerAreKilled(b *testing.B) {
	benchmarkKilledWith(b, whoLeadsAndWhoDoesNot["a follower"])
}

func BenchmarkPauseWhenTheMasterAndTheLeaderAreKilled(b *testing.B) {
	benchmarkKilledWith(b, whoLeadsAndWhoDoesNot["the leader"])
}

// benchmarkKilledWith kills a member together with the master; its own clients are excused.
func benchmarkKilledWith(b *testing.B, choose func(*system, truth) *member) {
	benchmark(b, options{}, 1, func(s *system, _ *load, before truth) {
		s.smash(choose(s, before))
		must(b, before.master.Kill())
	}, func(s *system, before truth) {
		must(b, before.master.Restart(b.Context()))
		for _, m := range s.members {
			if m.broken.Load() {
				s.revive(m)
			}
		}
	})
}

func BenchmarkPauseWhenTheMastersMachineIsLostWithAFollower(b *testing.B) {
	benchmarkLostWith(b, whoLeadsAndWhoDoesNot["a follower"], false)
}

func BenchmarkPauseWhenTheMastersMachineIsLostWithTheLeader(b *testing.B) {
	benchmarkLostWith(b, whoLeadsAndWhoDoesNot["the leader"], false)
}

func BenchmarkPauseWhenTheMastersMachineIsLostWithTheLeaderAndThatOfZooKeeper(b *testing.B) {
	benchmarkLostWith(b, whoLeadsAndWhoDoesNot["the leader"], true)
}

// benchmarkLostWith cuts the master, a member and a ZooKeeper server from everything else: the machine on which they are
// is gone, as far as others can tell. The member's own clients are excused.
func benchmarkLostWith(b *testing.B, choose func(*system, truth) *member, zooLeader bool) {
	var heal func()
	benchmark(b, options{machines: true}, 1, func(s *system, l *load, before truth) {
		victim := choose(s, before)
		l.excused = victim
		lost := slices.Concat(of(s.machines, victim), of(s.machines, before.master), of(s.machines, zooKeeperThat(b, s.ensemble, zooLeader)))
		heal = s.machines.cut(lost, s.machines.rest(lost))
	}, func(s *system, _ truth) { heal() })
}

func benchmark(b *testing.B, o options, losses int, do func(s *system, l *load, before truth), repair func(s *system, before truth)) {
	// Sessions of the default length need servers with the default tick.
	o.tick = topology.DefaultTick
	if !o.machines {
		ensemble, err := testcluster.StartEnsemble(context.Background(), 3, testcluster.ZooKeeperOptions{Tick: o.tick})
		must(b, err)
		b.Cleanup(func() { must(b, ensemble.Stop()) })
		o.ensemble = ensemble
	}
	o.args = []string{"--max-failovers=0", "--failback-delay=0s", "--hold-timeout=60s"}
	s := start(b, o)
	var pauses []time.Duration
	for b.Loop() {
		l := startLoad(s)
		l.progress(stage, s.members...)
		before := s.agree()
		do(s, l, before)
		l.progress(stage, slices.DeleteFunc(s.alive(), func(m *member) bool { return m == l.excused })...)
		repair(s, before)
		s.agree()
		l.end(losses)
		pauses = append(pauses, l.longestGap())
	}
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(pauses[len(pauses)-1].Microseconds())/1000, "ms-max")
	b.ReportMetric(0, "ns/op") // the time of a round says nothing
}

// longestGap returns the longest time between two acknowledged writes of one client.
func (l *load) longestGap() (gap time.Duration) {
	for _, c := range l.clients {
		if !isReader(c) && c.member != l.excused {
			gap = max(gap, c.gap)
		}
	}
	return gap
}
