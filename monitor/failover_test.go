package monitor

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

func TestAKilledMasterIsReplacedWithinMilliseconds(t *testing.T) {
	c, m := cluster(t, 2, nil)
	old := c.Addrs()[0]
	for i := range 100 {
		mustDo(t, c.Nodes[0], "SET", fmt.Sprint("key", i), i)
	}
	replicated(t, "key99", "99", c.Nodes[1:]...)
	began := time.Now()
	must(t, c.Nodes[0].Kill())
	s := m.waitState(t, "another master", func(s *topology.State) bool { return s.Phase == topology.Stable && s.Master.Addr != old })
	t.Logf("a new master after %v", time.Since(began))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the failover took %v", took)
	}
	if s.Epoch != 2 || len(s.Unavailable) != 1 || s.Unavailable[0].Addr != old {
		t.Errorf("state %+v", s)
	}
	n, err := redis.Int(c.Node(s.Master.Addr).Do("DBSIZE"))
	if err != nil || n != 100 {
		t.Errorf("the new master has %d keys (%v)", n, err)
	}
	var other string
	for _, addr := range c.Addrs()[1:] {
		if addr != s.Master.Addr {
			other = addr
		}
	}
	m.waitState(t, "the other replica to follow", func(s *topology.State) bool { return online(s, s.Master.Addr, other) })
	must(t, c.Nodes[0].Restart(context.Background()))
	m.waitState(t, "the old master to become a replica", func(now *topology.State) bool { return online(now, s.Master.Addr, old, other) })
	if now := m.Snapshot().State; now.Epoch != 2 {
		t.Errorf("the return of the old master changed the epoch to %d", now.Epoch)
	}
}

func TestAStoppedMasterIsReplacedAfterStallAfterAndFollowsWhenItGoesOn(t *testing.T) {
	c, m := cluster(t, 1, func(cfg *Config) { cfg.DownAfter, cfg.StallAfter = 200*time.Millisecond, 600*time.Millisecond })
	old, replica := c.Addrs()[0], c.Addrs()[1]
	began := time.Now()
	must(t, c.Nodes[0].Pause())
	s := m.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, replica) })
	// The silence begins with the first INFO that is not answered: the process may have answered its last one before.
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("a master that answered nothing for %v was given up", took)
	}
	if s.Epoch != 2 || s.Unavailable[0].Addr != old {
		t.Errorf("state %+v", s)
	}
	must(t, c.Nodes[0].Resume())
	m.waitState(t, "the old master to be a replica", func(s *topology.State) bool { return online(s, replica, old) })
}

func TestAMasterInALongScriptIsLeftAloneUntilStallAfter(t *testing.T) {
	c := testcluster.New(t, 1, "--enable-debug-command", "yes")
	cfg := testConfig(c.Addrs()...)
	cfg.DownAfter, cfg.StallAfter = 100*time.Millisecond, 10*time.Second
	m := start(t, cfg, "")
	m.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1]) })
	// Busy for far longer than down-after, and silent all the while: a script, or a fork that takes long.
	mustDo(t, c.Nodes[0], "DEBUG", "SLEEP", "0.7")
	testcluster.WaitFor(t, "the master to be heard again", func() bool {
		s := m.Status()
		i := slices.IndexFunc(s.Nodes, func(n NodeStatus) bool { return n.Addr == c.Addrs()[0] })
		return i >= 0 && time.Since(s.Nodes[i].Heard) < 200*time.Millisecond
	})
	if s := m.Snapshot().State; s.Epoch != 1 || !online(s, c.Addrs()[0], c.Addrs()[1]) {
		t.Errorf("state %+v", s)
	}
}

