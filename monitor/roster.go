package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/understudy/understudy/topology"
)

// keep brings the list of replicas up to date and makes every node of State that answers a replica of its master.
func (s *situation) keep() []action {
	// While the master is in doubt its replicas lose their links for that reason, not for one of their own. What is
	// decided about them in that moment would be undone in the next.
	if m := s.nodes[s.state.Master.Addr]; m.doubted || m.down {
		return s.bury()
	}
	actions := slices.Concat(s.denials(), s.withoutFailsafe(), s.mapsApart())
	next := s.roster(s.recognised())
	s.noteOutage(next)
	s.keepHolders(next)
	actions = append(actions, s.tooFew(next)...)
	s.elect(next)
	if next.Rehearsal != nil && !s.rehearsed() {
		next.Rehearsal = nil
	}
	if !next.Equal(s.state) {
		actions = append(actions, s.write(next, s.changes(next)))
	}
	if len(s.rivals) > 0 {
		return append(actions, s.rivalry("no failover will take place and no node is moved"))
	}
	if len(s.guests) > 0 {
		a := s.alarm(conjoin(s.guests) + " looks after the same nodes without ZooKeeper, and promotes nobody as long as it sees this one: " +
			"stop it, or give it the same --zookeeper and --cluster")
		a.subject = subjectGuests
		actions = append(actions, a)
	}
	return append(actions, s.gather()...)
}

// bury takes away nodes that are down, the master among them, keeps the electors up to date, and does nothing else.
func (s *situation) bury() []action {
	next := s.state.Clone()
	next.Replicas = nil
	for _, r := range s.state.Replicas {
		if s.verdicts[r.Addr].down {
			next.Unavailable = append(next.Unavailable, r.Node)
		} else {
			next.Replicas = append(next.Replicas, r)
		}
	}
	sortNodes(next)
	s.noteOutage(next)
	s.elect(next)
	if len(next.Replicas) == len(s.state.Replicas) && s.outage(next) == "" && slices.Equal(next.Electors, s.state.Electors) {
		return nil
	}
	return []action{s.write(next, s.changes(next))}
}

// recognised is State with what its living master says of itself.
func (s *situation) recognised() *topology.State {
	next := s.state.Clone()
	if n, ok := s.heard(next.Master.Addr); ok && n.Role == roleMaster && !restarted(next.Master, n.info) {
		next.Past = s.past(n)
		next.Master.RunID, next.Master.ReplID = n.RunID, n.ReplID
	}
	next.Master.Announced = cmp.Or(s.announced[next.Master.Addr], next.Master.Announced)
	return next
}

// roster sorts all nodes but the master of next into replicas and unavailable ones, by what is known of them now.
func (s *situation) roster(next *topology.State) *topology.State {
	known := make(map[string]topology.Replica)
	for _, n := range next.Unavailable {
		known[n.Addr] = topology.Replica{Node: n}
	}
	listed := make(map[string]bool)
	for _, r := range next.Replicas {
		known[r.Addr], listed[r.Addr] = r, true
	}
	for addr, n := range s.nodes {
		// A node that nobody entered: it belongs here if it follows the master.
		if _, ok := known[addr]; !ok && addr != next.Master.Addr && !n.heard.IsZero() && !n.down && s.follows(n, next.Master.Addr) {
			known[addr] = topology.Replica{Node: topology.Node{Addr: addr}}
		}
	}
	next.Replicas, next.Unavailable = nil, nil
	for _, addr := range slices.Sorted(maps.Keys(known)) {
		if s.spelled(addr) != addr {
			continue // another name of a node that is there already
		}
		if s.gone(addr) {
			continue
		}
		r, serves := s.enlist(next, known[addr], listed[addr])
		if serves {
			next.Replicas = append(next.Replicas, r)
		} else {
			next.Unavailable = append(next.Unavailable, r.Node)
		}
	}
	sortNodes(next)
	next.NumberRuns(s.state)
	return next
}

// gone reports whether a node that nobody configured has been down for so long that it will not come back: one that
// was replaced under another address, as containers are.
func (s *situation) gone(addr string) bool {
	v := s.verdicts[addr]
	return s.rules.forgetAfter > 0 && v.down && !s.rules.configured[addr] && s.now.Sub(v.since) >= s.rules.forgetAfter
}

