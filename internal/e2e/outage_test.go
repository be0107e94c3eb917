package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
)

// startAlone is one server without a replica, of which clients and the monitor have had enough soon.
func startAlone(t *testing.T) *system {
	t.Helper()
	s := start(t, options{
		monitor: func(cfg *monitor.Config) { cfg.StallAfter, cfg.DownAfter = time.Second, 500*time.Millisecond },
		proxy:   func(cfg *proxy.Config) { cfg.HoldTimeout = 300 * time.Millisecond },
	})
	testcluster.WaitFor(t, "the master to be heard", func() bool {
		nodes := s.monitor.Status().Nodes
		return len(nodes) == 1 && nodes[0].Role == "master"
	})
	return s
}

func waitOutage(t *testing.T, s *system, want bool) {
	t.Helper()
	testcluster.WaitFor(t, "the State to say whether the master is down", func() bool {
		return (s.coord.Snapshot().State.Outage != nil) == want
	})
}

func TestNothingIsSentToAHungMasterThatNobodyReplaces(t *testing.T) {
	s := startAlone(t)
	master := s.cluster.Nodes[0]
	sent, other, open := s.dial(), s.dial(), s.dial()
	if _, err := other.Do("SET", "before", "1"); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range [][]any{{"WATCH", "watched"}, {"MULTI"}, {"SET", "queued", "1"}} {
		if _, err := open.Do(cmd[0].(string), cmd[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if err := master.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := sent.Send("INCR", "sent"); err != nil {
		t.Fatal(err)
	}
	if err := sent.Flush(); err != nil {
		t.Fatal(err)
	}
	waitOutage(t, s, true)
	for _, cmd := range [][]any{{"INCR", "held"}, {"GET", "before"}, {"BLPOP", "list", 5}} {
		_, err := other.Do(cmd[0].(string), cmd[1:]...)
		if err == nil || !strings.HasPrefix(err.Error(), "MASTERDOWN") {
			t.Errorf("%v while the master hangs: %v, want MASTERDOWN", cmd, err)
		}
	}
	if _, err := open.Do("EXEC"); err == nil || !strings.HasPrefix(err.Error(), "MASTERDOWN") {
		t.Errorf("EXEC while the master hangs: %v, want MASTERDOWN", err)
	}
	if err := master.Resume(); err != nil {
		t.Fatal(err)
	}
	if n, err := redis.Int(sent.Receive()); err != nil || n != 1 {
		t.Errorf("what was sent before: %v, %v; it is answered when the server goes on", n, err)
	}
	waitOutage(t, s, false)
	if n, err := redis.Int(other.Do("INCR", "held")); err != nil || n != 1 {
		t.Errorf("INCR after the end: %v, %v, want 1: the first was answered as not sent", n, err)
	}
	if n, err := redis.Int(other.Do("EXISTS", "queued")); err != nil || n != 0 {
		t.Errorf("EXISTS of what EXEC would have set: %v, %v; it was not sent", n, err)
	}
}

func TestRequestsOutlastASlowForkOfTheMaster(t *testing.T) {
	s := startAlone(t)
	s.stop()
	s.run(options{
		monitor: func(cfg *monitor.Config) { cfg.StallAfter, cfg.DownAfter = time.Second, 500*time.Millisecond },
		proxy:   func(cfg *proxy.Config) { cfg.HoldTimeout = time.Minute },
	})
	master := s.cluster.Nodes[0]
	c := s.dial()
	if _, err := c.Do("SET", "key", "1"); err != nil {
		t.Fatal(err)
	}
	if err := master.Pause(); err != nil {
		t.Fatal(err)
	}
	waitOutage(t, s, true)
	if err := c.Send("INCR", "key"); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := master.Resume(); err != nil {
		t.Fatal(err)
	}
	if n, err := redis.Int(c.Receive()); err != nil || n != 2 {
		t.Errorf("INCR: %v, %v; it waits until the master answers, and is sent then", n, err)
	}
}
