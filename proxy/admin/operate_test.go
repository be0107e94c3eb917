package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/admin/client"
	"github.com/understudy/understudy/topology"
)

// leader answers every request, and keeps what was asked.
func leader(t *testing.T, w *world, answer topology.Answer, text string) (asked func() topology.Request) {
	t.Helper()
	w.Local = newLocal(t)
	var last topology.Request
	stop := w.Local.WatchRequests(func(list []topology.Request) {
		for _, r := range list {
			if r.Answer == "" {
				last = r
				if err := w.Local.Answer(context.Background(), r.ID, answer, text); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Cleanup(stop)
	return func() topology.Request { return last }
}

// command gives a whole command to a and returns the reply.
func command(t *testing.T, a *admin.Admin, words string) string {
	t.Helper()
	var args [][]byte
	for _, word := range strings.Fields(words) {
		args = append(args, []byte(word))
	}
	answer := make(chan []byte, 1)
	a.Proxy(args, 2, "10.1.1.1:1", func(reply []byte) { answer <- reply })
	return string(<-answer)
}

func TestEachWayOfAskingMakesTheRequestThatItMeans(t *testing.T) {
	w := afterFailover()
	asked := leader(t, w, topology.Done, "it is so")
	a := w.admin()
	defer a.Close()
	for words, want := range map[string]string{
		"PROXY FAILOVER":                               "switchover  false 0s ",
		"proxy failover 10.0.0.3:6379":                 "switchover 10.0.0.3:6379 false 0s ",
		"PROXY FAILOVER FORCE":                         "switchover  true 0s ",
		"PROXY FAILOVER [::1]:6379 force":              "switchover [::1]:6379 true 0s ",
		"PROXY PAUSE":                                  "pause  false 0s ",
		"PROXY PAUSE new kernel":                       "pause  false 0s new kernel",
		"PROXY RESUME":                                 "resume  false 0s ",
		"proxy forget 10.0.0.3:6379":                   "forget 10.0.0.3:6379 false 0s ",
		"FAILOVER":                                     "switchover  false 0s ",
		"failover to 10.0.0.3 6379":                    "switchover 10.0.0.3:6379 false 0s ",
		"FAILOVER TO 10.0.0.3 6379 FORCE TIMEOUT 1500": "switchover 10.0.0.3:6379 true 1.5s ",
		"FAILOVER TIMEOUT 1":                           "switchover  false 1ms ",
		"FAILOVER ABORT":                               "abort  false 0s ",
	} {
		reply := command(t, a, words)
		r := asked()
		if got := fmt.Sprint(r.Kind, " ", r.Target, " ", r.Force, " ", r.Timeout, " ", r.Reason); got != want {
			t.Errorf("%s asks for %q, want %q", words, got, want)
		}
		if r.By != "web-1 for 10.1.1.1:1" {
			t.Errorf("%s is asked for by %q", words, r.By)
		}
		expect := "+it is so\r\n"
		if strings.HasPrefix(strings.ToUpper(words), "FAILOVER") {
			expect = "+OK\r\n"
		}
		if reply != expect {
			t.Errorf("%s answers %q, want %q", words, reply, expect)
		}
	}
}

func TestWhatIsRefusedIsAnErrorWithItsReason(t *testing.T) {
	w := afterFailover()
	leader(t, w, topology.Refused, "r1 is\r\nlagging")
	a := w.admin()
	defer a.Close()
	for _, words := range []string{"PROXY FAILOVER", "FAILOVER", "PROXY RESUME"} {
		if reply := command(t, a, words); reply != "-ERR r1 is  lagging\r\n" {
			t.Errorf("%s answers %q", words, reply)
		}
	}
}

func TestWrongArgumentsAskForNothing(t *testing.T) {
	w := afterFailover()
	asked := leader(t, w, topology.Done, "")
	a := w.admin()
	defer a.Close()
	for _, words := range []string{
		"PROXY FAILOVER a:1 b:1", "PROXY FAILOVER nowhere", "PROXY FAILOVER a: FORCE", "PROXY RESUME now", "PROXY FORGET", "PROXY FORGET nowhere", "PROXY FORGET a:1 b:1", "PROXY EVENTS -1", "PROXY EVENTS x",
		"PROXY MEMBERS all", "FAILOVER TO a", "FAILOVER TO a b", "FAILOVER TIMEOUT", "FAILOVER TIMEOUT 0", "FAILOVER TIMEOUT x",
		"FAILOVER FORCE", "FAILOVER ABORT TIMEOUT 1", "FAILOVER TO a 1 TO b 2", "FAILOVER UNDERSTUDY-ASKS-FOR-PERMISSION",
	} {
		if reply := command(t, a, words); !strings.HasPrefix(reply, "-ERR ") {
			t.Errorf("%s answers %q", words, reply)
		}
	}
	if r := asked(); r.ID != "" {
		t.Errorf("something was asked for: %+v", r)
	}
}

func TestOnlyWhatChangesTheClusterNeedsPermission(t *testing.T) {
	a := afterFailover().admin()
	defer a.Close()
	for words, want := range map[string]bool{
		"PROXY": false, "PROXY NODES": false, "PROXY EVENTS 1": false, "PROXY MEMBERS": false, "PROXY HELP": false,
		"PROXY FAILOVER": true, "proxy pause x": true, "PROXY RESUME": true, "PROXY forget a:1": true, "FAILOVER": true, "failover abort": true,
	} {
		var args [][]byte
		for _, word := range strings.Fields(words) {
			args = append(args, []byte(word))
		}
		if got := a.Changes(args); got != want {
			t.Errorf("%s changes the cluster: %v", words, got)
		}
	}
}

func TestMembersTellsWhoLeadsAndWhatTheySee(t *testing.T) {
	w := afterFailover()
	w.state.Electors = []topology.Elector{{ID: "web-2", Addr: "10.1.0.2:6380", Limit: time.Hour}}
	w.members = []topology.Member{
		{ID: "web-2", Addr: "10.1.0.2:6380", Applied: 6, Fenced: 7, View: []topology.NodeView{{Addr: "10.0.0.1:6379", Down: true}, {Addr: "10.0.0.2:6379"}}},
		{ID: "web-1", Applied: 7, Fenced: 7, Leads: true},
	}
	a := w.admin()
	defer a.Close()
	members := nodeMaps(t, ask(t, a, 3, "MEMBERS"), '%')
	if len(members) != 2 || members[0]["id"] != "web-1" || members[0]["role"] != "leader" || members[1]["role"] != "member" ||
		members[1]["addr"] != "10.1.0.2:6380" || members[1]["applied"] != "6" || members[1]["down"] != "10.0.0.1:6379" || members[1]["nodes"] != "2" ||
		members[0]["elector"] != "no" || members[1]["elector"] != "yes" {
		t.Errorf("members %v", members)
	}
}

// calls are the answers of members.
type calls map[string]error

func (c calls) Answers(context.Context, []topology.Member) map[string]error { return c }

func TestMembersThatDoNotAnswerAreMarked(t *testing.T) {
	w := afterFailover()
	w.members = []topology.Member{{ID: "web-1"}, {ID: "web-2", Leads: true}, {ID: "web-3"}, {ID: "web-4"}, {ID: "web-5"}}
	a := w.admin()
	defer a.Close()
	said := func() (words []string) {
		for _, m := range nodeMaps(t, ask(t, a, 3, "MEMBERS"), '%') {
			words = append(words, strings.TrimSpace(m["id"]+" "+m["answers"]+" "+m["silence"]))
		}
		return words
	}
	if got := strings.Join(said(), ", "); got != "web-1 yes, web-2, web-3, web-4, web-5" {
		t.Errorf("without a way to ask others: %s", got)
	}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	a.Ask(calls{"web-1": nil, "web-2": fmt.Errorf("it: %w", refused), "web-3": fmt.Errorf("it: %w", context.DeadlineExceeded), "web-4": errors.New("a:1 is the address of x")})
	if got := strings.Join(said(), ", "); got != "web-1 yes, web-2 no connection refused, web-3 no no answer, web-4 no a:1 is the address of x, web-5" {
		t.Errorf("what they said: %s", got)
	}
}

// losing is a cluster that can be made unable to tell who its members are.
type losing struct {
	*world
	problem atomic.Pointer[error]
}

func (l *losing) Members(ctx context.Context) ([]topology.Member, error) {
	if problem := l.problem.Load(); problem != nil {
		<-ctx.Done() // as ZooKeeper does: it does not answer
		return nil, *problem
	}
	return l.members, nil
}

func TestMembersThatCannotBeAskedForAreThoseOfTheLastTimeWithItsAgeAndTheReason(t *testing.T) {
	l := &losing{world: afterFailover()}
	l.members = []topology.Member{{ID: "web-1", Leads: true}, {ID: "web-2"}}
	a := l.adminOf(l)
	defer a.Close()
	for _, m := range nodeMaps(t, ask(t, a, 2, "MEMBERS"), '*') {
		if m["heard"] != "0" || m["reason"] != "" {
			t.Errorf("what was asked for just now is %v", m)
		}
	}
	l.problem.Store(&topology.ErrUnreachable)
	began := time.Now()
	members := nodeMaps(t, ask(t, a, 2, "MEMBERS"), '*')
	if len(members) != 2 || members[0]["role"] != "leader" || members[1]["heard"] == "0" || members[1]["reason"] != "ZooKeeper cannot be reached" {
		t.Errorf("while ZooKeeper is away the members are %v", members)
	}
	if waited := time.Since(began); waited >= client.Timeout {
		t.Errorf("it takes %v, and who asks waits for %v", waited, client.Timeout)
	}
	gone := fmt.Errorf("%w: it is gone", topology.ErrOtherCluster)
	l.problem.Store(&gone)
	if reply := command(t, a, "PROXY MEMBERS"); reply != "-ERR this is another cluster: it is gone\r\n" {
		t.Errorf("when the cluster is gone the reply is %q", reply)
	}
}

func TestEventsTellTheStoryOfASwitchoverAPauseAndAReplica(t *testing.T) {
	w := &world{}
	local := newLocal(t)
	a := admin.New(admin.Identity{Cluster: "shop", ID: "web-1"}, local, w)
	defer a.Close()
	ctx := context.Background()
	write := func(change func(*topology.State)) {
		t.Helper()
		s := afterFailover().state
		if now := local.Snapshot().State; now != nil {
			s = now.Clone()
		}
		change(s)
		if err := local.Update(ctx, local.Snapshot().Version, s); err != nil {
			t.Fatal(err)
		}
	}
	write(func(*topology.State) {})
	write(func(s *topology.State) { s.Replicas[1].Health = topology.Online })
	id, err := local.Submit(ctx, topology.Request{Kind: topology.Switchover, Target: "10.0.0.3:6379", By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	write(func(s *topology.State) {
		s.Epoch, s.Phase, s.Failover = 8, topology.Fencing, &topology.Failover{Cause: "asked", Planned: true, Target: "10.0.0.3:6379"}
	})
	write(func(s *topology.State) { s.Phase, s.Failover.Choice = topology.Promoting, "10.0.0.3:6379" })
	write(func(s *topology.State) {
		s.Phase, s.Failover = topology.Stable, nil
		s.Master, s.Replicas[0].Node = s.Replicas[0].Node, s.Master
	})
	if err := local.Answer(ctx, id, topology.Done, "it is so"); err != nil {
		t.Fatal(err)
	}
	write(func(s *topology.State) { s.Paused = &topology.Paused{By: "ops", Reason: "kernel"} })
	write(func(s *topology.State) { s.Paused = nil })
	want := []string{
		"7 state the state is known: master 10.0.0.2:6379, phase stable, 2 replicas",
		"7 replica 10.0.0.4:6379 is online, was loading",
		"7 request 0000000001: switchover to 10.0.0.3:6379 asked for by ops",
		"8 switchover fencing: asked",
		"8 switchover all members are fenced; 10.0.0.3:6379 is to be master",
		"8 switchover over: master 10.0.0.3:6379, was 10.0.0.2:6379",
		"8 request 0000000001: done: it is so",
		"8 pause paused by ops: kernel",
		"8 pause resumed",
	}
	for _, n := range []int{100, 2} {
		var got []string
		for _, e := range nodeMaps(t, ask(t, a, 2, "EVENTS", fmt.Sprint(n)), '*') {
			got = append(got, e["epoch"]+" "+e["kind"]+" "+e["text"])
		}
		expect := want[max(0, len(want)-n):]
		if strings.Join(got, "\n") != strings.Join(expect, "\n") {
			t.Errorf("the last %d events are\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(expect, "\n"))
		}
	}
}

// unsure is an agreement whose answers get lost.
type unsure struct{ *world }

func (unsure) Submit(context.Context, topology.Request) (string, error) {
	return "", fmt.Errorf("%w (there was no answer)", topology.ErrUncertain)
}

func TestARequestThatMayHaveBeenMadeIsNotSaidNotToBe(t *testing.T) {
	w := afterFailover()
	a := w.adminOf(unsure{w})
	defer a.Close()
	reply := command(t, a, "PROXY FAILOVER")
	if !strings.HasPrefix(reply, "-ERR ") || strings.Contains(reply, "could not be made") || !strings.Contains(reply, "it may be carried out (there was no answer)") ||
		!strings.Contains(reply, "PROXY EVENTS") {
		t.Errorf("the answer is %q", reply)
	}
}
