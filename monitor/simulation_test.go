package monitor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// TestRandomSchedulesKeepTheInvariants throws thousands of random histories at decide: nodes that die, come back empty
// or with their data, hang, are wiped or promoted by a stranger's hand; members that are slow to acknowledge; commands
// that fail; leaders that are replaced in the middle; switchovers, pauses and their ends that are asked for. After every step:
//
//   - what is written is a valid State, and epochs and phases only go the way they may;
//   - nobody is promoted before every member has acknowledged the fence or its lease has ended;
//   - who is promoted has the largest offset of those that could have been;
//   - decide comes to rest.
//
// And once everything works again, there is a stable State whose master lives and is followed by all others.
func TestRandomSchedulesKeepTheInvariants(t *testing.T) {
	schedules := 1500
	if testing.Short() {
		schedules = 300
	}
	for seed := range schedules {
		s := &simulation{rng: rand.New(rand.NewPCG(uint64(seed), 7))}
		if broken := s.run(); broken != "" {
			t.Fatalf("seed %d: %s\n%s", seed, broken, strings.Join(s.log, "\n"))
		}
	}
}

type simulation struct {
	*world
	rng     *rand.Rand
	log     []string
	process int               // number of the next process
	runs    map[uint32]string // what the numbers of runs have meant
}

func (s *simulation) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *simulation) run() string {
	s.world = emptyWorld()
	replicas := []string{"r1", "r2", "r3"}[:s.rng.IntN(4)]
	members := []string{"a", "b", "c"}[:1+s.rng.IntN(3)]
	s.populate("m", replicas, members)
	s.process, s.runs = 2, map[uint32]string{}
	for range 40 {
		s.disturb()
		if broken := s.steps(); broken != "" {
			return broken
		}
	}
	return s.recover()
}

// addrs returns the nodes in a fixed order.
func (s *simulation) addrs() []string {
	var addrs []string
	for addr := range s.nodes {
		addrs = append(addrs, addr)
	}
	slices.Sort(addrs)
	return addrs
}

// disturb does one random thing to the world.
func (s *simulation) disturb() {
	addrs := s.addrs()
	addr := addrs[s.rng.IntN(len(addrs))]
	n := s.nodes[addr]
	member := &s.members[s.rng.IntN(len(s.members))]
	switch s.rng.IntN(14) {
	case 0, 1:
		s.note("%s dies", addr)
		s.since[addr], s.downFor[addr] = s.now, make(map[string]string)
		for _, m := range s.members {
			s.downFor[addr][m.ID] = "connection refused"
		}
	case 2:
		s.note("%s answers again", addr)
		delete(s.downFor, addr)
	case 3:
		s.note("%s restarts empty", addr)
		delete(s.downFor, addr)
		s.process++
		n.info = info{RunID: fmt.Sprint(addr, "-run", s.process), Role: roleMaster, ReplID: fmt.Sprint(addr, "-X", s.process), Priority: 100}
		s.nodes[addr] = n
	case 4:
		s.note("%s restarts with its data", addr)
		delete(s.downFor, addr)
		s.process++
		if n.Role == roleMaster {
			n.ReplID2, n.SecondAt, n.ReplID = n.ReplID, n.Offset+1, fmt.Sprint(addr, "-X", s.process)
		} else {
			n.LinkUp, n.LinkDown = false, never
		}
		n.RunID = fmt.Sprint(addr, "-run", s.process)
		s.nodes[addr] = n
	case 5:
		n.Loading = !n.Loading
		s.nodes[addr] = n
		s.note("%s loading %v", addr, n.Loading)
	case 6, 7:
		member.Fenced = s.state.Epoch
		s.note("%s has fenced %d", member.ID, member.Fenced)
	case 8:
		d := time.Duration(s.rng.IntN(3000)) * time.Millisecond
		s.now = s.now.Add(d)
		s.note("%v pass", d)
	case 9:
		kind := []deed{deedPromote, deedDemote, deedReplicate, deedSwap, deedAbort}[s.rng.IntN(5)]
		s.failing[step{kind, addr}] = 1 + s.rng.IntN(4)
		s.note("%s of %s will fail %d times", kind, addr, s.failing[step{kind, addr}])
	case 10:
		s.leader, s.reading, s.peak, s.began = member.ID, nil, 0, s.now
		clear(s.tried)
		s.note("%s leads", s.leader)
	case 12, 13:
		r := topology.Request{ID: fmt.Sprintf("%03d", len(s.requests)+1), By: "ops", At: s.now,
			Kind: []topology.RequestKind{topology.Switchover, topology.Switchover, topology.Switchover, topology.Abort, topology.Pause, topology.Resume}[s.rng.IntN(6)]}
		if r.Kind == topology.Switchover && s.rng.IntN(2) == 0 {
			r.Target, r.Force = addr, s.rng.IntN(2) == 0
		}
		s.requests = append(slices.Clone(s.requests), r)
		s.note("asked: %s %s %s force=%v", r.ID, r.Kind, r.Target, r.Force)
	case 11:
		// The master writes and its replicas follow, each as far as it comes.
		if m := s.nodes[s.state.Master.Addr]; m.Role == roleMaster && s.downFor[s.state.Master.Addr] == nil {
			m.Offset += 100
			s.peak = max(s.peak, m.Offset)
			s.nodes[s.state.Master.Addr] = m
			for _, a := range addrs {
				if r := s.nodes[a]; r.Role == roleReplica && r.LinkUp && r.ReplID == m.ReplID && s.downFor[a] == nil {
					r.Offset += int64(s.rng.IntN(int(m.Offset-r.Offset) + 1))
					s.nodes[a] = r
				}
			}
		}
	}
}