func TestAnEmptyMasterAfterARestartIsReplacedByTheReplicaWithTheData(t *testing.T) {
	ctx := context.Background()
	master, replica := testcluster.NewRedis(t), testcluster.NewRedis(t)
	// The replica follows through a relay, which keeps it from being wiped before the monitor has had its chance.
	relay := testcluster.NewRelay(t, master.Addr)
	mustDo(t, replica, "REPLICAOF", "127.0.0.1", relayPort(t, relay))
	cfg := testConfig(master.Addr, replica.Addr)
	cfg.MaxFailures = 100 // so that the restart is over before the master counts as down
	m := start(t, cfg, "")
	m.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, master.Addr, replica.Addr) })
	mustDo(t, master, "SET", "precious", "data")
	replicated(t, "precious", "data", replica)
	relay.Cut()
	must(t, master.Restart(ctx))
	s := m.waitState(t, "the replica to be master", func(s *topology.State) bool { return s.Phase == topology.Stable && s.Master.Addr == replica.Addr })
	if s.Epoch != 2 {
		t.Errorf("state %+v", s)
	}
	m.waitState(t, "the restarted master to follow", func(s *topology.State) bool { return online(s, replica.Addr, master.Addr) })
	for _, r := range []*testcluster.Redis{master, replica} {
		if v, err := redis.String(r.Do("GET", "precious")); v != "data" {
			t.Errorf("%s has %q (%v)", r.Addr, v, err)
		}
	}
	if f := m.Status().Failovers; len(f) != 1 || f[0].From != master.Addr || f[0].To != replica.Addr || f[0].Duration <= 0 {
		t.Errorf("failovers %+v", f)
	}
}

func TestARestartedMasterWithoutReplicasIsAcceptedUnderANewEpoch(t *testing.T) {
	c, m := cluster(t, 0, nil)
	before := m.Snapshot().State.Master.RunID
	must(t, c.Nodes[0].Restart(context.Background()))
	s := m.waitState(t, "the new run to be accepted", func(s *topology.State) bool { return s.Phase == topology.Stable && s.Epoch == 2 })
	if s.Master.Addr != c.Addrs()[0] || s.Master.RunID == before || s.Master.RunID == "" {
		t.Errorf("state %+v", s)
	}
}

func TestAKilledReplicaIsTakenOffTheListAndServesAgainWhenItIsBack(t *testing.T) {
	c, m := cluster(t, 2, nil)
	a := c.Addrs()
	must(t, c.Nodes[1].Kill())
	m.waitState(t, "the replica to be unavailable", func(s *topology.State) bool { return online(s, a[0], a[2]) && len(s.Unavailable) == 1 })
	must(t, c.Nodes[1].Restart(context.Background()))
	s := m.waitState(t, "the replica to be back", func(s *topology.State) bool { return online(s, a[0], a[1], a[2]) })
	if s.Epoch != 1 || len(s.Unavailable) != 0 {
		t.Errorf("state %+v", s)
	}
}

func TestAReplicaThatAppearsIsEntered(t *testing.T) {
	c, m := cluster(t, 0, nil)
	late := testcluster.NewRedis(t)
	mustDo(t, late, "REPLICAOF", "127.0.0.1", c.Nodes[0].Port)
	m.waitState(t, "the new replica", func(s *topology.State) bool { return online(s, c.Addrs()[0], late.Addr) })
}

func TestTheRoleSurvivesARestartOfEverything(t *testing.T) {
	ctx := context.Background()
	c, m := cluster(t, 1, nil)
	a := c.Addrs()
	must(t, c.Nodes[0].Kill())
	m.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, a[1]) })
	must(t, c.Nodes[0].Restart(ctx))
	m.waitState(t, "the old master to follow", func(s *topology.State) bool { return online(s, a[1], a[0]) })
	m.stop()
	for _, r := range c.Nodes {
		must(t, r.Restart(ctx))
	}
	for i, want := range []string{"slave", "master"} {
		info, err := c.Nodes[i].Info("replication")
		if err != nil || info["role"] != want {
			t.Errorf("%s is a %s after the restart, want %s (%v)", a[i], info["role"], want, err)
		}
	}
}

func TestThePersistedStateSaysWhichOfTwoMastersIsTheMaster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	c := testcluster.New(t, 1)
	a := c.Addrs()
	first := start(t, testConfig(a...), path)
	first.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, a[0], a[1]) })
	first.stop()
	mustDo(t, c.Nodes[1], "REPLICAOF", "NO", "ONE")
	mustDo(t, c.Nodes[1], "SET", "stray", "write")
	second := start(t, testConfig(a...), path)
	s := second.waitState(t, "the second master to be a replica again", func(s *topology.State) bool { return online(s, a[0], a[1]) && roleOf(c.Nodes[1]) == "slave" })
	if s.Epoch != 1 {
		t.Errorf("state %+v", s)
	}
}

