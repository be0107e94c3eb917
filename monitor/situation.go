package monitor

import (
	"time"

	"github.com/understudy/understudy/topology"
)

// node is what this member's own connections know of one redis-server.
type node struct {
	info
	heard   time.Time // when info was read; zero: never in this life of the monitor
	latency time.Duration
	denied  string // the error that it answers instead of telling about itself, because this member may not ask; "": none
	errs    bool   // so it is, or it does for another reason: all its places are taken, or it is busy with a script
	lives   bool   // it has answered something since it was last held down, and since this process began
	down    bool   // in this member's own view
	doubted bool   // something speaks against it, not enough yet

	lagBytes     int64         // behind the master, by the last offsets of both
	lagTime      time.Duration // how long ago the master was where this replica is
	reached      time.Time     // it has all that the master had then; zero: not known
	linkLost     time.Time     // when the link was first seen down; zero while it is up
	advancedFrom time.Time     // the older of the last two readings between which the offset grew
	advancedTo   time.Time     // the newer
}

// reading is a deliberate look at the offsets of all nodes that can be reached, made after the fence of its epoch.
type reading struct {
	epoch uint64
	at    time.Time
	nodes map[string]node
}

// step names an action on a node for the memory of what was tried.
type step struct {
	deed deed
	addr string
}

// attempt is how the last try of a step ended.
type attempt struct {
	epoch    uint64
	at       time.Time
	failed   bool
	why      string // it failed, in one sentence
	caughtUp bool   // of a swap: the target has all that the master has, and the roles are still to be exchanged
	failures int    // in a row, in this epoch
}

// rules are the settings that deciding needs; the fields are those of Config.
type rules struct {
	follow           bool
	strategy         Strategy
	requiredMonitors int
	noFailover       map[string]bool
	configured       map[string]bool
	forgetAfter      time.Duration
	downAfter        time.Duration
	probeInterval    time.Duration
	maxLagBytes      int64
	maxLagTime       time.Duration
	maxLinkDown      time.Duration
	fenceTimeout     time.Duration
	retryInterval    time.Duration
	switchoverTime   time.Duration
	maxFailovers     int
	failoverPeriod   time.Duration
	failbackDelay    time.Duration
	writeAcks        int
	promises         bool // members ask each other for promises: they agree through ZooKeeper
}

// situation is everything that decide looks at. It is built anew for each decision and belongs to it.
type situation struct {
	now        time.Time
	state      *topology.State
	phaseSince time.Time // since when this member knows state's epoch and phase
	began      time.Time // since when the failover that is under way is
	self       string    // this member, which leads
	members    []topology.Member
	absent     map[string]time.Time // electors that are no members now, and since when, as far as this member knows
	requests   []topology.Request   // by id, answered ones too
	listed     time.Time            // when members was asked for
	nodes      map[string]node      // by address as in State
	aliases    map[string]string    // further addresses of nodes, each with the one that State uses
	announced  map[string]string    // by address as in State, the one by which other nodes reach it, where it differs
	peak       int64                // the most that State's master is known to have written in its present history; 0: unknown
	reading    *reading             // the last one, nil if none
	rehearsal  rehearsal            // of the switchover that is asked for
	tried      map[step]attempt
	// lookedAgain says that the master was looked at again since a resume was asked for.
	lookedAgain bool
	disputed    time.Time // since when some members hold the master down, and too few; zero: it is not so
	rivals      []string  // who else looks after the nodes without agreeing with us; see company
	// durableFrom is since when every member counts by state's Durable, and by no earlier one; zero: not known.
	durableFrom time.Time
	appointed   string   // the master that Sentinels tell of; "": none do
	guests      []string // who looks after them besides, and holds back because of us
	rules       rules

	verdicts map[string]verdict // of members; filled in by decide
}

// heard reports whether addr answers, and gives what it said.
func (s *situation) heard(addr string) (node, bool) {
	n, ok := s.nodes[addr]
	return n, ok && !n.heard.IsZero() && !n.down && !s.verdicts[addr].down
}

// spelled returns addr as State spells it.
func (s *situation) spelled(addr string) string {
	if known, ok := s.aliases[addr]; ok {
		return known
	}
	return addr
}

// follows reports whether n is a replica of the node at master: by the address it was given, or, where that address
// is not known to be the master's, by an intact link and the same history.
func (s *situation) follows(n node, master string) bool {
	if n.Role != roleReplica {
		return false
	}
	if to := s.spelled(n.Master); to == master || n.Master == s.hostOf(master) {
		return true
	} else if _, other := s.nodes[to]; other {
		return false // another node of ours
	}
	m, ok := s.heard(master)
	return ok && m.Role == roleMaster && n.LinkUp && n.ReplID != "" && n.ReplID == m.ReplID
}

// hostOf returns the address by which other nodes reach addr.
func (s *situation) hostOf(addr string) string {
	if a := s.announced[addr]; a != "" {
		return a
	}
	if n, ok := s.state.Node(addr); ok && n.Announced != "" {
		return n.Announced
	}
	return addr
}

// restarted reports whether the node runs in another process than State says.
func restarted(known topology.Node, n info) bool {
	return known.RunID != "" && n.RunID != "" && known.RunID != n.RunID
}

// mayTry reports whether an action on a node may be begun: not so soon after the last attempt that the node may not
// have been asked since.
func (s *situation) mayTry(d deed, addr string) bool {
	a, ok := s.tried[step{d, addr}]
	pause := s.rules.retryInterval
	if d == deedReplicate && a.failures > 1 {
		pause <<= min(a.failures-1, 4) // nobody waits for it, and what it refuses is not likely to change by the second
	}
	return !ok || a.epoch != s.state.Epoch || s.now.Sub(a.at) >= pause
}

// done reports whether the action on the node was carried out in this epoch.
func (s *situation) done(d deed, addr string) bool {
	a, ok := s.tried[step{d, addr}]
	return ok && a.epoch == s.state.Epoch && !a.failed
}
