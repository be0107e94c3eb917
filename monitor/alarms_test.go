package monitor

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

func TestAnAlarmIsLoggedOnceAndWhenItIsOver(t *testing.T) {
	var out bytes.Buffer
	l := &loop{Monitor: &Monitor{log: slog.New(slog.NewTextHandler(&out, nil))}, alarms: make(map[string]alarm)}
	s := situation{state: &topology.State{Epoch: 1}}
	rivals := func(consequence string, names ...string) action {
		s.rivals = names
		return s.rivalry(consequence)
	}
	for _, step := range []struct {
		what    string
		actions []action
		want    string // the level and the message of the one line logged; "" for none
	}{
		{"nobody can take over", []action{s.nobody("m is down")}, `level=ERROR msg="operator needed"`},
		{"again", []action{s.nobody("m is down")}, ""},
		{"while offsets are read", []action{{deed: deedRead}}, ""},
		{"for another reason", []action{s.nobody("m is down; r1 is loading")}, `level=ERROR msg="operator needed"`},
		{"it is over", nil, `level=WARN msg="operator no longer needed"`},
		{"rivals", []action{rivals("nothing is moved", "x", "y")}, `level=ERROR msg="operator needed"`},
		{"one of them has gone", []action{rivals("nothing is moved", "y")}, `level=INFO msg="operator still needed"`},
		{"another one has come", []action{rivals("nothing is moved", "y", "z")}, `level=ERROR msg="operator needed"`},
		{"it has got worse", []action{rivals("m is down", "y")}, `level=ERROR msg="operator needed"`},
		{"they have gone", []action{}, `level=WARN msg="operator no longer needed"`},
	} {
		out.Reset()
		l.tellAlarms(step.actions, s.state, time.Now())
		if got := out.String(); (step.want == "") != (got == "") || strings.Count(got, "\n") > 1 || !strings.Contains(got, step.want) {
			t.Errorf("%s: logged %q, want %q", step.what, got, step.want)
		}
	}
}

func TestWhatOthersAreExpectedToSeeToIsAnAlarmOnlyIfTheyDoNot(t *testing.T) {
	var out bytes.Buffer
	l := &loop{Monitor: &Monitor{log: slog.New(slog.NewTextHandler(&out, nil))}, alarms: make(map[string]alarm)}
	s := situation{state: &topology.State{Epoch: 1}}
	began := time.Now()
	for _, step := range []struct {
		what    string
		after   time.Duration
		actions []action
		want    string // in what is logged; "" for nothing
		alarms  int
	}{
		{"two masters", 0, []action{s.awaited("r and m are masters")}, `level=INFO`, 0},
		{"a moment later, in other words", time.Second, []action{s.awaited("m and r are masters")}, "", 0},
		{"while the State is written", 2 * time.Second, []action{{deed: deedWrite}}, "", 0},
		{"they do not see to it", othersTime, []action{s.awaited("r and m are masters")}, `level=ERROR msg="operator needed"`, 1},
		{"it is over", othersTime + time.Second, nil, `level=WARN msg="operator no longer needed"`, 0},
		{"it is so again", othersTime + 2*time.Second, []action{s.awaited("r and m are masters")}, `level=INFO`, 0},
		{"and passes in time", othersTime + 3*time.Second, nil, "", 0},
		{"and is so once more", 2*othersTime + 2*time.Second, []action{s.awaited("r and m are masters")}, `level=INFO`, 0},
	} {
		out.Reset()
		l.tellAlarms(step.actions, s.state, began.Add(step.after))
		if got := out.String(); (step.want == "") != (got == "") || !strings.Contains(got, step.want) {
			t.Errorf("%s: logged %q, want %q", step.what, got, step.want)
		}
		if got := len(l.standing()); got != step.alarms {
			t.Errorf("%s: %d alarms stand, want %d", step.what, got, step.alarms)
		}
	}
	l.endTerm() // what it was then is over, or has begun anew, when this member leads again
	out.Reset()
	l.tellAlarms([]action{s.awaited("r and m are masters")}, s.state, began.Add(4*othersTime))
	if got := l.standing(); len(got) > 0 || !strings.Contains(out.String(), "level=INFO") {
		t.Errorf("in the next term %q is an alarm at once: %s", got, out.String())
	}
}

func TestTheEndOfAnAlarmIsLoggedBeforeTheOneThatTakesItsPlace(t *testing.T) {
	var out bytes.Buffer
	l := &loop{Monitor: &Monitor{log: slog.New(slog.NewTextHandler(&out, nil))}, alarms: make(map[string]alarm)}
	s := situation{state: &topology.State{Epoch: 1}}
	l.tellAlarms([]action{s.alarm("first")}, s.state, time.Now())
	out.Reset()
	l.tellAlarms([]action{s.alarm("second")}, s.state, time.Now())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `no longer needed" epoch=1 alarm=first`) || !strings.Contains(lines[1], `operator needed" epoch=1 alarm=second`) {
		t.Errorf("logged %q", lines)
	}
}