func roleOf(r *testcluster.Redis) string {
	info, err := r.Info("replication")
	if err != nil {
		return err.Error()
	}
	return info["role"]
}

func TestASuspicionOfTheProxyIsLookedIntoAtOnce(t *testing.T) {
	// Nothing is polled in time here: only the proxy can have noticed that the server behind the address is another.
	c, m := cluster(t, 1, func(cfg *Config) { cfg.ProbeInterval = time.Minute })
	m.Suspect(c.Addrs()[1])
	before := time.Now()
	testcluster.WaitFor(t, "the node to be heard", func() bool {
		for _, n := range m.Status().Nodes {
			if n.Addr == c.Addrs()[1] {
				return n.Heard.After(before)
			}
		}
		return false
	})
}

func TestNodesWithAPasswordAreWatchedAndFailOver(t *testing.T) {
	c := testcluster.New(t, 1, "--requirepass", "secret", "--masterauth", "secret")
	cfg := testConfig(c.Addrs()[0])
	cfg.Password = "secret"
	m := start(t, cfg, "")
	m.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1]) })
	must(t, c.Nodes[0].Kill())
	m.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, c.Addrs()[1]) })
}

func TestTwoNamesOfOneServerAreOneNode(t *testing.T) {
	c := testcluster.New(t, 1)
	byName := fmt.Sprintf("localhost:%d", c.Nodes[0].Port)
	m := start(t, testConfig(byName, c.Addrs()[0], c.Addrs()[1]), "")
	s := m.waitState(t, "the replica to be online", func(s *topology.State) bool { return len(s.Replicas) == 1 && s.Replicas[0].Health == topology.Online })
	testcluster.WaitFor(t, "the second name to be known", func() bool {
		for _, n := range m.Status().Nodes {
			if n.Addr == s.Master.Addr && len(n.Aliases) > 0 {
				return true
			}
		}
		return false
	})
	if s := m.Snapshot().State; len(s.Unavailable) != 0 || len(s.Replicas) != 1 {
		t.Errorf("state %+v", s)
	}
}

func TestANodeMapReplacesWhatNodesAnnounce(t *testing.T) {
	master, replica := testcluster.NewRedis(t), testcluster.NewRedis(t, "--replica-announce-ip", "192.0.2.1", "--replica-announce-port", "6379")
	mustDo(t, replica, "REPLICAOF", "127.0.0.1", master.Port)
	cfg := testConfig(master.Addr)
	cfg.NodeMap = map[string]string{"192.0.2.1:6379": replica.Addr}
	m := start(t, cfg, "")
	s := m.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, master.Addr, replica.Addr) })
	if r := s.Replicas[0]; r.Announced != "192.0.2.1:6379" {
		t.Errorf("replica %+v", r)
	}
}

func TestAHostThatFallsSilentIsDownAfterDownAfter(t *testing.T) {
	master, replica := testcluster.NewRedis(t), testcluster.NewRedis(t)
	mustDo(t, replica, "REPLICAOF", "127.0.0.1", master.Port)
	d := &blackout{}
	cfg := testConfig(master.Addr, replica.Addr)
	cfg.DownAfter, cfg.StallAfter = 300*time.Millisecond, time.Minute
	cfg.Dial = d.dial
	m := start(t, cfg, "")
	m.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, master.Addr, replica.Addr) })
	d.begin(master.Addr)
	must(t, master.Pause()) // what is connected already falls silent, and nothing new can be connected
	m.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, replica.Addr) })
	must(t, master.Resume())
}

func relayPort(t *testing.T, r *testcluster.Relay) string {
	t.Helper()
	_, port, err := net.SplitHostPort(r.Addr)
	must(t, err)
	return port
}

// blackout makes connecting to one address time out, as to a host that is gone.
type blackout struct{ addr atomic.Pointer[string] }

func (b *blackout) begin(addr string) { b.addr.Store(&addr) }

func (b *blackout) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if dark := b.addr.Load(); dark != nil && *dark == addr {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// through is a DialFunc that reaches one address by another.
func (b *blackout) through(addr, by string) DialFunc {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == addr {
			to = by
		}
		return b.dial(ctx, network, to)
	}
}
