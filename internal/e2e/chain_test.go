package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// killMaster kills the master and waits until one of its replicas is chosen. In that moment, before the choice hears of
// it, the others are stopped: none of them can find the new master before it is let run on.
func (s *system) killMaster(t *testing.T) (old, young *testcluster.Redis, others []*testcluster.Redis) {
	t.Helper()
	old = s.master()
	var choice atomic.Pointer[testcluster.Redis]
	unwatch := s.coord.Watch(func(seen topology.Snapshot) {
		if seen.State.Phase != topology.Promoting || choice.Load() != nil {
			return
		}
		for _, n := range s.cluster.Nodes {
			if n == old || n.Addr == seen.State.Failover.Choice {
				continue
			}
			if err := n.Pause(); err != nil {
				t.Error(err)
			}
		}
		choice.Store(s.cluster.Node(seen.State.Failover.Choice))
	})
	defer unwatch()
	must(t, old.Kill())
	testcluster.WaitFor(t, "a replica that is chosen", func() bool { return choice.Load() != nil })
	young = choice.Load()
	for _, n := range s.cluster.Nodes {
		if n != old && n != young {
			others = append(others, n)
		}
	}
	return old, young, others
}

// waitNamed waits until State names a node as the master.
func (s *system) waitNamed(t *testing.T, n *testcluster.Redis) {
	t.Helper()
	testcluster.WaitFor(t, "a State that names the new master", func() bool {
		st := s.coord.Snapshot().State
		return st.Phase == topology.Stable && st.Master.Addr == n.Addr
	})
}

// linkTo returns in which state a node's link to a master is, in the words of ROLE; "" while it does not follow that.
func linkTo(t *testing.T, n, master *testcluster.Redis) string {
	t.Helper()
	reply, err := redis.Values(n.Do("ROLE"))
	must(t, err)
	role, err := redis.String(reply[0], nil)
	must(t, err)
	if role != "slave" {
		return ""
	}
	port, err := redis.Int(reply[2], nil)
	must(t, err)
	state, err := redis.String(reply[3], nil)
	must(t, err)
	if port != master.Port {
		return ""
	}
	return state
}

// youngDeaths are the moments at which a new master dies. Each waits for its moment, which lasts because nodes that would
// end it are stopped.
var youngDeaths = []struct {
	moment string
	wait   func(t *testing.T, s *system, clients *tallies, young *testcluster.Redis, others []*testcluster.Redis)
}{
	{"it is promoted", func(t *testing.T, _ *system, _ *tallies, young *testcluster.Redis, _ []*testcluster.Redis) {
		testcluster.WaitFor(t, "a choice that is promoted", func() bool {
			reply, err := redis.Values(young.Do("ROLE"))
			must(t, err)
			role, err := redis.String(reply[0], nil)
			must(t, err)
			return role == "master"
		})
	}},
	{"State names it", func(t *testing.T, s *system, _ *tallies, young *testcluster.Redis, _ []*testcluster.Redis) {
		s.waitNamed(t, young)
	}},
	{"its replicas are told to follow it", func(t *testing.T, s *system, _ *tallies, young *testcluster.Redis, others []*testcluster.Redis) {
		s.waitNamed(t, young)
		must(t, young.Pause()) // it takes their connections, and answers nothing
		for _, n := range others {
			must(t, n.Resume())
			testcluster.WaitFor(t, "a replica that was told to follow the new master", func() bool { return linkTo(t, n, young) != "" })
		}
	}},
	{"one replica has found it", func(t *testing.T, s *system, clients *tallies, young *testcluster.Redis, others []*testcluster.Redis) {
		s.waitNamed(t, young)
		must(t, others[0].Resume())
		testcluster.WaitFor(t, "a replica that has found the new master", func() bool { return linkTo(t, others[0], young) == "connected" })
		clients.written(100, "that the others do not have")
	}},
}

// The replicas of a new master that dies at once know the history of the one before only, and have all that was
// answered. Once they were taken for strangers: nobody was promoted, and the dead node, started again without data,
// wiped them.
func TestANewMasterThatDiesBeforeItsReplicasHaveFoundItIsReplaced(t *testing.T) {
	for _, death := range youngDeaths {
		t.Run(death.moment, func(t *testing.T) {
			s := start(t, options{replicas: 3,
				proxy:   func(c *proxy.Config) { c.WriteAcks, c.WriteAcksTimeout = 1, 20*time.Second },
				monitor: func(c *monitor.Config) { c.WriteAcks = 1 },
			})
			testcluster.WaitFor(t, "replicas that are all counted", func() bool {
				d := s.coord.Snapshot().State.Durable
				return d != nil && d.Settled() && len(d.Holders) == 3
			})
			clients := s.count(10)
			clients.written(1000, "by the first master")
			// One that died in the middle of a write could have passed it on to the next master alone. Who loses both loses
			// more than write-acks allows for, and the failover waits for an operator.
			resume := clients.pause()
			old, young, others := s.killMaster(t)
			resume()
			death.wait(t, s, clients, young, others)
			must(t, young.Kill())
			for _, n := range others {
				must(t, n.Resume())
			}
			clients.written(500, "by a third master")
			must(t, young.Restart(t.Context()))
			must(t, old.Restart(t.Context()))
			s.waitReplicas(3)
			clients.written(500, "when all nodes are there again")
			for _, y := range clients.end() {
				y.isCorrect(t)
			}
		})
	}
}
