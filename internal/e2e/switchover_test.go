package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// exact checks, after end, that every increment that was acknowledged was applied once and is there, and that there was
// no other outcome.
func (l *load) exact(t testing.TB) {
	t.Helper()
	conn := l.s.dial()
	for i, w := range l.writers {
		final, err := redis.Int64(conn.Do("GET", w.key))
		if err != nil || final != w.acked.Load() || w.unknown != 0 {
			t.Errorf("writer %d: %d increments were acknowledged, %d are unknown, and the counter is %d (%v)", i, w.acked.Load(), w.unknown, final, err)
		}
	}
}

// switchOver asks for a switchover, makes sure that there was exactly one, and returns the master of before.
func switchOver(t *testing.T, s *system, operator redis.Conn) *testcluster.Redis {
	t.Helper()
	epoch, old := s.epoch(), s.master()
	answer, err := redis.String(operator.Do("PROXY", "FAILOVER"))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(answer)
	if e := s.epoch(); e != epoch+1 || s.master() == old {
		t.Fatalf("epoch %d after %d, master %s, was %s", e, epoch, s.master().Addr, old.Addr)
	}
	return old
}

// switchOverUnderLoad changes the master of three servers a number of times, and sees to it that clients get no error, lose
// no write and have none repeated, and that each old master is a replica.
func switchOverUnderLoad(t *testing.T, s *system, rounds int) {
	t.Helper()
	s.do("SET", "fixed", "value")
	l := startLoad(s, 50, 10)
	operator := s.dial()
	for range rounds {
		l.progress(20)
		old := switchOver(t, s, operator)
		if role := roleOf(t, old); role != "slave" {
			t.Errorf("the old master is %q", role)
		}
		s.waitReplicas(2)
	}
	l.progress(20)
	l.end(t, 0)
	l.exact(t)
}

func TestASwitchoverCostsNoErrorAndNoWrite(t *testing.T) {
	switchOverUnderLoad(t, start(t, options{replicas: 2}), 20)
}

func TestASwitchoverGoesToTheNodeThatIsNamedAndSurvivesARestartOfEverything(t *testing.T) {
	s := start(t, options{replicas: 2})
	target := s.cluster.Nodes[2]
	if r := s.do("FAILOVER", "TO", "127.0.0.1", target.Port, "TIMEOUT", 3000); r != "OK" {
		t.Fatalf("FAILOVER: %v", r)
	}
	if m := s.master(); m != target {
		t.Fatalf("%s is master, want %s", m.Addr, target.Addr)
	}
	s.waitReplicas(2)
	s.stop()
	for i, n := range s.cluster.Nodes {
		must(t, n.Restart(t.Context()))
		want := "slave"
		if i == 2 {
			want = "master"
		}
		if role := roleOf(t, n); role != want {
			t.Errorf("%s is %q after its restart, want %s", n.Addr, role, want)
		}
	}
}

func TestASwitchoverToATargetThatHangsIsRefusedAndWithForceGivenUpWithoutAnError(t *testing.T) {
	s := start(t, options{replicas: 2, monitor: func(c *monitor.Config) { c.SwitchoverTimeout = time.Second }})
	s.do("SET", "fixed", "value")
	l := startLoad(s, 20, 0)
	l.progress(stage)
	epoch, master := s.epoch(), s.master()
	target := s.node(s.coord.Snapshot().State.Replicas[0].Addr)
	if answer := s.switchToHanging(target); !strings.Contains(answer, target.Addr+" did not answer") || s.epoch() != epoch {
		t.Errorf("in epoch %d after %d the switchover answers %q", s.epoch(), epoch, answer)
	}
	l.progress(stage)
	if answer := s.switchToHanging(target, "FORCE"); !strings.Contains(answer, "goes on as master") {
		t.Errorf("the switchover answers %q", answer)
	}
	if s.master() != master || s.epoch() <= epoch {
		t.Errorf("epoch %d, master %s: want a new epoch with the old master", s.epoch(), s.master().Addr)
	}
	l.progress(stage)
	l.end(t, 0)
	l.exact(t)
	if role := roleOf(t, master); role != "master" {
		t.Errorf("the master is %q", role)
	}
}

// switchToHanging asks for a switchover to a node that has just begun to hang, returns the refusal, and has the node go on.
// A monitor that finds that the machine stood still looks at all nodes anew before it answers, and waits for one that
// hangs until it is down. That is another refusal, so it is asked again.
func (s *system) switchToHanging(target *testcluster.Redis, words ...any) string {
	t := s.t
	t.Helper()
	const most = 5
	for range most {
		must(t, target.Pause())
		_, err := s.dial().Do("PROXY", append([]any{"FAILOVER", target.Addr}, words...)...)
		resumed := time.Now()
		must(t, target.Resume())
		var refusal redis.Error
		if !errors.As(err, &refusal) {
			t.Fatalf("a switchover to a node that hangs answers %v", err)
		}
		testcluster.WaitFor(t, "the target to be heard again", func() bool {
			return slices.ContainsFunc(s.monitor.Status().Nodes, func(n monitor.NodeStatus) bool {
				return n.Addr == target.Addr && !n.Down && n.Heard.After(resumed)
			})
		})
		s.waitReplicas(2)
		if !strings.Contains(string(refusal), target.Addr+" is down") {
			return string(refusal)
		}
	}
	t.Fatalf("the machine stood still %d times while a switchover was asked for", most)
	return ""
}