// steps lets decide act until it rests, or for a random number of rounds, and checks each action.
func (s *simulation) steps() string {
	rounds := 60
	if s.rng.IntN(3) == 0 {
		rounds = s.rng.IntN(4) // something else happens in between
	}
	for range rounds {
		asked := false
		for _, a := range decide(s.situation()) {
			if a.deed == deedAlarm {
				continue
			}
			asked = true
			if broken := s.check(a); broken != "" {
				return a.String() + ": " + broken
			}
			s.note("  %s: %s%s", s.leader, a, s.carryOut(a))
		}
		if !asked {
			return ""
		}
	}
	if rounds == 60 {
		return "decide does not come to rest"
	}
	return ""
}

// check returns what is wrong with an action in the present world.
func (s *simulation) check(a action) string {
	switch a.deed {
	case deedWrite:
		return s.checkWrite(a.next)
	case deedPromote:
		if s.state.Phase != topology.Promoting || s.state.Failover.Choice != a.addr {
			return "promotion of a node that is not the recorded choice"
		}
	case deedDemote:
		if s.state.Phase != topology.Promoting || a.addr == s.state.Failover.Choice {
			return "demotion of the choice, or outside of a failover"
		}
	case deedSwap:
		f := s.state.Failover
		if s.state.Phase != topology.Promoting || !f.Planned || f.Aborted != "" || a.addr != s.state.Master.Addr || a.from != f.Target {
			return "a swap outside of a switchover, or of other nodes"
		}
	case deedAbort:
		if f := s.state.Failover; s.state.Phase != topology.Fencing || f.Aborted == "" || a.addr != s.state.Master.Addr {
			return "an abort outside of a switchover that was given up"
		}
	case deedAnswer:
		if i := slices.IndexFunc(s.requests, func(r topology.Request) bool { return r.ID == a.request && r.Answer == "" }); i < 0 {
			return "an answer to a request that is not open"
		}
	case deedReplicate:
		if s.state.Paused != nil {
			return "a node is moved while paused"
		}
		if s.state.Phase != topology.Stable || a.addr == s.state.Master.Addr || a.from != s.state.Master.Addr {
			return "a node is sent elsewhere than to State's master"
		}
		if s.nodes[a.from].Role != roleMaster {
			return "a node is sent to a master that is none"
		}
	}
	return ""
}

func (s *simulation) checkWrite(next *topology.State) string {
	was := s.state
	if err := next.Validate(); err != nil {
		return err.Error()
	}
	if len(nodesOf(next)) != len(nodesOf(was)) {
		return "a node was lost or made up"
	}
	for _, n := range nodesOf(next) {
		if run, used := s.runs[n.Run]; n.RunID != "" && (n.Run == 0 || used && run != n.RunID) {
			return fmt.Sprintf("the run %s of %s has the number %d, which was that of run %q", n.RunID, n.Addr, n.Run, run)
		}
		s.runs[n.Run] = n.RunID
	}
	type way struct{ from, to topology.Phase }
	grown := next.Epoch - was.Epoch
	switch (way{was.Phase, next.Phase}) {
	case way{topology.Stable, topology.Stable}:
		m := s.nodes[was.Master.Addr]
		restarted := was.Paused != nil && grown == 1 && m.Role == roleMaster && m.RunID != was.Master.RunID && m.ReplID2 == was.Master.ReplID
		if grown != 0 && !restarted || next.Master.Addr != was.Master.Addr {
			return "another master or epoch without a failover"
		}
	case way{topology.Fencing, topology.Stable}:
		if !was.Failover.Planned || grown != 1 || next.Master.Addr != was.Master.Addr {
			return "only a switchover may be given up before anything was done, under a new epoch"
		}
	case way{topology.Fencing, topology.Fencing}:
		if forced := next.Failover.Forced && !was.Failover.Forced; forced && grown == 0 && next.Master == was.Master {
			return ""
		}
		if !was.Failover.Planned || next.Failover.Planned || grown != 1 || next.Master.Addr != was.Master.Addr {
			return "only a switchover becomes another failover"
		}
	case way{topology.Stable, topology.Fencing}, way{topology.Promoting, topology.Fencing}:
		if was.Paused != nil && was.Phase == topology.Stable && !next.Failover.Planned && !next.Failover.Forced {
			return "a failover that nobody asked for while paused"
		}
		if grown != 1 || next.Master.Addr != was.Master.Addr {
			return "a fence needs a new epoch and deposes the present master"
		}
	case way{topology.Fencing, topology.Promoting}:
		if grown != 0 {
			return "a promotion belongs to the epoch of its fence"
		}
		return s.checkChoice(next.Failover.Choice)
	case way{topology.Promoting, topology.Stable}:
		if grown != 0 || next.Master.Addr != was.Failover.Choice || s.nodes[next.Master.Addr].Role != roleMaster {
			return "the new master is not the choice, or none"
		}
	default:
		return fmt.Sprintf("from %s to %s", was.Phase, next.Phase)
	}
	return ""
}

