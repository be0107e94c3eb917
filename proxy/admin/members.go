package admin

import (
	"cmp"
	"slices"

	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

// members is the reply to PROXY MEMBERS: an array of maps, by id.
func (a *Admin) members(proto int, list []topology.Member) []byte {
	state := a.cluster.Snapshot().State
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b topology.Member) int { return cmp.Compare(a.ID, b.ID) })
	reply := resp.AppendArray(nil, len(list))
	for _, m := range list {
		role := "member"
		if m.Leads {
			role = "leader"
		}
		elector := "no"
		if m.Leads && a.cluster.Authority().Source == topology.Endless {
			elector = "yes" // there is nobody to agree with on who may lead
		}
		if state != nil {
			if _, found := state.Elector(m.ID); found {
				elector = "yes"
			}
		}
		var down []string
		for _, n := range m.View {
			if n.Down {
				down = append(down, n.Addr)
			}
		}
		reply = appendFields(reply, proto, []field{
			{"id", m.ID},
			{"role", role},
			{"elector", elector},
			{"addr", m.Addr},
			{"applied", int64(m.Applied)},
			{"fenced", int64(m.Fenced)},
			{"nodes", int64(len(m.View))},
			{"down", down},
		})
	}
	return reply
}