func TestARequestThatIsNotAnsweredEndsTheSwitchoverAndNotItself(t *testing.T) {
	s := start(t, options{replicas: 1, monitor: func(c *monitor.Config) { c.SwitchoverTimeout = 300 * time.Millisecond }})
	epoch, master := s.epoch(), s.master()
	testcluster.WaitFor(t, "the monitor to have heard every node", func() bool {
		heard := 0
		for _, n := range s.monitor.Status().Nodes {
			if !n.Heard.IsZero() {
				heard++
			}
		}
		return heard == len(s.cluster.Nodes)
	})
	slow := s.dial()
	if _, err := slow.Do("SET", "a", 0); err != nil {
		t.Fatal(err)
	}
	must(t, master.Pause()) // as in a long script; without force it would be noticed before anybody has to wait
	must(t, slow.Send("INCR", "a"))
	must(t, slow.Flush())
	id, err := s.coord.Submit(t.Context(), topology.Request{Kind: topology.Switchover, Force: true, By: "a test"})
	must(t, err)
	testcluster.WaitFor(t, "the answer", func() bool {
		for _, r := range s.coord.Requests() {
			if r.ID == id && r.Answer != "" {
				if r.Answer != topology.Failed || !strings.Contains(r.Text, "goes on as master") {
					t.Errorf("the switchover is answered %s: %s", r.Answer, r.Text)
				}
				return true
			}
		}
		return false
	})
	must(t, master.Resume())
	if n, err := redis.Int(slow.Receive()); n != 1 || err != nil {
		t.Errorf("INCR answers %d, %v", n, err)
	}
	s.do("SET", "b", 1)
	if s.master() != master || s.epoch() <= epoch {
		t.Errorf("epoch %d after %d, master %s", s.epoch(), epoch, s.master().Addr)
	}
}

func TestAServerThatHasNoFailoverIsSwitchedByCommands(t *testing.T) {
	switchOverUnderLoad(t, start(t, options{replicas: 2, args: []string{"--rename-command", "FAILOVER", ""}}), 5)
}

func TestBlockingClientsLiveThroughASwitchover(t *testing.T) {
	s := start(t, options{replicas: 1})
	const clients = 20
	type popped struct {
		value string
		err   error
	}
	got := make(chan popped, clients)
	for i := range clients {
		conn := s.dial()
		var err error
		switch i % 4 {
		case 0:
			err = conn.Send("BLPOP", fmt.Sprint("list", i), 0)
		case 1:
			err = conn.Send("BLMOVE", fmt.Sprint("list", i), "elsewhere", "LEFT", "RIGHT", 0)
		case 2:
			err = conn.Send("BZPOPMIN", fmt.Sprint("set", i), 0)
		case 3:
			err = conn.Send("XREAD", "BLOCK", 0, "STREAMS", fmt.Sprint("stream", i), "0")
		}
		must(t, err)
		must(t, conn.Flush())
		go func() {
			reply, err := conn.Receive()
			got <- popped{fmt.Sprintf("%s", reply), err}
		}()
	}
	for range 3 {
		testcluster.WaitFor(t, "all clients to be blocked", func() bool {
			info, err := s.master().Info("clients")
			return err == nil && info["blocked_clients"] == fmt.Sprint(clients)
		})
		began := time.Now()
		if _, err := s.dial().Do("PROXY", "FAILOVER"); err != nil {
			t.Fatal(err)
		}
		t.Logf("the switchover took %v", time.Since(began))
		s.waitReplicas(1)
	}
	for i := range clients {
		switch i % 4 {
		case 0, 1:
			s.do("RPUSH", fmt.Sprint("list", i), "element")
		case 2:
			s.do("ZADD", fmt.Sprint("set", i), 1, "element")
		case 3:
			s.do("XADD", fmt.Sprint("stream", i), "*", "element", "element")
		}
	}
	for range clients {
		if p := <-got; p.err != nil || !strings.Contains(p.value, "element") {
			t.Errorf("a blocked client got %q, %v", p.value, p.err)
		}
	}
}

func TestWhilePausedADeadMasterIsOnlyReportedAndResumeFailsOver(t *testing.T) {
	s := start(t, options{replicas: 2})
	s.do("PROXY", "PAUSE", "maintenance")
	epoch, master := s.epoch(), s.master()
	must(t, master.Kill())
	testcluster.WaitFor(t, "the alarm", func() bool {
		alarms := s.monitor.Status().Alarms
		return len(alarms) == 1 && strings.Contains(alarms[0], "maintenance") && strings.Contains(alarms[0], master.Addr+" is down")
	})
	if st := s.coord.Snapshot().State; st.Epoch != epoch || st.Phase != topology.Stable || st.Master.Addr != master.Addr || st.Paused == nil {
		t.Fatalf("paused, and the state is %+v", st)
	}
	if _, err := s.dial().Do("PROXY", "FAILOVER"); err == nil {
		t.Error("a switchover was begun while paused")
	}
	s.do("PROXY", "RESUME")
	if now := s.waitMasterAfter(epoch); now == master {
		t.Error("the dead master is master")
	}
	s.do("SET", "a", "b")
	if st := s.coord.Snapshot().State; st.Paused != nil {
		t.Errorf("resumed, and the state is %+v", st)
	}
}

