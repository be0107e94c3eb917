package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
)

// durableClients is how many clients write while masters die.
const durableClients = 20

// deaths kills the master that many times at a moment when both replicas are stopped and cut off, so that writes of that moment are
// on the master alone, and returns what became of the clients' writes.
func deaths(t *testing.T, rounds, acks int) []*tally {
	s := start(t, options{replicas: 2,
		proxy:   func(c *proxy.Config) { c.WriteAcks, c.WriteAcksTimeout = acks, 20*time.Second },
		monitor: func(c *monitor.Config) { c.WriteAcks, c.MaxFailovers, c.FailbackDelay = acks, 0, 0 },
	})
	settled := func() bool {
		d := s.coord.Snapshot().State.Durable
		return acks == 0 || d != nil && d.Settled() && len(d.Holders) == 2
	}
	clients := s.count(durableClients)
	for range rounds {
		testcluster.WaitFor(t, "replicas that are all counted", settled)
		clients.written(500, "before the next death")
		epoch, old := s.epoch(), s.master()
		// A write that a stopped replica has in its socket is not on the master alone.
		resume := clients.pause()
		var replicas []*testcluster.Redis
		for _, n := range s.cluster.Nodes {
			if n != old {
				must(t, n.Pause())
				replicas = append(replicas, n)
			}
		}
		// What is on its way to a stopped process it reads when it runs on, so nothing may be.
		_, err := old.Do("CLIENT", "KILL", "TYPE", "replica")
		must(t, err)
		began := executed(t, old, clients.each)
		resume()
		testcluster.WaitFor(t, "writes that no replica has", func() bool {
			return executed(t, old, clients.each) >= began+int64(len(clients.each))
		})
		must(t, old.Kill())
		for _, n := range replicas {
			must(t, n.Resume())
		}
		s.waitMasterAfter(epoch)
		must(t, old.Restart(t.Context()))
		s.waitReplicas(2)
	}
	return clients.end()
}

// executed returns how many of the clients' writes a server has.
func executed(t *testing.T, r *testcluster.Redis, tallies []*tally) (sum int64) {
	t.Helper()
	args := []any{"MGET"}
	for _, y := range tallies {
		args = append(args, y.key)
	}
	counts, err := redis.Int64s(r.Do(args...))
	must(t, err)
	for _, n := range counts {
		sum += n
	}
	return sum
}

// deathsWanted is how often the master is killed; UNDERSTUDY_DEATHS asks for more.
func deathsWanted(t *testing.T) int {
	text := os.Getenv("UNDERSTUDY_DEATHS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

func TestDurableWritesSurviveTheDeathsOfMasters(t *testing.T) {
	n := deathsWanted(t)
	var acked, unknown int64
	for _, y := range deaths(t, n, 1) {
		y.isCorrect(t)
		acked, unknown = acked+y.acked.Load(), unknown+y.unknown
	}
	if want := int64(n * durableClients); unknown != want {
		t.Errorf("%d writes are of unknown outcome, and the last of each client before each death, %d, were on the master alone", unknown, want)
	}
	t.Logf("%d masters killed: %d writes answered, %d of unknown outcome, none lost", n, acked, unknown)
}

// Without acknowledgements the same deaths lose answered writes: so the test above can fail.
func TestWithoutAcknowledgementsTheDeathOfAMasterLosesWrites(t *testing.T) {
	var lost int64
	for _, y := range deaths(t, 1, 0) {
		lost += y.lost
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

func TestAWriteThatTooFewReplicasHaveInTimeIsAnsweredWithAnErrorInItsPlace(t *testing.T) {
	s := start(t, options{replicas: 1,
		proxy:   func(c *proxy.Config) { c.WriteAcks, c.WriteAcksTimeout = 1, 300*time.Millisecond },
		monitor: func(c *monitor.Config) { c.WriteAcks = 1 },
	})
	testcluster.WaitFor(t, "a replica that is counted", func() bool {
		d := s.coord.Snapshot().State.Durable
		return d != nil && len(d.Holders) == 1
	})
	conn := s.dial()
	if v, err := redis.String(conn.Do("SET", "key", "1")); err != nil || v != "OK" {
		t.Fatalf("SET: %q, %v", v, err)
	}
	replica := s.cluster.Replicas()[0]
	must(t, replica.Pause())
	for _, c := range [][]any{{"SET", "key", "2"}, {"GET", "key"}, {"LPUSH", "key", "x"}, {"PING"}, {"INCR", "n"}} {
		must(t, conn.Send(c[0].(string), c[1:]...))
	}
	for _, c := range [][]any{{"MULTI"}, {"INCR", "n"}, {"EXEC"}} {
		must(t, conn.Send(c[0].(string), c[1:]...))
	}
	must(t, conn.Flush())
	for i, want := range []string{"UNREPLICATED", "2", "WRONGTYPE", "PONG", "UNREPLICATED", "OK", "QUEUED", "UNREPLICATED"} {
		got, err := redis.String(conn.Receive())
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("reply %d: %q, want %s", i, got, want)
		}
	}
	must(t, replica.Resume())
	testcluster.WaitFor(t, "a write that is durable again", func() bool {
		n, err := redis.Int(conn.Do("INCR", "n"))
		return err == nil && n >= 3
	})
}
