package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// class orders those that could become master by how sure it is that nothing is lost.
type class int

const (
	classMaster  class = iota // State's master itself, alive in the same run and a master: nothing is lost at all
	classHistory              // it has the master's history up to a known offset
	classLast                 // it is what there is: all of the history is lost, or somebody else has made it master
)

// candidate is a node that could become master.
type candidate struct {
	addr      string
	class     class
	position  int64 // how much of the master's history it has
	restarted bool  // it is another process than the one State knows
	strange   int64 // how far it came in a history that has nothing to do with the master's; 0 otherwise
	master    bool  // it is a master already
	incumbent bool  // it is State's master
	returned  bool  // it was given up as master a short while ago
	priority  int
	latency   time.Duration
}

// better orders candidates, best first. Offset comes before priority: a priority must not cost writes. Of equal ones a
// process that was never interrupted comes first, then one that has not just failed as master, then one that need not be
// promoted any more.
func better(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(a.class, b.class),
		cmp.Compare(b.position, a.position),
		compareBool(a.restarted, b.restarted),
		compareBool(a.returned, b.returned),
		compareBool(b.master, a.master),
		compareBool(b.incumbent, a.incumbent),
		cmp.Compare(b.strange, a.strange),
		cmp.Compare(a.priority, b.priority),
		cmp.Compare(a.latency, b.latency),
		strings.Compare(a.addr, b.addr),
	)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// candidates returns those of nodes that may become master, best first, and of every other node of State why not.
func (s *situation) candidates(nodes map[string]node) (fit []candidate, unfit []string) {
	consider := func(addr string, judge func(node) (candidate, string)) {
		n, ok := nodes[addr]
		var why string
		var c candidate
		switch {
		case s.verdicts[addr].down || n.down:
			why = "is down"
		case s.nodes[addr].denied != "":
			why = "answers only with an error (" + s.nodes[addr].denied + ")"
		case !ok || n.heard.IsZero():
			why = "did not answer"
		case n.Loading:
			why = "is loading its data"
		default:
			c, why = judge(n)
		}
		if why != "" {
			unfit = append(unfit, addr+" "+why)
			return
		}
		c.addr, c.priority, c.latency, c.master = addr, n.Priority, n.latency, n.Role == roleMaster
		_, c.returned = s.givenUp(addr)
		fit = append(fit, c)
	}
	consider(s.state.Master.Addr, s.judgeMaster)
	for _, r := range s.state.Replicas {
		consider(r.Addr, func(n node) (candidate, string) { return s.judgeReplica(r, n, nodes) })
	}
	if len(fit) == 0 {
		f := s.state.Failover
		fit = s.lastResort(nodes, f != nil && f.Forced)
	}
	for _, known := range s.state.Unavailable {
		chosen := slices.ContainsFunc(fit, func(c candidate) bool { return c.addr == known.Addr })
		if !chosen && s.spelled(known.Addr) == known.Addr {
			unfit = append(unfit, known.Addr+" "+s.outsider(known, nodes[known.Addr]))
		}
	}
	slices.SortFunc(fit, better)
	return fit, unfit
}

// lastResort returns the candidates when none is fit and nothing is left to wait for: every node of this cluster
// answers and has loaded what it has, so the best of them is the best there is. With force nothing is waited for: the
// best of those that answer is.
func (s *situation) lastResort(nodes map[string]node, force bool) []candidate {
	var all []candidate
	for _, known := range nodesOf(s.state) {
		if known.Addr != s.state.Master.Addr && known.RunID == "" {
			continue // configured, but never seen to belong here
		}
		n, ok := nodes[known.Addr]
		if !ok || n.heard.IsZero() || n.down || s.verdicts[known.Addr].down || n.Loading {
			if force {
				continue
			}
			return nil
		}
		c := candidate{addr: known.Addr, class: classLast, position: -1, restarted: restarted(known, n.info),
			master: n.Role == roleMaster, incumbent: known.Addr == s.state.Master.Addr, priority: n.Priority, latency: n.latency}
		if position, has := s.holds(n); has {
			c.position = position
		} else {
			c.strange = n.Offset
		}
		if !c.incumbent && (s.rules.noFailover[known.Addr] || n.Priority == 0) {
			continue
		}
		all = append(all, c)
	}
	return all
}

// judgeMaster says whether State's master may go on, or become it again.
func (s *situation) judgeMaster(n node) (candidate, string) {
	c := candidate{incumbent: true, restarted: restarted(s.state.Master, n.info)}
	position, has := s.holds(n)
	switch {
	case !c.restarted && n.Role == roleMaster && (!has || position >= s.peak):
		c.class, c.position = classMaster, n.Offset
	case has && (position > 0 || s.peak == 0):
		c.class, c.position = classHistory, position
	case n.Role == roleMaster:
		c.class = classLast
	default:
		return c, "is a replica and has lost the history of this cluster"
	}
	return c, ""
}