func TestAPauseSurvivesARestart(t *testing.T) {
	o := options{replicas: 1}
	s := start(t, o)
	s.do("PROXY", "PAUSE", "for", "a", "reason")
	s.stop()
	s.run(o)
	if p := s.coord.Snapshot().State.Paused; p == nil || p.Reason != "for a reason" {
		t.Fatalf("after the restart: %+v", p)
	}
	s.do("PROXY", "RESUME")
}

// BenchmarkPauseOfASwitchover changes the master under 50 writing clients and reports how long the one that waited
// longest could not write.
func BenchmarkPauseOfASwitchover(b *testing.B) {
	benchmarkPauses(b, func(s *system) {
		if _, err := s.dial().Do("PROXY", "FAILOVER"); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkPauseOfASwitchoverWithSubscribers is the same with 200 clients that listen, each to a channel of its own: their
// subscriptions go to the new master first.
func BenchmarkPauseOfASwitchoverWithSubscribers(b *testing.B) {
	var subscribe sync.Once
	benchmarkPauses(b, func(s *system) {
		subscribe.Do(func() {
			for i := range 200 {
				_, err := s.dial().Do("SUBSCRIBE", i)
				must(b, err)
			}
		})
		_, err := s.dial().Do("PROXY", "FAILOVER")
		must(b, err)
	})
}

// BenchmarkPauseOfNothing is what to compare with: the longest pause of the same clients while nothing is done to anybody
// for as long as a switchover takes. What it reports is the machine's.
func BenchmarkPauseOfNothing(b *testing.B) {
	benchmarkPauses(b, func(*system) { time.Sleep(20 * time.Millisecond) })
}

func TestWhoMayNotSendFailoverToTheServersMayNotChangeTheCluster(t *testing.T) {
	s := start(t, options{replicas: 1})
	for _, n := range s.cluster.Nodes {
		if _, err := n.Do("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-failover"); err != nil {
			t.Fatal(err)
		}
	}
	conn := s.dial()
	if _, err := conn.Do("AUTH", "app", "secret"); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]any{{"PROXY", "FAILOVER"}, {"PROXY", "PAUSE"}, {"PROXY", "RESUME"}, {"PROXY", "FORGET", "127.0.0.1:1"}, {"FAILOVER"}, {"FAILOVER", "ABORT"}} {
		_, err := conn.Do(words[0].(string), words[1:]...)
		var e redis.Error
		if !errors.As(err, &e) || !strings.HasPrefix(string(e), "NOPERM") {
			t.Errorf("%v: %v, want NOPERM", words, err)
		}
	}
	if _, err := conn.Do("PROXY", "EVENTS"); err != nil {
		t.Errorf("PROXY EVENTS: %v", err)
	}
	if st := s.coord.Snapshot().State; len(s.coord.Requests()) > 0 || st.Epoch != 1 {
		t.Errorf("requests %v, epoch %d", s.coord.Requests(), st.Epoch)
	}
}

func TestBlockingClientsOfServersWithAPasswordLiveThroughASwitchover(t *testing.T) {
	const password = "secret"
	s := start(t, options{replicas: 1, args: []string{"--requirepass", password, "--masterauth", password},
		monitor: func(c *monitor.Config) { c.Password = password }, proxy: func(c *proxy.Config) { c.Password = password }})
	dial := func() redis.Conn {
		conn := s.dial()
		if _, err := conn.Do("AUTH", password); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	blocked, operator := dial(), dial()
	must(t, blocked.Send("BLPOP", "list", 0))
	must(t, blocked.Flush())
	isBlocked := func() bool {
		info, err := redis.String(operator.Do("INFO", "clients"))
		return err == nil && strings.Contains(info, "\r\nblocked_clients:1\r\n")
	}
	testcluster.WaitFor(t, "the client to be blocked", isBlocked)
	for range 3 {
		began := time.Now()
		if _, err := operator.Do("PROXY", "FAILOVER"); err != nil {
			t.Fatal(err)
		}
		t.Logf("the switchover took %v", time.Since(began))
		s.waitReplicas(1)
		testcluster.WaitFor(t, "the client to be blocked again", isBlocked)
	}
	if _, err := operator.Do("RPUSH", "list", "element"); err != nil {
		t.Fatal(err)
	}
	if r, err := redis.Strings(blocked.Receive()); err != nil || len(r) != 2 || r[1] != "element" {
		t.Errorf("BLPOP answers %v, %v", r, err)
	}
}
