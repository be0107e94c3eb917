package topology

import (
	"slices"
	"time"
)

// Format is the version of State's encoding. It is greater where an older build would
// do harm with a State; see durableFormat. Fields that are only added do not make it grow: an older build reads past them, and drops
// them if it comes to lead and writes. (Paused is one of those: a build before it would act, which is what it always did.
// Outage is another: a build before it sends to a master that is held down, as it always did. Electors is another: while a member of a build before them is present, there are none.)
const Format = 1

// durableFormat is that of an encoded State with Durable. A build before it that came to lead would drop Durable, and promote a
// replica that lacks writes which others have answered as durable. So it refuses such a State, and neither writes nor leads: all members
// are brought to a version that knows write-acks before one of them uses it. In memory every State has Format.
const durableFormat = 2

// Phase says how far a change of master has come.
type Phase string

const (
	// Stable: there is a master and writes flow to it under grants of this epoch.
	Stable Phase = "stable"
	// Fencing: a change of master was decided; every member stops writing to the old one and acknowledges.
	Fencing Phase = "fencing"
	// Promoting: all members are fenced, a candidate is recorded and is being made master.
	Promoting Phase = "promoting"
)

// Node is one redis-server: the address members reach it by and the run it is in.
type Node struct {
	Addr  string `json:"addr"`             // host:port as configured or announced
	RunID string `json:"run_id,omitempty"` // INFO server's run_id; changes with every restart; "" while unknown

	// ReplID is the replication id under which the master of this State writes (INFO's master_replid). It tells a
	// replica that still has the master's data from one that was wiped by a restarted, empty master.
	ReplID string `json:"repl_id,omitempty"`
	// Announced is the address by which the other nodes reach this one, where it is not Addr (NAT, host names).
	Announced string `json:"announced,omitempty"`

	// Run is the number of the run RunID, 1 to MaxRun; 0 while it has none. See NumberRuns.
	Run uint32 `json:"run,omitempty"`
}

// Health says whether a replica may serve reads, and if not, why.
type Health string

const (
	Online   Health = "online"   // in sync and fresh enough: serves reads
	Loading  Health = "loading"  // loading its dataset
	Syncing  Health = "syncing"  // full synchronisation with its master under way
	Unlinked Health = "unlinked" // its link to the master of this State is down, or it follows another node
	Lagging  Health = "lagging"  // further behind the master than the configured bound
)

// Replica is a node that follows the master, with what the leader knows of it.
type Replica struct {
	Node
	Health     Health `json:"health"`
	Priority   int    `json:"priority"`              // replica-priority; 0: never promoted
	NoFailover bool   `json:"no_failover,omitempty"` // configured: never promoted
}

// Failover describes a change of master that is under way. It is present exactly while Phase is not Stable.
type Failover struct {
	Cause      string   `json:"cause"`                // one sentence for logs and events
	MasterDown bool     `json:"master_down"`          // the old master is held dead: reset its connections at once; otherwise drain them
	Planned    bool     `json:"planned,omitempty"`    // a switchover that somebody asked for
	Candidates []string `json:"candidates,omitempty"` // addresses that may be chosen, recorded with the fence
	Choice     string   `json:"choice,omitempty"`     // the address being promoted, recorded before the first command to it

	// Position is how much of the master's history the choice had when it was chosen, as an offset in it. It must not have
	// less when it is promoted. 0: not known.
	Position int64 `json:"position,omitempty"`

	// Fallen are choices that failed before they were master, with what they had of the master's history when they were
	// chosen. They need not be asked again whether they had more: nobody has written since.
	Fallen []Fallen `json:"fallen,omitempty"`

	// Of a switchover:
	Request string        `json:"request,omitempty"` // the Request that it meets
	Target  string        `json:"target,omitempty"`  // the address that is to become master
	Timeout time.Duration `json:"timeout,omitempty"` // it is given up this long after its fence, in ns; 0: as the leader is configured
	// FenceTime is how long all members have to acknowledge the fence, in ns, before it is given up; 0: as long as there is.
	FenceTime time.Duration `json:"fence_time,omitempty"`
	Aborted   string        `json:"aborted,omitempty"` // why it was given up: the old master is made sure of again

	// Forced: somebody has asked for it although durable writes may be lost.
	Forced bool `json:"forced,omitempty"`
}

