package monitor

import (
	"cmp"
	"fmt"

	"github.com/understudy/understudy/topology"
)

// mapsApart is the alarm that a member has another node-map than this one, which leads; nothing if none has. State names nodes by
// the address at which the leader reaches them, so whoever leads next would take one of them for another node. A map may hold more
// than this cluster has: only what it says of the nodes of State counts.
func (s *situation) mapsApart() []action {
	why := mapApart(s.state, s.members, s.self)
	if why == "" {
		return nil
	}
	a := s.alarm(why)
	a.subject = subjectMaps
	return []action{a}
}

// mapApart says in one sentence which member has another map than self, about a node of State; "" if none has. One whose map is
// not known, of an older version, may have any.
func mapApart(state *topology.State, members []topology.Member, self string) string {
	var own map[string]string
	for _, m := range members {
		if m.ID == self {
			own = m.NodeMap
		}
	}
	if own == nil {
		return ""
	}
	for _, m := range members {
		if m.NodeMap == nil {
			continue
		}
		for _, n := range nodesOf(state) {
			announced := cmp.Or(n.Announced, n.Addr)
			here, there := cmp.Or(own[announced], announced), cmp.Or(m.NodeMap[announced], announced)
			if here != there {
				return fmt.Sprintf("member %s would reach the node that announces %s at %s, and %s, which leads, reaches it at %s: start all members with the same node-map; "+
					"until then a failover that another of them leads may lose sight of that node", m.ID, announced, there, self, here)
			}
		}
	}
	return ""
}