// checkChoice compares a choice with the world as the reading found it, in a naive way of its own.
func (s *simulation) checkChoice(choice string) string {
	for _, m := range s.members {
		if m.Fenced < s.state.Epoch && s.now.Sub(s.began) < s.rules.fenceTimeout {
			return m.ID + " has not acknowledged"
		}
	}
	if f := s.state.Failover; f.Planned {
		m := s.nodes[s.state.Master.Addr]
		switch {
		case f.Aborted == "" && choice != f.Target:
			return "a switchover to another node than the target"
		case f.Aborted == "", choice == s.state.Master.Addr && m.Role == roleMaster && m.RunID == s.state.Master.RunID:
			return "" // whether it has everything is up to the swap; the other one has all that there is
		}
	}
	has := func(addr string) int64 {
		n, read := s.reading.nodes[addr]
		switch {
		case !read:
			return -1
		case n.ReplID == s.state.Master.ReplID:
			return n.Offset
		case n.ReplID2 == s.state.Master.ReplID:
			return min(n.Offset, n.SecondAt-1)
		}
		for _, h := range s.state.Past {
			if n.ReplID == h.ReplID {
				return min(n.Offset, h.Until)
			} else if n.ReplID2 == h.ReplID {
				return min(n.Offset, n.SecondAt-1, h.Until)
			}
		}
		return -1
	}
	for _, r := range s.state.Replicas {
		n := s.reading.nodes[r.Addr]
		sound := !n.Loading && n.RunID == r.RunID && s.downFor[r.Addr] == nil && s.peak-has(r.Addr) <= s.rules.maxLagBytes &&
			(n.LinkUp || s.peak > 0) && has(r.Addr) > 0
		if sound && has(r.Addr) > has(choice) && s.failing[step{deedPromote, r.Addr}] == 0 && s.tried[step{deedPromote, r.Addr}].failures == 0 {
			return fmt.Sprintf("%s has %d and %s has %d", r.Addr, has(r.Addr), choice, has(choice))
		}
	}
	return ""
}

// recover ends all faults and waits for a sound cluster.
func (s *simulation) recover() string {
	s.note("all faults end")
	clear(s.downFor)
	clear(s.failing)
	for _, addr := range s.addrs() {
		n := s.nodes[addr]
		n.Loading = false
		s.nodes[addr] = n
	}
	s.requests = append(slices.Clone(s.requests), topology.Request{ID: fmt.Sprintf("%03d", len(s.requests)+1), Kind: topology.Resume, By: "ops", At: s.now})
	for range 20 {
		for i := range s.members {
			s.members[i].Fenced = s.state.Epoch
		}
		s.now = s.now.Add(2 * time.Second)
		// Links come up by themselves.
		for _, addr := range s.addrs() {
			n := s.nodes[addr]
			if m := s.nodes[n.Master]; n.Role == roleReplica && m.Role == roleMaster {
				n.LinkUp, n.ReplID, n.Offset = true, m.ReplID, m.Offset
				s.nodes[addr] = n
			}
		}
		if broken := s.steps(); broken != "" {
			return broken
		}
	}
	for _, r := range s.requests {
		if r.Answer == "" {
			return fmt.Sprintf("request %s (%s) has no answer in the end", r.ID, r.Kind)
		}
	}
	if s.state.Phase != topology.Stable || s.nodes[s.state.Master.Addr].Role != roleMaster || len(s.state.Unavailable) > 0 {
		return "no sound cluster in the end: " + describe(s.state)
	}
	if s.state.Outage != nil {
		return "the master lives and counts as down in the end: " + describe(s.state)
	}
	for _, r := range s.state.Replicas {
		if n := s.nodes[r.Addr]; r.Health != topology.Online || n.Role != roleReplica || n.Master != s.state.Master.Addr {
			return "a replica is not in sync in the end: " + describe(s.state)
		}
	}
	return ""
}