func TestOffsetsThatAreReadAgainAndAreTheSameAreLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	l := &loop{Monitor: &Monitor{log: slog.New(slog.NewTextHandler(&out, nil))}, ctx: t.Context(), aliases: make(map[string]string)}
	l.snapshot.State = &topology.State{Epoch: 2, Phase: topology.Fencing, Master: topology.Node{Addr: "m"}}
	l.records = map[string]*record{"r1": {}}
	l.trail = newTrail(time.Second)
	for _, step := range []struct {
		offset int64
		lines  int
	}{{100, 1}, {100, 0}, {100, 0}, {200, 1}, {200, 0}} {
		out.Reset()
		l.haveRead(2, []*answer{{addr: "r1", info: info{Role: roleReplica, Offset: step.offset}, at: time.Now()}}, 0, time.Now())
		if got := strings.Count(out.String(), "offsets read"); got != step.lines {
			t.Errorf("offset %d: %d lines, want %d: %s", step.offset, got, step.lines, &out)
		}
	}
}

func TestAnAlarmAboutRivalsIsASentence(t *testing.T) {
	for _, c := range []struct {
		rivals []string
		want   string
	}{
		{[]string{rivalSentinel}, "a Sentinel looks after the same nodes and does not coordinate with this process; stop it, or run with --failover off to follow it"},
		{[]string{"the Understudy x"}, "the Understudy x looks after the same nodes and does not coordinate with this process; stop all but one, or give"},
		{[]string{rivalSentinel, "the Understudy x", "the Understudy y"},
			"a Sentinel, the Understudy x and the Understudy y look after the same nodes and do not coordinate with this process; stop Sentinel (or run with --failover off to follow it), and"},
	} {
		s := situation{state: &topology.State{}, rivals: c.rivals}
		if got := s.rivalry("nothing is moved").why; !strings.HasPrefix(got, "nothing is moved: "+c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestTheLeaderHasOthersTellOfItsAlarmsAndTakesThemBack(t *testing.T) {
	lone := testcluster.NewRedis(t)
	p := &parliament{}
	a, b := p.enter("a"), p.enter("b")
	a.attend(t, lone.Addr)
	b.attend(t, lone.Addr)
	raised := func(s *seat, what string, want func(last string) bool) {
		t.Helper()
		testcluster.WaitFor(t, what, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(s.raised) > 0 && want(s.raised[len(s.raised)-1])
		})
	}
	nothing := func(last string) bool { return last == "" }
	nobody := func(last string) bool {
		return strings.Contains(last, lone.Addr+" is down") && strings.Contains(last, "there is no replica")
	}
	raised(a, "what an earlier leader has raised to be taken back", nothing)
	must(t, lone.Kill())
	raised(a, "the alarm to be raised", nobody)
	p.mu.Lock()
	p.leave(a)
	p.mu.Unlock()
	raised(b, "the next leader to raise it", nobody)
	must(t, lone.Restart(t.Context()))
	raised(b, "the alarm to be taken back", nothing)
}

func TestAnAlarmStandsWhileARequestIsAnswered(t *testing.T) {
	r := testcluster.NewRedis(t)
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "a"})
	must(t, err)
	var out bytes.Buffer
	m, err := New(testConfig(r.Addr), coord, slog.New(slog.NewTextHandler(&out, nil)))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	alarmed := func() bool { return len(m.Status().Alarms) == 1 }
	testcluster.WaitFor(t, "the node to be found", func() bool { return coord.Snapshot().State != nil })
	must(t, r.Kill())
	testcluster.WaitFor(t, "the alarm that nobody takes over", alarmed)
	_, err = coord.Submit(ctx, topology.Request{Kind: topology.Resume, By: "a test"})
	must(t, err)
	testcluster.WaitFor(t, "the answer", func() bool { return coord.Requests()[0].Answer != "" })
	answered := time.Now()
	testcluster.WaitFor(t, "the alarm after that", func() bool { return m.Status().At.After(answered) && alarmed() })
	cancel()
	must(t, <-ended)
	must(t, coord.Close())
	if told := out.String(); strings.Count(told, `msg="operator needed"`) != 1 || strings.Contains(told, "no longer needed") {
		t.Errorf("an alarm that stands was told as one that ends and comes again:\n%s", told)
	}
}
