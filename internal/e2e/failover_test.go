package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// stage is how many operations every client does before and after an event.
const stage = 200

func (s *system) do(cmd string, args ...any) any {
	s.t.Helper()
	r, err := s.dial().Do(cmd, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", cmd, err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestClientsSeeOnlyAPauseWhenTheMasterIsKilled(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 50, 10)
	l.progress(stage)
	epoch := s.epoch()
	must(t, s.master().Kill())
	s.waitMasterAfter(epoch)
	l.progress(stage)
	l.end(t, 1)
}

func TestClientsSeeOnlyAPauseWhenTheMasterHangs(t *testing.T) {
	s := start(t, options{replicas: 2, monitor: func(c *monitor.Config) {
		c.DownAfter, c.StallAfter = 200*time.Millisecond, 500*time.Millisecond
	}})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 50, 10)
	l.progress(stage)
	epoch := s.epoch()
	old := s.master()
	must(t, old.Pause())
	s.waitMasterAfter(epoch)
	l.progress(stage)
	must(t, old.Resume()) // it still takes itself for the master, until it is told
	s.waitReplicas(2)
	l.progress(stage)
	l.end(t, 1)
	if role := roleOf(t, old); role != "slave" {
		t.Errorf("the master that had hung is %q, want it to be a replica", role)
	}
}

func TestClientsSeeNothingWhenAReplicaIsKilled(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 10, 20)
	l.progress(stage)
	replica := s.node(s.coord.Snapshot().State.Replicas[0].Addr)
	must(t, replica.Kill())
	testcluster.WaitFor(t, "the replica to be listed as unavailable", func() bool {
		return len(s.coord.Snapshot().State.Unavailable) == 1
	})
	l.progress(stage)
	must(t, replica.Restart(t.Context()))
	s.waitReplicas(2)
	l.progress(stage)
	l.end(t, 0)
	if e := s.epoch(); e != 1 {
		t.Errorf("the epoch is %d: a replica's death changed the master", e)
	}
}

func TestAKilledMasterComesBackAsAReplica(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 10, 10)
	l.progress(stage)
	epoch, old := s.epoch(), s.master()
	must(t, old.Kill())
	master := s.waitMasterAfter(epoch)
	must(t, old.Restart(t.Context()))
	s.waitReplicas(2)
	l.progress(stage)
	l.end(t, 1)
	if role := roleOf(t, old); role != "slave" {
		t.Errorf("the restarted master is %q, want a replica", role)
	}
	if role := roleOf(t, master); role != "master" {
		t.Errorf("the promoted node is %q, want master", role)
	}
	must(t, old.Restart(t.Context())) // its configuration was rewritten: it comes up as what it was told to be
	if role := roleOf(t, old); role != "slave" {
		t.Errorf("after a further restart it is %q, want a replica", role)
	}
}

func TestFailoversFollowOneAnotherUnderLoad(t *testing.T) {
	const rounds = 5
	s := start(t, options{replicas: 2})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 20, 10)
	for range rounds {
		l.progress(stage)
		epoch, old := s.epoch(), s.master()
		must(t, old.Kill())
		s.waitMasterAfter(epoch)
		l.progress(stage)
		must(t, old.Restart(t.Context()))
		s.waitReplicas(2)
	}
	l.end(t, rounds)
}

func TestAMasterRestartedEmptyDoesNotWipeTheData(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 10, 10)
	l.progress(stage)
	epoch, old := s.epoch(), s.master()
	must(t, old.Kill())
	must(t, old.Restart(t.Context())) // as a supervisor would, without persistence
	s.waitMasterAfter(epoch)
	l.progress(stage)
	s.waitReplicas(2)
	l.end(t, 1)
	if v, err := redis.String(s.do("GET", "fixed"), nil); err != nil || v != "value" {
		t.Errorf("GET fixed: %q, %v", v, err)
	}
}