// judgeReplica says whether a replica may be promoted.
func (s *situation) judgeReplica(r topology.Replica, n node, nodes map[string]node) (candidate, string) {
	c := candidate{class: classHistory, restarted: restarted(r.Node, n.info)}
	a := s.tried[step{deedPromote, r.Addr}]
	position, has := s.holds(n)
	c.position = position
	switch {
	case s.rules.noFailover[r.Addr] || r.NoFailover:
		return c, "is configured never to be promoted"
	case n.Priority == 0 && n.Role != roleMaster:
		return c, "has replica-priority 0"
	case a.failures >= promoteAttempts && a.epoch == s.state.Epoch-1 && s.now.Sub(a.at) < promoteRest:
		return c, "could not be promoted"
	}
	if !has && s.adopted(r.Addr, n) {
		c.class = classLast
		return c, ""
	}
	switch {
	case !has:
		return c, "does not have the master's data (replication id " + shortID(n.ReplID) + ")"
	case position < 0, position == 0 && (s.peak > 0 || s.state.Master.ReplID == ""):
		return c, "has no data yet"
	case n.Syncing && s.peak == 0:
		return c, "is in a full synchronisation"
	case s.peak-position > s.rules.maxLagBytes:
		return c, fmt.Sprintf("is %d bytes behind", s.peak-position)
	case s.peak == 0 && c.restarted && n.Role == roleReplica:
		return c, "was restarted, and how much it misses is not known (REPLICAOF NO ONE there decides that it is enough)"
	case s.peak == 0 && s.cutEarly(r, n, nodes):
		return c, "had lost its link long before the master failed"
	}
	return c, ""
}

// cutEarly reports whether a replica lost its link so long before the master failed that it may miss much. It is asked
// where nobody knows how far the master came, as after a restart of this process while the master was dead. Then what
// State says of the replica counts, and how long the other replicas are cut: all of them since the same time is how
// the death of their master looks.
func (s *situation) cutEarly(r topology.Replica, n node, nodes map[string]node) bool {
	if n.Role != roleReplica || n.LinkUp {
		return false
	}
	least := n.LinkDown
	for _, other := range s.state.Replicas {
		o := nodes[other.Addr]
		if _, has := s.holds(o); has && !o.heard.IsZero() && o.Role == roleReplica {
			least = min(least, o.LinkDown)
		}
	}
	return n.LinkDown-least > s.rules.maxLinkDown ||
		r.Health != topology.Online && n.LinkDown > s.troubleFor()+s.rules.maxLinkDown
}

const (
	// promoteAttempts is how often a promotion may fail before another candidate is looked for.
	promoteAttempts = 3
	// promoteRest is how long such a node is passed over then: where there is no other, it is tried again.
	promoteRest = 5 * time.Second
)

// position returns how much of the history of State's master n has, by the name that it has now. A node that left that
// history (it was promoted, or restarted as a master) has it up to where it left, whatever it wrote since.
func (s *situation) position(n node) (offset int64, has bool) {
	switch history := s.state.Master.ReplID; {
	case history == "":
		// Nothing is recorded to compare with. What a restarted master has handed out is the one thing known to be
		// without the old data.
		if m, ok := s.heard(s.state.Master.Addr); ok && restarted(s.state.Master, m.info) && m.ReplID == n.ReplID {
			return 0, false
		}
		return n.Offset, true
	case n.ReplID == history:
		return n.Offset, true
	case n.ReplID2 == history:
		return min(n.Offset, n.SecondAt-1), true
	}
	return 0, false
}

// adopted reports whether somebody else has made State's master a replica of this node, which is a master: they have
// the same data then, whatever their history is.
func (s *situation) adopted(addr string, n node) bool {
	m, ok := s.heard(s.state.Master.Addr)
	return ok && n.Role == roleMaster && m.Role == roleReplica && m.LinkUp && s.spelled(m.Master) == addr && m.ReplID == n.ReplID
}

// troubleFor returns for how long the master has been in trouble.
func (s *situation) troubleFor() time.Duration {
	since := s.phaseSince
	if v := s.verdicts[s.state.Master.Addr]; v.down && v.since.Before(since) {
		since = v.since
	}
	return s.now.Sub(since)
}

// shortID shortens a replication id to what tells it from others.
func shortID(id string) string {
	if id == "" {
		return "unknown"
	}
	return id[:min(8, len(id))]
}
