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
	switch _, has := s.holds(n); {
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
		rank := " is behind it "
		if c.position >= best.position { // it has as much, and something else decides
			rank = " ranks after it "
		}
		others = append(others, c.addr+rank+s.standing(c))
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

// untold says in one sentence that nobody knows what is given up by choosing best, "" if that is known: it is the master
// itself, which was restarted, and it does not tell how much of its history it has kept. (It knows only when it has
// loaded an RDB file, and is of Redis 7.0 or later; an append-only file does not hold that.)
func (s *situation) untold(best candidate, nodes map[string]node) string {
	n := nodes[best.addr]
	if _, has := s.holds(n); !best.incumbent || !best.restarted || has || n.Role != roleMaster {
		return ""
	}
	text := "master " + best.addr + " was restarted and does not tell how much of its data it has kept on disk"
	if s.peak > 0 {
		text += fmt.Sprintf("; it had come to offset %d", s.peak)
	}
	if more := s.richer(best, nodes, ""); len(more) > 0 {
		text += "; given up is what others had: " + strings.Join(more, ", ")
	}
	return text
}

// forfeit says in one sentence which data is given up by choosing best, "" if no more is known to exist anywhere.
func (s *situation) forfeit(best candidate, nodes map[string]node) string {
	has := max(best.position, 0)
	var more []string
	told := ""
	if s.peak > has {
		told = s.state.Master.Addr
		more = append(more, fmt.Sprintf("master %s was at offset %d", told, s.peak))
	}
	if more = append(more, s.richer(best, nodes, told)...); len(more) == 0 {
		return ""
	}
	head := fmt.Sprintf("%s has the master's history only up to offset %d", best.addr, has)
	if has == 0 {
		head = best.addr + " has nothing of the master's history"
	}
	return head + "; given up is what others had: " + strings.Join(more, ", ")
}

// richer lists the nodes that have more of the master's history than best, or have come further in another: except for
// told, of which more than that is told.
func (s *situation) richer(best candidate, nodes map[string]node, told string) (more []string) {
	for _, addr := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[addr]
		_, known := s.state.Node(addr)
		if addr == best.addr || !known || n.heard.IsZero() || n.down || s.verdicts[addr].down {
			continue
		}
		switch position, same := s.holds(n); {
		case same && position > max(best.position, 0):
			more = append(more, fmt.Sprintf("%s has that history up to offset %d", addr, position))
		case !same && addr != told && n.Offset > nodes[best.addr].Offset:
			more = append(more, fmt.Sprintf("%s is at offset %d of another history", addr, n.Offset))
		}
	}
	return more
}