func TestARestartedProxyKeepsToItsState(t *testing.T) {
	o := options{replicas: 2}
	s := start(t, o)
	s.do("SET", "fixed", "value")
	epoch, old := s.epoch(), s.master()
	must(t, old.Kill())
	master := s.waitMasterAfter(epoch)
	s.stop()
	must(t, old.Restart(t.Context())) // while nobody watches: now there are two masters
	if role := roleOf(t, old); role != "master" {
		t.Fatalf("the old master came up as %q", role)
	}
	s.run(o) // configured with the old master's address
	if got := s.master(); got != master {
		t.Fatalf("the restarted proxy takes %s for the master, want %s", got.Addr, master.Addr)
	}
	if v, err := redis.String(s.do("GET", "fixed"), nil); err != nil || v != "value" {
		t.Errorf("GET fixed: %q, %v", v, err)
	}
	s.waitReplicas(2)
	if role := roleOf(t, old); role != "slave" {
		t.Errorf("the old master is %q, want a replica", role)
	}
}

func TestReadsGoToReplicasAndWritesToTheMaster(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.do("SET", "fixed", "value")
	s.replicasServe("fixed")
	early := calls(t, s.master(), "get")
	l := startLoad(s, 0, 20)
	l.progress(stage)
	// All may have come to one replica first; they do not stay together.
	testcluster.WaitFor(t, "reads at every replica", func() bool {
		return !slices.ContainsFunc(s.cluster.Replicas(), func(r *testcluster.Redis) bool { return calls(t, r, "get") < 20*stage/10 })
	})
	l.end(t, 0)
	writer := s.dial()
	for i := range 100 {
		if _, err := writer.Do("SET", i, i); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range s.cluster.Nodes {
		gets, sets := calls(t, n, "get"), calls(t, n, "set")
		if n == s.master() {
			if gets != early || sets != 101 {
				t.Errorf("the master ran %d GET and %d SET, want 0 and 101", gets-early, sets)
			}
		} else if gets < 20*stage/10 {
			t.Errorf("replica %s ran %d GET, want its share", n.Addr, gets)
		}
	}
}

func TestWithoutAMasterWritesAreDeclinedAfterTheHoldTimeoutAndResumeWithIt(t *testing.T) {
	s := start(t, options{replicas: 0, proxy: func(c *proxy.Config) { c.HoldTimeout = 300 * time.Millisecond }})
	conn := s.dial()
	if _, err := conn.Do("SET", "a", "1"); err != nil {
		t.Fatal(err)
	}
	epoch, master := s.epoch(), s.master()
	must(t, master.Kill())
	_, err := conn.Do("SET", "a", "2")
	for isUnknown(err) { // the death was not known yet
		_, err = conn.Do("SET", "a", "2")
	}
	var e redis.Error
	if !errors.As(err, &e) || !strings.HasPrefix(string(e), "MASTERDOWN ") {
		t.Fatalf("SET without a master: %v, want MASTERDOWN", err)
	}
	must(t, master.Restart(t.Context()))
	s.waitMasterAfter(epoch)
	if _, err := conn.Do("SET", "a", "3"); err != nil {
		t.Fatalf("SET with the master back: %v", err)
	}
}

func TestAStateThatCannotBeWrittenIsAnAlarmAndTheFailoverComesWhenItCan(t *testing.T) {
	s := start(t, options{replicas: 2})
	folder := filepath.Dir(s.state)
	moved := folder + "-moved"
	must(t, os.Rename(folder, moved))
	epoch := s.epoch()
	must(t, s.master().Kill())
	testcluster.WaitFor(t, "an alarm", func() bool {
		return slices.ContainsFunc(s.monitor.Status().Alarms, func(a string) bool { return strings.Contains(a, "the state cannot be written") })
	})
	if got := s.epoch(); got != epoch {
		t.Errorf("epoch %d, which nobody will remember", got)
	}
	must(t, os.Rename(moved, folder))
	s.waitMasterAfter(epoch)
	testcluster.WaitFor(t, "the alarm to end", func() bool { return len(s.monitor.Status().Alarms) == 0 })
}

func TestAWatchedTransactionAcrossAFailoverAnswersNil(t *testing.T) {
	s := start(t, options{replicas: 1})
	conn := s.dial()
	for _, c := range [][]any{{"SET", "a", "1"}, {"WATCH", "a"}, {"GET", "a"}, {"MULTI"}, {"SET", "a", "2"}} {
		if _, err := conn.Do(c[0].(string), c[1:]...); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
	}
	epoch := s.epoch()
	must(t, s.master().Kill())
	s.waitMasterAfter(epoch)
	if r, err := conn.Do("EXEC"); r != nil || err != nil {
		t.Fatalf("EXEC: %v, %v, want nil", r, err)
	}
	if _, err := conn.Do("SET", "a", "3"); err != nil {
		t.Fatalf("SET after it: %v", err)
	}
}

func TestATransactionBegunBeforeAFailoverIsExecutedAfterIt(t *testing.T) {
	s := start(t, options{replicas: 1})
	conn := s.dial()
	for _, c := range [][]any{{"MULTI"}, {"SET", "a", "2"}, {"INCR", "a"}} {
		if _, err := conn.Do(c[0].(string), c[1:]...); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
	}
	epoch := s.epoch()
	must(t, s.master().Kill())
	s.waitMasterAfter(epoch)
	r, err := redis.Values(conn.Do("EXEC"))
	if err != nil || len(r) != 2 || r[1] != int64(3) {
		t.Fatalf("EXEC: %v, %v, want [OK 3]", r, err)
	}
}

func TestSubscriptionsLiveOnAcrossAFailover(t *testing.T) {
	s := start(t, options{replicas: 1})
	sub := redis.PubSubConn{Conn: s.dial()}
	must(t, sub.Subscribe("news"))
	if _, ok := sub.Receive().(redis.Subscription); !ok {
		t.Fatal("no confirmation")
	}
	epoch := s.epoch()
	must(t, s.master().Kill())
	s.waitMasterAfter(epoch)
	publisher := s.dial()
	testcluster.WaitFor(t, "the subscription on the new master", func() bool {
		n, err := redis.Int(publisher.Do("PUBLISH", "news", "hello"))
		return err == nil && n == 1
	})
	if m, ok := sub.Receive().(redis.Message); !ok || string(m.Data) != "hello" {
		t.Fatalf("received %v, want the message", m)
	}
}

func TestTheStateTellsWhatHappened(t *testing.T) {
	s := start(t, options{replicas: 2})
	epoch, old := s.epoch(), s.master()
	must(t, old.Kill())
	s.waitMasterAfter(epoch)
	testcluster.WaitFor(t, "the dead master to be listed as unavailable", func() bool {
		st := s.coord.Snapshot().State
		return len(st.Unavailable) == 1 && st.Unavailable[0].Addr == old.Addr
	})
	st := s.coord.Snapshot().State
	if st.Epoch != epoch+1 || st.Phase != topology.Stable || st.Failover != nil || len(st.Replicas) != 1 {
		t.Errorf("the state after one failover is %+v", st)
	}
}

func roleOf(t testing.TB, n *testcluster.Redis) string {
	t.Helper()
	info, err := n.Info("replication")
	if err != nil {
		t.Fatal(err)
	}
	return info["role"]
}

// calls returns how often a node has run a command for clients.
func calls(t testing.TB, n *testcluster.Redis, cmd string) int {
	t.Helper()
	info, err := n.Info("commandstats")
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info["cmdstat_"+cmd]
	if !ok {
		return 0
	}
	for _, field := range strings.Split(stat, ",") {
		if v, found := strings.CutPrefix(field, "calls="); found {
			c, err := redis.Int([]byte(v), nil)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	return 0
}
