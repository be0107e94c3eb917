package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestTheTimeInWhichThisProcessDidNotRunIsKnown(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for name, c := range map[string]struct {
		turns        []int // when it ran, ms
		began, ended int
		lost         int
	}{
		"it ran all the time":                   {turns: []int{100, 200, 300, 400}, began: 50, ended: 400},
		"a turn that comes late is no stop":     {turns: []int{100, 250, 400}, began: 50, ended: 400},
		"one stop":                              {turns: []int{100, 600, 700}, began: 50, ended: 700, lost: 400},
		"several":                               {turns: []int{100, 600, 1100, 1200}, began: 50, ended: 1200, lost: 800},
		"one that has not ended in a turn":      {turns: []int{100}, began: 50, ended: 600, lost: 400},
		"the stop was over before":              {turns: []int{100, 600, 700, 800}, began: 600, ended: 800},
		"it began before":                       {turns: []int{100, 600, 700, 800}, began: 500, ended: 800, lost: 100},
		"it goes on after":                      {turns: []int{100, 600, 700, 800}, began: 50, ended: 300, lost: 100},
		"one that is forgotten, for later ones": {turns: []int{100, 600, 20000, 20100}, began: 50, ended: 20100, lost: 19300},
	} {
		s := newStops(ms(100), 10*time.Second, at(0))
		for _, turn := range c.turns {
			s.mark(at(turn))
		}
		if got := s.within(at(c.began), at(c.ended)); got != ms(c.lost) {
			t.Errorf("%s: %v, want %v", name, got, ms(c.lost))
		}
	}
	if (*stops)(nil).spoiled(at(0), at(1000)) {
		t.Error("nobody knows of a stop")
	}
}

// A process that is stopped again and again, each time for less than what discards everything: on a machine that has too much
// to do it may be given the processor for no more than a moment, in which no answer is read.
func TestTimeInWhichThisProcessDidNotRunDoesNotSpeakAgainstANode(t *testing.T) {
	for _, c := range []struct {
		sign     sign
		patience time.Duration
	}{{signTimeout, time.Second}, {signSilence, 6 * time.Second}} {
		s := newStops(100*time.Millisecond, time.Minute, at(0))
		v := vitality{patience: patience{maxFailures: 3, downAfter: time.Second, stallAfter: 6 * time.Second}, stops: s}
		v.observe(observation{sign: c.sign, began: at(1), at: at(450)})
		ran, now := time.Duration(0), 0
		for ; ran < c.patience-100*time.Millisecond; ran += 100 * time.Millisecond {
			now += 450 // of which it ran for 100
			s.mark(at(now))
			if v.judge(at(now)); v.down {
				t.Fatalf("down after %d ms, of which this process ran for %v: %s", now, ran, v.reason)
			}
		}
		for range 2 {
			now += 100
			s.mark(at(now))
			v.judge(at(now))
		}
		if !v.down {
			t.Errorf("not down although this process ran for %v", c.patience)
		}
	}
}

// The loop of the monitor stands still in the rhythm of the stops, and what the node answers meanwhile is not read.
func TestAStopOfThisProcessIsNoFaultOfTheNode(t *testing.T) {
	for _, c := range []struct {
		stop  time.Duration
		times int
		state string // what the goroutines that watch see of the node
	}{
		{450 * time.Millisecond, 10, "dark"}, {450 * time.Millisecond, 10, "mute"}, {450 * time.Millisecond, 10, "cut"},
		{250 * time.Millisecond, 20, "dark"}, {499 * time.Millisecond, 5, "dark"}, {time.Second, 5, "dark"},
		{8 * time.Second, 1, "dark"}, {8 * time.Second, 1, "mute"}, {8 * time.Second, 3, "cut"},
	} {
		t.Run(fmt.Sprintf("%d times %v, %s", c.times, c.stop, c.state), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, coord *stallable) {
				f.set(func(f *fakeNode) { f.mute, f.dark = c.state != "dark", c.state != "mute" })
				if c.state == "cut" {
					f.cut()
				}
				down := func() {
					if n := only(t, m); n.Down {
						t.Fatalf("down: %s", n.Reason)
					}
				}
				for range c.times {
					coord.stall.Store(int64(c.stop))
					for coord.stall.Load() != 0 { // until the loop stands still
						time.Sleep(time.Millisecond)
					}
					time.Sleep(c.stop)
					down()
				}
				f.set(func(f *fakeNode) { f.mute, f.dark = false, false })
				for range 100 {
					time.Sleep(100 * time.Millisecond)
					down()
				}
			})
		})
	}
}

