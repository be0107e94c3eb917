package monitor

import (
	"fmt"
	"slices"

	"github.com/understudy/understudy/topology"
)

// forget takes a node out of the State, unless it would be found again at once: then it says what to do first. Whatever
// answers at its address later is a stranger, and is sent no command.
func (s *situation) forget(r topology.Request) []action {
	addr := s.named(r.Target)
	if why, known := s.unforgettable(addr); why != "" {
		return []action{s.answer(r, topology.Refused, why)}
	} else if !known {
		return nil // this process has only begun to look
	}
	next := s.state.Clone()
	next.Replicas = slices.DeleteFunc(next.Replicas, func(n topology.Replica) bool { return n.Addr == addr })
	next.Unavailable = slices.DeleteFunc(next.Unavailable, func(n topology.Node) bool { return n.Addr == addr })
	text := addr + " is forgotten: whatever answers there from now on is sent no command"
	if s.rules.configured[addr] {
		text += fmt.Sprintf("; it is one of the nodes that %s is configured with: take it out there, too", s.self)
	}
	next.Outcome = &topology.Outcome{Request: r.ID, Answer: topology.Done, Text: text}
	return []action{s.write(next, addr+" is forgotten, as asked for by "+r.By)}
}

// unforgettable says why a node cannot be forgotten, "" if it can. known is false while too little is known of the node to tell.
func (s *situation) unforgettable(addr string) (why string, known bool) {
	n, answers := s.heard(addr)
	node, _ := s.state.Node(addr)
	switch v := s.verdicts[addr]; {
	case addr == s.state.Master.Addr:
		return addr + " is the master: make another node the master first", true
	case !inState(s.state, addr):
		return addr + " is not a node of this cluster", true
	case v.down:
		return "", true
	case answers && s.follows(n, s.state.Master.Addr):
		return addr + " replicates from the master and would be found again at once: shut it down first", true
	case answers && node.RunID != "" && s.state.Paused == nil && !s.rules.follow: // see gather
		return addr + " answers, and is about to be made a replica again: shut it down first, or pause and detach it (REPLICAOF NO ONE)", true
	case n.down:
		return addr + " answers other members: shut it down first", true
	}
	return "", answers || n.denied != ""
}
