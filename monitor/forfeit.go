package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/understudy/understudy/topology"
)

// outsider says why a known node that is in no list of candidates cannot become master: it is unavailable, and nothing
// that it says of itself tells whether its data is that of this cluster.
func (s *situation) outsider(known topology.Node, n node) string {
	switch _, has := s.position(n); {
	case s.verdicts[known.Addr].down || n.down:
		return "is down"
	case s.nodes[known.Addr].denied != "":
		return "answers only with an error (" + s.nodes[known.Addr].denied + ")"
	case n.heard.IsZero():
		return "did not answer"
	case known.RunID == "":
		return "answers, but was never seen to belong to this cluster"
	case n.Loading:
		return "is loading its data"
	case !has:
		return "answers, but has another history than the master (replication id " + shortID(n.ReplID) + ")"
	}
	return "answers, but was not known to be in sync when the master failed"
}

// preference says in one sentence why the first of fit is chosen, and names every node that is passed over, and why.
func (s *situation) preference(fit []candidate, unfit []string) string {
	best := fit[0]
	why := best.addr + " is chosen " + s.standing(best)
	var others []string
	for _, c := range fit[1:] {
		others = append(others, c.addr+" is behind it "+s.standing(c))
	}
	if others = append(others, unfit...); len(others) > 0 {
		why += "; passed over: " + strings.Join(others, "; ")
	}
	return why
}

// standing tells how much of the master's history a candidate has, in that history's offsets: what the node itself
// calls its offset may belong to another one.
func (s *situation) standing(c candidate) string {
	text := fmt.Sprintf("at offset %d in the history of master %s", c.position, s.state.Master.Addr)
	switch {
	case c.class == classMaster:
		text = fmt.Sprintf("as the master itself, at offset %d", c.position)
	case c.class == classLast && c.position <= 0:
		text = "with nothing of the history of master " + s.state.Master.Addr
	}
	return fmt.Sprintf("%s (priority %d)", text, c.priority)
}

// forfeit says in one sentence which data is given up by choosing best, "" if no more is known to exist anywhere.
func (s *situation) forfeit(best candidate, nodes map[string]node) string {
	has := max(best.position, 0)
	var more []string
	if s.peak > has {
		more = append(more, fmt.Sprintf("master %s was at offset %d", s.state.Master.Addr, s.peak))
	}
	for _, addr := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[addr]
		_, known := s.state.Node(addr)
		if addr == best.addr || !known || n.heard.IsZero() || n.down || s.verdicts[addr].down {
			continue
		}
		switch position, same := s.position(n); {
		case same && position > has:
			more = append(more, fmt.Sprintf("%s has that history up to offset %d", addr, position))
		case addr == s.state.Master.Addr && len(more) > 0:
			// what it had has been told
		case !same && n.Offset > nodes[best.addr].Offset:
			more = append(more, fmt.Sprintf("%s is at offset %d of another history", addr, n.Offset))
		}
	}
	if len(more) == 0 {
		return ""
	}
	head := fmt.Sprintf("%s has the master's history only up to offset %d", best.addr, has)
	switch {
	case best.incumbent && best.restarted && has == 0:
		head = "the master came back empty, or with no more than it had kept on disk"
	case has == 0:
		head = best.addr + " has nothing of the master's history"
	}
	return head + "; given up is what others had: " + strings.Join(more, ", ")
}
