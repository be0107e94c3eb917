package monitor

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// world is a simulated cluster: nodes that do what they are told at once, members that see what the script says.
type world struct {
	now       time.Time
	began     time.Time // since when the present phase
	leader    string
	state     *topology.State
	members   []topology.Member
	nodes     map[string]node
	downFor   map[string]map[string]string // node -> member -> reason
	since     map[string]time.Time         // node -> since when it is down
	peak      int64
	reading   *reading
	tried     map[step]attempt
	failing   map[step]int
	announced map[string]string
	unheard   map[string]bool // what the node told is of before it was lost sight of
	unborn    bool
	unlooked  bool
	alarms    map[string]bool
	rivals    []string
	appointed string
	rules     rules
	requests  []topology.Request
	changing  time.Time // since when the failover under way is
	classic   bool      // the servers have no FAILOVER

	silent    map[string]bool // members that take in no new State
	rehearsal rehearsal

	durableFrom time.Time // since when members count by the holders in the State; zero: some do not yet
}

// emptyWorld is one without nodes, at the beginning of 2026.
func emptyWorld() *world {
	w := &world{
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), leader: "a",
		nodes: make(map[string]node), downFor: make(map[string]map[string]string), since: make(map[string]time.Time),
		tried: make(map[step]attempt), failing: make(map[step]int), announced: make(map[string]string),
		silent: make(map[string]bool), alarms: make(map[string]bool), unheard: make(map[string]bool), peak: 1000,
		rules: rules{
			strategy: Majority, requiredMonitors: 1, noFailover: make(map[string]bool), configured: make(map[string]bool), downAfter: time.Second,
			probeInterval: 100 * time.Millisecond, maxLagBytes: 500, maxLagTime: 10 * time.Second,
			maxLinkDown: 10 * time.Second, fenceTimeout: 5 * time.Second, retryInterval: time.Second,
			switchoverTime: 5 * time.Second,
		},
	}
	w.began = w.now
	w.state = &topology.State{Format: topology.Format, Cluster: "test", Epoch: 1, Phase: topology.Stable}
	return w
}

// populate enters a master and its replicas, all alive and in sync at offset 1000, and the members.
func (w *world) populate(master string, replicas, members []string) {
	w.state.Master = topology.Node{Addr: master, RunID: master + "-run1", ReplID: "H1"}
	w.nodes[master] = node{info: info{RunID: master + "-run1", Role: roleMaster, ReplID: "H1", Offset: 1000, Priority: 100}}
	for _, r := range replicas {
		w.state.Replicas = append(w.state.Replicas, topology.Replica{
			Node: topology.Node{Addr: r, RunID: r + "-run1"}, Health: topology.Online, Priority: 100, NoFailover: w.rules.noFailover[r],
		})
		w.nodes[r] = node{info: info{RunID: r + "-run1", Role: roleReplica, Master: master, LinkUp: true,
			ReplID: "H1", Offset: 1000, Priority: 100}}
	}
	w.state.NumberRuns(nil)
	for _, id := range members {
		w.members = append(w.members, topology.Member{ID: id})
	}
}

// situation is what the leader knows.
func (w *world) situation() situation {
	rehearsed := w.rehearse()
	s := situation{
		self:  w.leader,
		began: w.changing, requests: w.requests,
		now: w.now, state: w.state, phaseSince: w.began, listed: w.now, nodes: make(map[string]node),
		aliases: map[string]string{}, announced: w.announced, peak: w.peak, reading: w.reading, durableFrom: w.durableFrom, rehearsal: rehearsed, tried: w.tried, lookedAgain: !w.unlooked, rivals: w.rivals, appointed: w.appointed, rules: w.rules,
	}
	for addr, n := range w.nodes {
		n.heard, n.errs = w.now, n.denied != ""
		if w.unheard[addr] || n.errs {
			n.heard = time.Time{}
		}
		_, n.down = w.downFor[addr][w.leader]
		n.lives = !n.down && !w.unborn
		if m := w.nodes[w.state.Master.Addr]; n.Role == roleReplica && n.LinkUp && n.ReplID == m.ReplID && n.Offset >= m.Offset {
			n.reached = w.now
		}
		s.nodes[addr] = n
	}
	for _, m := range w.members {
		m.View = nil
		for addr := range w.nodes {
			reason, down := w.downFor[addr][m.ID]
			m.View = append(m.View, topology.NodeView{Addr: addr, Down: down, Reason: reason, Since: w.since[addr]})
		}
		s.members = append(s.members, m)
	}
	s.disputed = w.since[w.state.Master.Addr]
	return s
}

// rehearse is what the leader has seen of a rehearsal. Members that are not silent show at once that they know the State.
func (w *world) rehearse() rehearsal {
	w.rehearsal.follow(topology.Snapshot{State: w.state, Version: 1}, w.now)
	for i, m := range w.members {
		if w.members[i].Version = 1; w.silent[m.ID] {
			w.members[i].Version = 0
		}
	}
	w.rehearsal.judge(w.members, w.now.Add(1), w.now)
	return w.rehearsal
}

// settle does what decide asks for until it asks for nothing new.
func (w *world) settle() string {
	var out strings.Builder
	for range 30 {
		asked := false
		alarms := make(map[string]bool)
		for _, a := range decide(w.situation()) {
			if a.deed == deedAlarm {
				alarms[a.why] = true
				if w.alarms[a.why] {
					continue
				}
			} else {
				asked = true
			}
			fmt.Fprintf(&out, "%s: %s%s\n", w.leader, a, w.carryOut(a))
		}
		w.alarms = alarms
		if !asked {
			if out.Len() == 0 {
				return "nothing to do\n"
			}
			return out.String()
		}
	}
	return out.String() + "IT DOES NOT SETTLE\n"
}
