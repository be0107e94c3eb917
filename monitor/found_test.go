package monitor

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// left is a master with two replicas that a monitor has found and left, its file, and the State in it.
func left(t *testing.T) (c *testcluster.Cluster, path string, s *topology.State) {
	t.Helper()
	c, path = testcluster.New(t, 2), filepath.Join(t.TempDir(), "state.json")
	m := start(t, testConfig(c.Addrs()...), path)
	s = m.waitState(t, "the replicas to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1:]...) })
	m.stop()
	return c, path, s.Clone()
}

// overwrite replaces the State in a file that nobody has open.
func overwrite(t *testing.T, path string, s *topology.State) {
	t.Helper()
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "a", Path: path})
	must(t, err)
	must(t, coord.Update(context.Background(), coord.Snapshot().Version, s))
	must(t, coord.Close())
}

func TestAFailoverFoundInTheFileIsFinished(t *testing.T) {
	for _, phase := range []topology.Phase{topology.Fencing, topology.Promoting} {
		t.Run(string(phase), func(t *testing.T) {
			c, path, s := left(t)
			a := c.Addrs()
			// What a process leaves that is killed in the middle of a failover.
			s.Epoch, s.Phase = 2, phase
			s.Failover = &topology.Failover{Cause: "a test", MasterDown: true}
			if phase == topology.Promoting {
				s.Failover.Choice = a[2]
			}
			overwrite(t, path, s)
			must(t, c.Nodes[0].Kill())
			second := start(t, testConfig(a...), path)
			s = second.waitState(t, "the failover to be finished", func(s *topology.State) bool { return s.Phase == topology.Stable && len(s.Replicas) == 1 })
			if s.Epoch != 2 || s.Master.Addr == a[0] || phase == topology.Promoting && s.Master.Addr != a[2] {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// TestASwitchoverFoundInTheFileIsFinished starts a monitor on what a process leaves that is killed in the middle of one.
func TestASwitchoverFoundInTheFileIsFinished(t *testing.T) {
	for name, c := range map[string]struct {
		phase   topology.Phase
		aborted string
		prepare func(t *testing.T, c *testcluster.Cluster)
		master  int // that there is in the end
	}{
		"fencing":         {phase: topology.Fencing, master: 2},
		"before the swap": {phase: topology.Promoting, master: 2},
		"after the swap, which nobody saw": {phase: topology.Promoting, master: 2, prepare: func(t *testing.T, c *testcluster.Cluster) {
			mustDo(t, c.Nodes[0], "FAILOVER", "TO", "127.0.0.1", c.Nodes[2].Port)
			testcluster.WaitFor(t, "the roles to be exchanged", func() bool { return roleOf(c.Nodes[2]) == "master" })
		}},
		"while the master waits for the target": {phase: topology.Promoting, master: 2, prepare: func(t *testing.T, c *testcluster.Cluster) {
			mustDo(t, c.Nodes[0], "SET", "a", "b")
			mustDo(t, c.Nodes[0], "FAILOVER", "TO", "127.0.0.1", c.Nodes[2].Port)
		}},
		"given up, and the master still waits for a target that hangs": {phase: topology.Fencing, aborted: "a test", master: 0,
			prepare: func(t *testing.T, c *testcluster.Cluster) {
				must(t, c.Nodes[2].Pause())
				mustDo(t, c.Nodes[0], "SET", "a", "b") // which the target does not get
				mustDo(t, c.Nodes[0], "FAILOVER", "TO", "127.0.0.1", c.Nodes[2].Port)
			}},
		"given up, and the target was promoted after all": {phase: topology.Fencing, aborted: "a test", master: 2,
			prepare: func(t *testing.T, c *testcluster.Cluster) {
				mustDo(t, c.Nodes[0], "FAILOVER", "TO", "127.0.0.1", c.Nodes[2].Port)
				testcluster.WaitFor(t, "the roles to be exchanged", func() bool { return roleOf(c.Nodes[2]) == "master" })
			}},
	} {
		t.Run(name, func(t *testing.T) {
			servers, path, s := left(t)
			a := servers.Addrs()
			mustDo(t, servers.Nodes[0], "SET", "precious", "data")
			s.Epoch, s.Phase = 2, c.phase
			s.Failover = &topology.Failover{Cause: "a test", Planned: true, Target: a[2], Aborted: c.aborted, Request: "0000000001"}
			if c.phase == topology.Promoting {
				s.Failover.Choice = a[2]
			}
			overwrite(t, path, s)
			if c.prepare != nil {
				c.prepare(t, servers)
			}
			second := start(t, testConfig(a...), path)
			s = second.waitState(t, "the switchover to be finished", func(s *topology.State) bool { return s.Phase == topology.Stable })
			if s.Master.Addr != a[c.master] || s.Outcome == nil || (s.Outcome.Answer == topology.Done) != (c.master == 2) {
				t.Errorf("state %+v, outcome %+v", s, s.Outcome)
			}
			must(t, servers.Nodes[2].Resume())
			var others []string
			for i, addr := range a {
				if i != c.master {
					others = append(others, addr)
				}
			}
			second.waitState(t, "the others to follow", func(s *topology.State) bool { return online(s, a[c.master], others...) })
			for i, r := range servers.Nodes {
				want := "slave"
				if i == c.master {
					want = "master"
				}
				if role := roleOf(r); role != want {
					t.Errorf("%s is a %s in the end, want %s", r.Addr, role, want)
				}
				if v, err := redis.String(r.Do("GET", "precious")); v != "data" {
					t.Errorf("%s has %q (%v)", r.Addr, v, err)
				}
			}
			mustDo(t, servers.Nodes[c.master], "SET", "writable", "again")
		})
	}
}
