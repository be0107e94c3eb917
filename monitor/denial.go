package monitor

import (
	"fmt"
	"slices"
)

// lockedOut reports whether no node that answers lets this member ask what it is. Then it is not the nodes: what State
// says of them stands.
func (s *situation) lockedOut() bool {
	answering := 0
	for _, known := range nodesOf(s.state) {
		n := s.nodes[known.Addr]
		switch {
		case n.down || s.verdicts[known.Addr].down || s.spelled(known.Addr) != known.Addr:
		case n.denied == "":
			return false
		default:
			answering++
		}
	}
	return answering > 0
}

// denials are the alarms about nodes that live and answer nothing but errors. What such a node is, whether it follows
// the master, and how far behind it is, is not known.
func (s *situation) denials() []action {
	if s.lockedOut() {
		n := s.nodes[s.state.Master.Addr]
		a := s.alarm(fmt.Sprintf("no node tells this process what it is (master %s: %s): give it a user (username, password) that may use "+
			"INFO there, or give the nodes that user; until then nothing is known of any of them", s.state.Master.Addr, n.denied))
		a.subject = subjectLockedOut
		return []action{a}
	}
	var actions []action
	nodes := nodesOf(s.state)
	slices.SortFunc(nodes, compareNodes)
	for _, known := range nodes {
		n := s.nodes[known.Addr]
		if n.denied == "" || n.down || s.verdicts[known.Addr].down {
			continue
		}
		what := "it serves no reads and cannot take over"
		if known.Addr == s.state.Master.Addr {
			what = "its writes go on, and what it is cannot be seen"
		}
		a := s.alarm(fmt.Sprintf("%s answers only with an error (%s), so %s: give it the users and passwords of the other nodes", known.Addr, n.denied, what))
		a.subject = subjectDenied + known.Addr
		actions = append(actions, a)
	}
	return actions
}