// What was held of a node before a stop may have been true then.
func TestNobodyIsReplacedByWhatWasHeldBeforeAStop(t *testing.T) {
	y := newSystem(1, simSound)
	y.runUntil(250 * time.Millisecond) // in which nothing happens yet
	m := y.members[0]
	l, now := m.mind.loop, m.clock()
	master := l.snapshot.State.Master.Addr
	r := l.records[master]
	refuse := func(began time.Time) {
		r.vitality.observe(observation{sign: signRefusal, began: began, at: began, reason: "connection refused"})
		l.judge(began)
	}
	held := func() bool {
		s := l.situation(now)
		return combine(s.members, s.self, Majority, 1)[master].down
	}
	views := []topology.NodeView{{Addr: master, Down: true, Reason: "connection refused"}}
	l.haveListed([]topology.Member{{ID: m.id}, {ID: "other", View: views}, {ID: "another"}}, now)
	for range 3 {
		refuse(now)
	}
	if !held() {
		t.Fatal("the master is not down to begin with")
	}
	now = now.Add(time.Minute)
	l.noticeGap(now)
	if len(l.members) > 0 {
		t.Error("what the others held before the stop counts")
	}
	l.haveListed([]topology.Member{{ID: m.id, View: views}}, now)
	if held() {
		t.Error("what this member held before the stop counts")
	}
	refuse(now.Add(-time.Second)) // it was under way
	if held() {
		t.Error("an attempt of before the stop counts")
	}
	if refuse(now.Add(time.Millisecond)); !held() {
		t.Error("the master has been tried again, and is not down")
	}
}

// A process that begins to look anew at a node that is back waits for what it tells. That it once had no place for us is no answer.
func TestTheErrorThatANodeAnsweredWithBeforeItOrThisProcessWasGoneIsForgotten(t *testing.T) {
	for gone, away := range map[string]func(l *loop, r *record, now time.Time){
		"the node": func(l *loop, r *record, now time.Time) {
			for range 3 {
				l.take(report{from: r.watcher, observation: observation{sign: signRefusal, began: now, at: now, reason: "connection refused"}})
			}
			l.judge(now)
		},
		"this process": func(l *loop, _ *record, now time.Time) { l.noticeGap(now.Add(time.Minute)) },
	} {
		y := newSystem(1, simSound)
		y.runUntil(250 * time.Millisecond) // in which nothing happens yet
		m := y.members[0]
		l, now := m.mind.loop, m.clock()
		replica := l.snapshot.State.Replicas[0].Addr
		r := l.records[replica]
		l.take(report{from: r.watcher, observation: observation{sign: signLife, began: now, at: now}, err: errors.New("ERR max number of clients reached")})
		s := l.situation(now)
		if !s.nodes[replica].errs {
			t.Fatal("the node does not answer with an error to begin with")
		}
		away(l, r, now)
		now = now.Add(2 * time.Minute)
		l.take(report{from: r.watcher, observation: observation{sign: signLife, began: now, at: now}})
		l.judge(now)
		if s = l.situation(now); s.nodes[replica].down || s.nodes[replica].errs || !s.unheard() {
			t.Errorf("when %s is back, it is not waited for what %s tells: %+v", gone, replica, s.nodes[replica])
		}
	}
}

// held is a coordinator that has the loop wait, once, when it asks for the State, as a process waits that is not given a processor.
type held struct {
	*topology.Local
	once        sync.Once
	asked, goOn chan struct{}
}

func (h *held) Leading() bool { return false } // so that only what is under test asks for the State

func (h *held) Snapshot() topology.Snapshot {
	h.once.Do(func() {
		close(h.asked)
		<-h.goOn
	})
	return h.Local.Snapshot()
}

// Others may write until a lease after the fence was written, and that is waited for from the moment it was learned of.
func TestAFenceIsNotLearnedOfBeforeItIsWritten(t *testing.T) {
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "a"})
	must(t, err)
	state := &topology.State{Format: topology.Format, Cluster: "test", Epoch: 1, Phase: topology.Stable, Master: topology.Node{Addr: "127.0.0.1:1"}}
	must(t, coord.Update(t.Context(), 0, state))
	h := &held{Local: coord, asked: make(chan struct{}), goOn: make(chan struct{})}
	m, err := New(testConfig(state.Master.Addr), h, quiet())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	l := newLoop(ctx, m)
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx) })
	<-h.asked
	fence := state.Clone()
	fence.Epoch, fence.Phase, fence.Failover = 2, topology.Fencing, &topology.Failover{Cause: "a test"}
	must(t, coord.Update(t.Context(), 1, fence))
	written := time.Now()
	close(h.goOn)
	cancel()
	running.Wait()
	l.close()
	must(t, coord.Close())
	switch {
	case l.snapshot.State.Phase != topology.Fencing:
		t.Fatalf("the loop has not seen the fence: %+v", l.snapshot)
	case l.phaseSince.Before(written):
		t.Errorf("the fence is taken for %v older than it is", written.Sub(l.phaseSince))
	}
}
