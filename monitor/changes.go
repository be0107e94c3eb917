package monitor

import (
	"fmt"
	"strings"

	"github.com/understudy/understudy/topology"
)

// changes says in one sentence which node, and which member, becomes what in next, and why.
func (s *situation) changes(next *topology.State) string {
	var told []string
	for _, r := range next.Replicas {
		was, before := s.state.Replica(r.Addr)
		switch {
		case !before:
			told = append(told, r.Addr+" has become a replica and "+s.condition(r))
		case was.Health != r.Health:
			told = append(told, r.Addr+" "+s.condition(r))
		case was.Priority != r.Priority:
			told = append(told, fmt.Sprintf("%s has replica-priority %d", r.Addr, r.Priority))
		case was.RunID != r.RunID:
			told = append(told, r.Addr+" is in sync after a restart")
		case was != r:
			told = append(told, "what is known of "+r.Addr+" has changed")
		}
	}
	for _, n := range next.Unavailable {
		if was, before := s.state.Node(n.Addr); !before || !unavailable(s.state, n.Addr) {
			told = append(told, n.Addr+" "+s.absence(n.Addr))
		} else if was != n {
			told = append(told, "what is known of "+n.Addr+" has changed")
		}
	}
	for _, n := range nodesOf(s.state) {
		if _, still := next.Node(n.Addr); !still {
			told = append(told, n.Addr+" is forgotten: "+s.oblivion(n.Addr))
		}
	}
	if next.Master != s.state.Master {
		told = append(told, "the process and the history of master "+next.Master.Addr+" are recorded")
	}
	if text := s.outage(next); text != "" {
		told = append(told, text)
	}
	told = append(told, s.held(next)...)
	told = append(told, s.elected(next)...)
	if len(told) == 0 {
		return "the list of replicas is put in order"
	}
	return strings.Join(told, "; ")
}

// condition says in words whether a replica serves reads, and if not, why.
func (s *situation) condition(r topology.Replica) string {
	n := s.nodes[r.Addr]
	switch r.Health {
	case topology.Online:
		return "is in sync and serves reads"
	case topology.Loading:
		return "is loading its data and serves no reads"
	case topology.Syncing:
		return "is synchronising with the master and serves no reads"
	case topology.Lagging:
		return fmt.Sprintf("is behind the master by %d bytes and %v, and serves no reads", n.lagBytes, n.lagTime)
	case topology.Unlinked:
		if n.Role == roleReplica && !s.follows(n, s.state.Master.Addr) {
			return "follows " + n.Master + " and serves no reads"
		}
		return "has lost its link to the master and serves no reads"
	}
	return "is " + string(r.Health)
}

// absence says in words why a node is unavailable.
func (s *situation) absence(addr string) string {
	n := s.nodes[addr]
	switch v := s.verdicts[addr]; {
	case v.down:
		return fmt.Sprintf("is down: %s (seen by %d of %d)", v.reason, v.votes, v.of)
	case n.denied != "":
		return "answers only with an error (" + n.denied + "), so nothing is known of it"
	case n.heard.IsZero():
		return "does not answer"
	case n.Role == roleMaster:
		return "is a master, and no replica of " + s.state.Master.Addr
	}
	return "does not follow " + s.state.Master.Addr
}

// oblivion says in words why a node is in the State no more.
func (s *situation) oblivion(addr string) string {
	if to := s.spelled(addr); to != addr {
		return "it is another address of " + to
	}
	return fmt.Sprintf("it has been down for longer than %v and is not configured", s.rules.forgetAfter)
}

func unavailable(s *topology.State, addr string) bool {
	for _, n := range s.Unavailable {
		if n.Addr == addr {
			return true
		}
	}
	return false
}

// serving is how many replicas are in sync.
func serving(s *topology.State) int {
	count := 0
	for _, r := range s.Replicas {
		if r.Health == topology.Online {
			count++
		}
	}
	return count
}
