package monitor

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestAChangeOfReplicasIsToldInWords(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		want   string
	}{
		"down":     {func(w *world) { w.downFor["r1"] = map[string]string{"a": "connection refused"} }, "r1 is down: connection refused (seen by 1 of 1)"},
		"a master": {func(w *world) { w.alter("r1", func(n *node) { n.Role = roleMaster }) }, "r1 is a master, and no replica of m"},
		"syncing":  {func(w *world) { w.alter("r1", func(n *node) { n.Syncing = true }) }, "r1 is synchronising with the master and serves no reads"},
		"unlinked": {func(w *world) { w.alter("r1", func(n *node) { n.LinkUp = false }) }, "r1 has lost its link to the master and serves no reads"},
		"another master": {func(w *world) { w.alter("r1", func(n *node) { n.Master = "r2" }) },
			"r1 follows r2 and serves no reads"},
		"lagging":  {func(w *world) { w.alter("r1", func(n *node) { n.lagBytes = 900 }) }, "r1 is behind the master by 900 bytes and 0s, and serves no reads"},
		"priority": {func(w *world) { w.alter("r1", func(n *node) { n.Priority = 7 }) }, "r1 has replica-priority 7"},
		"back": {func(w *world) {
			w.state.Unavailable = []topology.Node{w.state.Replicas[0].Node}
			w.state.Replicas = w.state.Replicas[1:]
		}, "r1 has become a replica and is in sync and serves reads"},
	} {
		t.Run(name, func(t *testing.T) {
			w := emptyWorld()
			w.populate("m", []string{"r1", "r2"}, []string{"a"})
			c.change(w)
			actions := decide(w.situation())
			if len(actions) == 0 || actions[0].deed != deedWrite || actions[0].why != c.want {
				t.Errorf("%+v, want the write of a State because %q", actions, c.want)
			}
		})
	}
}

// watched is a loop that has found a master m and a replica r, neither of which it can ask.
func watched(out *bytes.Buffer) *loop {
	l := &loop{
		Monitor: &Monitor{log: slog.New(slog.NewTextHandler(out, nil)), cfg: Config{Nodes: []string{"m", "r"}}}, records: make(map[string]*record),
		busy: map[string]bool{"publish": true}, // nobody to publish to
	}
	l.snapshot.State = &topology.State{Phase: topology.Stable, Master: topology.Node{Addr: "m"},
		Replicas: []topology.Replica{{Node: topology.Node{Addr: "r"}, Health: topology.Online}}}
	for _, addr := range l.cfg.Nodes {
		l.records[addr] = &record{watcher: &watcher{addr: addr}, vitality: vitality{patience: patience{maxFailures: 1, downAfter: time.Second, stallAfter: time.Second}}}
	}
	return l
}

func TestALostWatchConnectionIsToldOfUnlessWeHaveCutItOrItNeverWas(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		lost error
		cut  time.Time
		told bool
	}{
		"lost":            {errors.New("connection reset"), time.Time{}, true},
		"lost long after": {errors.New("connection reset"), now.Add(-time.Minute), true},
		"cut by us":       {errors.New("connection reset"), now.Add(-time.Millisecond), false},
		"never up":        {nil, time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := watched(&out)
			l.records["m"].cutAt = c.cut
			l.take(report{from: l.records["m"].watcher, observation: observation{sign: signLost, began: now, at: now}, lost: c.lost})
			if told := strings.Contains(out.String(), "watch connection lost"); told != c.told {
				t.Errorf("logged %q", out.String())
			}
		})
	}
}

func TestTheLossOfTheMasterAndOfTheLastReplicaAreWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		addr  string
		third bool // there is another replica
		level string
	}{
		"the master":                     {"m", true, "WARN"},
		"the last replica":               {"r", false, "WARN"},
		"a replica while there is other": {"r", true, "INFO"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := watched(&out)
			l.ctx = t.Context()
			if c.third {
				l.records["r2"] = &record{watcher: &watcher{addr: "r2"}}
				l.snapshot.State.Replicas = append(l.snapshot.State.Replicas, topology.Replica{Node: topology.Node{Addr: "r2"}})
			}
			now := time.Now()
			l.take(report{from: l.records[c.addr].watcher, observation: observation{sign: signRefusal, began: now, at: now, reason: "connection refused"}})
			l.judge(now)
			if want := "level=" + c.level + ` msg="node is down" node=` + c.addr; !strings.Contains(out.String(), want) {
				t.Errorf("logged %q, want %q", out.String(), want)
			}
		})
	}
}
