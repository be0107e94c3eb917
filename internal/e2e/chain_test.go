package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
)

// newMaster returns the node that is made master in the place of one that is dead, as soon as it says so itself: long
// before the others have found it.
func newMaster(t *testing.T, s *system, dead *testcluster.Redis) (found *testcluster.Redis) {
	conns := make(map[*testcluster.Redis]redis.Conn)
	for _, n := range s.cluster.Nodes {
		if n != dead {
			c, err := n.Dial()
			must(t, err)
			defer c.Close()
			conns[n] = c
		}
	}
	testcluster.WaitFor(t, "a new master", func() bool {
		for n, c := range conns {
			role, err := redis.Values(c.Do("ROLE"))
			must(t, err)
			if kind, _ := redis.String(role[0], nil); kind == "master" {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// The replicas of a new master that dies at once know the history of the one before only, and have all that was
// answered. Once they were taken for strangers: nobody was promoted, and the dead node, started again without data,
// wiped them.
func TestANewMasterThatDiesBeforeItsReplicasHaveFoundItIsReplaced(t *testing.T) {
	for _, delay := range []time.Duration{0, 5 * time.Millisecond, 12 * time.Millisecond, 20 * time.Millisecond} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			s := start(t, options{replicas: 3,
				proxy:   func(c *proxy.Config) { c.WriteAcks, c.WriteAcksTimeout = 1, 20*time.Second },
				monitor: func(c *monitor.Config) { c.WriteAcks = 1 },
			})
			testcluster.WaitFor(t, "replicas that are all counted", func() bool {
				d := s.coord.Snapshot().State.Durable
				return d != nil && d.Settled() && len(d.Holders) == 3
			})
			stop := make(chan struct{})
			var running sync.WaitGroup
			var tallies []*tally
			for i := range 10 {
				y := &tally{key: fmt.Sprint("tally:", i)}
				tallies = append(tallies, y)
				conn := s.dial()
				running.Go(func() { y.run(conn, stop) })
			}
			written := func(more int64) {
				before := acked(tallies)
				testcluster.WaitFor(t, "writes", func() bool { return acked(tallies) >= before+more })
			}
			written(1000)
			first := s.master()
			must(t, first.Kill())
			second := newMaster(t, s, first)
			time.Sleep(delay) // which moment of the second master's rise it dies in is what the cases differ in
			must(t, second.Kill())
			written(500) // by a third one
			must(t, second.Restart(t.Context()))
			must(t, first.Restart(t.Context()))
			s.waitReplicas(3)
			written(500)
			close(stop)
			running.Wait()
			conn := s.dial()
			for _, y := range tallies {
				n, err := redis.Int64(conn.Do("GET", y.key))
				must(t, err)
				for _, err := range y.errs {
					t.Errorf("%s: %v", y.key, err)
				}
				if n < y.last || y.lost > 0 || y.twice || n > y.acked.Load()+y.unknown {
					t.Errorf("%s is %d; %d were answered, the last with %d, %d have an unknown outcome, %d were lost", y.key, n, y.acked.Load(), y.last, y.unknown, y.lost)
				}
			}
		})
	}
}

// acked returns how many writes were answered.
func acked(tallies []*tally) (n int64) {
	for _, y := range tallies {
		n += y.acked.Load()
	}
	return n
}