// enlist brings what State says of one node up to date and tells whether it belongs among the replicas.
func (s *situation) enlist(next *topology.State, r topology.Replica, listed bool) (topology.Replica, bool) {
	n, ok := s.heard(r.Addr)
	r.ReplID = ""
	r.NoFailover = s.rules.noFailover[r.Addr]
	r.Announced = cmp.Or(s.announced[r.Addr], r.Announced)
	switch {
	case s.verdicts[r.Addr].down:
		return r, false
	case !ok && n.denied != "" && !s.lockedOut():
		return r, false
	case !ok:
		return r, listed // nothing is known yet: leave it where it is
	case n.Role == roleMaster:
		return r, false
	case !s.follows(n, next.Master.Addr):
		r.Health = topology.Unlinked
		return r, listed
	}
	r.Priority = n.Priority
	r.Health = s.health(next, r, n, listed)
	// The run is recorded once the node has the master's data: until then, that it is another run than the recorded
	// one is the mark of a replica whose data may be old.
	if r.Health == topology.Online || r.RunID == "" {
		r.RunID = n.RunID
	}
	return r, true
}

// health says whether a replica that follows the master may serve reads.
func (s *situation) health(next *topology.State, r topology.Replica, n node, listed bool) topology.Health {
	switch {
	case n.Loading:
		return topology.Loading
	case n.Syncing:
		return topology.Syncing
	case !n.LinkUp && (n.LinkDown == never || !listed || r.Health == topology.Syncing || r.Health == topology.Loading):
		return topology.Syncing // it has not been in sync yet
	case !n.LinkUp:
		// A link that is down in one look may be the first thing seen of the master's death.
		if r.Health == topology.Online && s.now.Sub(n.linkLost) < s.rules.probeInterval {
			return r.Health
		}
		return topology.Unlinked
	case next.Master.ReplID != "" && n.ReplID != next.Master.ReplID:
		return topology.Syncing
	case s.lags(r, n):
		return topology.Lagging
	}
	return topology.Online
}

// lags reports whether a replica is too far behind. One that was has to come within half the bound to be trusted
// again, so that a replica at the bound does not come and go with every look.
func (s *situation) lags(r topology.Replica, n node) bool {
	bytes, time := s.rules.maxLagBytes, s.rules.maxLagTime
	if r.Health == topology.Lagging {
		bytes, time = bytes/2, time/2
	}
	return n.lagBytes > bytes || n.lagTime > time
}

// gather makes every node of State that answers, and does not follow the master, its replica.
func (s *situation) gather() []action {
	master := s.state.Master.Addr
	if m, ok := s.heard(master); !ok || m.Role != roleMaster {
		return nil // nobody is sent to a master that is not seen to be one
	}
	var actions []action
	consider := func(known topology.Node) {
		n, ok := s.heard(known.Addr)
		switch {
		case !ok || s.spelled(known.Addr) != known.Addr || s.follows(n, master):
		case n.Loading: // it refuses REPLICAOF until it has its data
		case known.RunID == "":
			// It was configured but never seen as a part of this cluster: its data may be somebody's.
			actions = append(actions, s.alarm(fmt.Sprintf("%s does not follow the master and never did: make it a replica of %s (REPLICAOF), or take it out of the nodes and have it forgotten (PROXY FORGET)",
				known.Addr, master)))
		default:
			if a := s.tried[step{deedReplicate, known.Addr}]; a.epoch == s.state.Epoch && a.failures > 1 {
				alarm := s.alarm(fmt.Sprintf("%s cannot be made a replica of %s: %s", known.Addr, master, a.why))
				alarm.subject = subjectStubborn + known.Addr
				actions = append(actions, alarm)
			}
			if !s.mayTry(deedReplicate, known.Addr) {
				return
			}
			actions = append(actions, action{deed: deedReplicate, epoch: s.state.Epoch, addr: known.Addr,
				from: master, host: s.hostOf(master), force: n.Role == roleMaster})
		}
	}
	for _, r := range s.state.Replicas {
		consider(r.Node)
	}
	for _, n := range s.state.Unavailable {
		consider(n)
	}
	return actions
}

func sortNodes(s *topology.State) {
	slices.SortFunc(s.Replicas, func(a, b topology.Replica) int { return compareNodes(a.Node, b.Node) })
	slices.SortFunc(s.Unavailable, compareNodes)
}

func compareNodes(a, b topology.Node) int { return cmp.Compare(a.Addr, b.Addr) }

// loopback reports whether addr is one that means another host on every host.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