// Fallen is a node that was chosen as master and failed, and up to where it had the history of the master before.
type Fallen struct {
	Holder
	Position int64 `json:"position"`
}

// History is a history of replication, and the offset up to which it is a part of that of State's master.
type History struct {
	ReplID string `json:"repl_id"`
	Until  int64  `json:"until"`
}

// Rehearsal says that a switchover is about to take place, if every member shows that it knows this State.
type Rehearsal struct {
	Request string `json:"request"` // the Request that asks for it
	Target  string `json:"target"`  // the address that is to become master
}

// Outage says that the master is held down while nobody takes its place.
type Outage struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// State is what all members agree on. It is a value: it is replaced as a whole and never edited in place, so a
// pointer to one may be shared freely. Epoch grows with every change of master; changes of replicas or of their
// health replace the State within one epoch.
type State struct {
	Format      int       `json:"format"`
	Cluster     string    `json:"cluster"`
	Epoch       uint64    `json:"epoch"`
	Phase       Phase     `json:"phase"`
	Master      Node      `json:"master"`      // in fencing and promoting: the one being deposed
	Replicas    []Replica `json:"replicas"`    // reachable followers, sorted by address
	Unavailable []Node    `json:"unavailable"` // known nodes that are down or not yet made replicas, sorted by address
	Failover    *Failover `json:"failover,omitempty"`
	Paused      *Paused   `json:"paused,omitempty"`  // nil: the leader acts
	Outage      *Outage   `json:"outage,omitempty"`  // nil: the master answers, or its place is being taken; only in a stable State
	Outcome     *Outcome  `json:"outcome,omitempty"` // of the last request that this State or an earlier one met
	Recent      []Change  `json:"recent,omitempty"`  // the latest unplanned changes of master, oldest first

	// Past is the histories that the master's continues, newest first: a replica that has not found this master yet has
	// its data as far as it has come in one of them. Empty: not known, or the master never took over from another.
	Past []History `json:"past,omitempty"`

	// Rehearsal is that of the switchover that is asked for, in a stable State; nil: none. A version before it begins without.
	Rehearsal *Rehearsal `json:"rehearsal,omitempty"`

	// Runs is the number that a run of a node was given last; 0 before the first.
	Runs uint32 `json:"runs,omitempty"`

	// Electors are the only members that may lead from this State to the next, sorted by id, at most MaxElectors. Where
	// there are none, any member may, and no member writes without ZooKeeper.
	Electors []Elector `json:"electors,omitempty"`

	// Durable is what durable writes rest on; nil where none are answered.
	Durable *Durable `json:"durable,omitempty"`
}

// Clone returns a deep copy, from which the next State is made.
func (s *State) Clone() *State {
	c := *s
	c.Replicas = slices.Clone(s.Replicas)
	c.Unavailable = slices.Clone(s.Unavailable)
	c.Recent = slices.Clone(s.Recent)
	c.Past = slices.Clone(s.Past)
	c.Electors = slices.Clone(s.Electors)
	c.Durable = s.Durable.Clone()
	if s.Failover != nil {
		f := *s.Failover
		f.Candidates = slices.Clone(f.Candidates)
		f.Fallen = slices.Clone(f.Fallen)
		c.Failover = &f
	}
	if s.Paused != nil {
		p := *s.Paused
		c.Paused = &p
	}
	if s.Outage != nil {
		o := *s.Outage
		c.Outage = &o
	}
	if s.Rehearsal != nil {
		r := *s.Rehearsal
		c.Rehearsal = &r
	}
	if s.Outcome != nil {
		o := *s.Outcome
		c.Outcome = &o
	}
	return &c
}

// Replica returns the replica with that address.
func (s *State) Replica(addr string) (Replica, bool) {
	for _, r := range s.Replicas {
		if r.Addr == addr {
			return r, true
		}
	}
	return Replica{}, false
}
