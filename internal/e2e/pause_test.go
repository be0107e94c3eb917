package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// ask leaves a request with the leader and waits for its answer.
func ask(t *testing.T, s *system, kind topology.RequestKind) topology.Request {
	t.Helper()
	id, err := s.coord.Submit(t.Context(), topology.Request{Kind: kind, By: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	var r topology.Request
	testcluster.WaitFor(t, "the answer to a request", func() bool {
		list := s.coord.Requests()
		i := slices.IndexFunc(list, func(r topology.Request) bool { return r.ID == id })
		r = list[i]
		return r.Answer != ""
	})
	return r
}

// waitMasterHeard waits until the monitor knows all that the master has written: how far it was decides after a restart.
func waitMasterHeard(t *testing.T, s *system, master *testcluster.Redis) {
	t.Helper()
	info, err := master.Info("replication")
	if err != nil {
		t.Fatal(err)
	}
	written, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "the master to be heard", func() bool {
		return slices.ContainsFunc(s.monitor.Status().Nodes, func(n monitor.NodeStatus) bool {
			return n.Addr == master.Addr && n.Role == "master" && n.Offset >= written
		})
	})
}

func TestAMasterThatIsRestartedInOrderWhilePausedGoesOnIfItHasKeptItsHistory(t *testing.T) {
	s := start(t, options{replicas: 1, args: []string{"--save", "3600", "1"}})
	master, c := s.cluster.Nodes[0], s.dial()
	if _, err := c.Do("SET", "key", "kept"); err != nil {
		t.Fatal(err)
	}
	if err := s.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, s, topology.Pause)
	waitMasterHeard(t, s, master)
	epoch := s.epoch()
	if err := master.Stop(); err != nil {
		t.Fatal(err)
	}
	waitOutage(t, s, true)
	if err := master.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.waitMasterAfter(epoch); got != master {
		t.Fatalf("%s is master, want the one that was restarted", got.Addr)
	}
	if value, err := redis.String(c.Do("GET", "key")); err != nil || value != "kept" {
		t.Errorf("GET: %q, %v", value, err)
	}
	if _, err := c.Do("SET", "key", "new"); err != nil {
		t.Errorf("a write after the restart: %v", err)
	}
	if s.coord.Snapshot().State.Paused == nil {
		t.Error("the pause is over")
	}
	s.waitReplicas(1)
}

func TestAMasterThatDoesNotTellWhatItHasKeptWaitsForTheEndOfThePause(t *testing.T) {
	s := start(t, options{args: []string{"--appendonly", "yes"}, proxy: func(cfg *proxy.Config) { cfg.HoldTimeout = 200 * time.Millisecond }})
	master, c := s.cluster.Nodes[0], s.dial()
	if _, err := c.Do("SET", "key", "kept"); err != nil {
		t.Fatal(err)
	}
	ask(t, s, topology.Pause)
	waitMasterHeard(t, s, master)
	if err := master.Stop(); err != nil {
		t.Fatal(err)
	}
	waitOutage(t, s, true)
	if err := master.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "an alarm that says what to do", func() bool {
		return slices.ContainsFunc(s.monitor.Status().Alarms, func(alarm string) bool {
			return strings.Contains(alarm, "does not tell how much of its data it has kept; what needs it waits until PROXY RESUME")
		})
	})
	if _, err := c.Do("GET", "key"); err == nil || !strings.HasPrefix(err.Error(), "MASTERDOWN") {
		t.Errorf("GET while paused: %v, want MASTERDOWN", err)
	}
	epoch := s.epoch()
	ask(t, s, topology.Resume)
	s.waitMasterAfter(epoch)
	testcluster.WaitFor(t, "the data", func() bool {
		value, err := redis.String(c.Do("GET", "key"))
		return err == nil && value == "kept"
	})
}

func TestWhileNothingIsServedAnyNodeThatAnswersSaysWhoMayEndAPause(t *testing.T) {
	s := start(t, options{replicas: 2, args: []string{"--appendonly", "yes"}})
	for _, n := range s.cluster.Nodes {
		for _, words := range [][]any{{"ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-failover"}, {"CONFIG", "REWRITE"}} {
			if _, err := n.Do(words...); err != nil {
				t.Fatal(err)
			}
		}
	}
	app, operator := s.dial(), s.dial()
	if _, err := app.Do("AUTH", "app", "secret"); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Do("PROXY", "PAUSE", "maintenance"); err != nil {
		t.Fatal(err)
	}
	waitMasterHeard(t, s, s.cluster.Nodes[0])
	for i := range s.cluster.Nodes {
		n := s.cluster.Nodes[len(s.cluster.Nodes)-1-i] // the master last
		must(t, n.Stop())
		if n != s.cluster.Nodes[0] {
			waitUnavailable(t, s, n.Addr)
		}
	}
	waitOutage(t, s, true)
	if _, err := operator.Do("PROXY", "RESUME"); err == nil || !strings.HasPrefix(err.Error(), "MASTERDOWN no node answers") {
		t.Fatalf("with no node at all: %v", err)
	}
	for _, n := range s.cluster.Nodes {
		must(t, n.Restart(t.Context()))
	}
	// The master answers, and is not used: it does not tell what it has kept. The replicas are none again before there is a master.
	testcluster.WaitFor(t, "an alarm that says what to do", func() bool {
		return slices.ContainsFunc(s.monitor.Status().Alarms, func(alarm string) bool { return strings.Contains(alarm, "waits until PROXY RESUME") })
	})
	if _, err := app.Do("PROXY", "RESUME"); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("who may not: %v", err)
	}
	epoch := s.epoch()
	if _, err := operator.Do("PROXY", "RESUME"); err != nil {
		t.Errorf("who may: %v", err)
	}
	s.waitMasterAfter(epoch)
}

func TestAResumeFindsThatTheMasterAnswersAgain(t *testing.T) {
	s := start(t, options{replicas: 1, monitor: func(cfg *monitor.Config) {
		cfg.StallAfter, cfg.DownAfter = time.Second, 500*time.Millisecond
		cfg.MaxFailures = 1 // from the first one on it is asked no more than once a second
	}})
	master := s.cluster.Nodes[0]
	waitMasterHeard(t, s, master)
	epoch := s.epoch()
	for range 5 { // each time at another point in the intervals at which a silent node is asked
		ask(t, s, topology.Pause)
		if err := master.Pause(); err != nil {
			t.Fatal(err)
		}
		waitOutage(t, s, true)
		if err := master.Resume(); err != nil {
			t.Fatal(err)
		}
		ask(t, s, topology.Resume)
		waitOutage(t, s, false)
	}
	if s.epoch() != epoch || s.master() != master {
		t.Errorf("a failover took place, to %s in epoch %d, although the master answered", s.master().Addr, s.epoch())
	}
}
