package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// electorPatience is how long an elector may be gone before it is one no more: one that is started again, or has lost its
// session with the others when ZooKeeper came back, may lead at once.
const electorPatience = 5 * time.Second

// electors returns who should be the electors now: members that are present, first of all those that are electors
// already, and always this member, which leads. There are none while a member is present that cannot be asked, or that
// could be mistaken for another at the same address: it could not be an elector, so it could never lead, and to have a
// leader is worth more than to write without ZooKeeper.
//
// An elector that has only just gone, of late, stays one, unless its address is another's now or its place is wanted.
func electors(was []topology.Elector, members []topology.Member, self string, late map[string]bool) []topology.Elector {
	var list []topology.Elector
	addrs := make(map[string]bool)
	present := make(map[string]bool)
	for _, m := range members {
		if m.Limit <= 0 || m.Addr == "" || addrs[m.Addr] {
			return nil
		}
		addrs[m.Addr], present[m.ID] = true, true
		list = append(list, topology.Elector{ID: m.ID, Addr: m.Addr, Limit: m.Limit})
	}
	for _, e := range was {
		if late[e.ID] && !present[e.ID] && !addrs[e.Addr] {
			list = append(list, e)
		}
	}
	rank := func(e topology.Elector) int {
		switch {
		case e.ID == self:
			return 0
		case !present[e.ID]:
			return 3
		case slices.ContainsFunc(was, func(w topology.Elector) bool { return w.ID == e.ID }):
			return 1
		}
		return 2
	}
	byID := func(a, b topology.Elector) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(list, func(a, b topology.Elector) int { return cmp.Or(rank(a)-rank(b), byID(a, b)) })
	list = list[:min(len(list), topology.MaxElectors)]
	slices.SortFunc(list, byID)
	return list
}

// elect brings the electors of next up to date. A list of members without this one is older than its joining.
func (s *situation) elect(next *topology.State) {
	if slices.ContainsFunc(s.members, func(m topology.Member) bool { return m.ID == s.self }) {
		late := make(map[string]bool)
		for id, since := range s.absent {
			late[id] = s.now.Sub(since) < electorPatience
		}
		next.Electors = electors(next.Electors, s.members, s.self, late)
	}
}

// unaskable says in one sentence which member keeps all from writing without ZooKeeper, and what to do; "" if none does.
func unaskable(members []topology.Member) string {
	const consequence = ": until then nobody writes while ZooKeeper is away"
	at := make(map[string]string)
	for _, m := range members {
		who := "member " + m.ID
		if m.Process != "" {
			who += " (" + m.Process + ")"
		}
		switch other := at[m.Addr]; {
		case m.Limit <= 0 || m.Addr == "":
			return who + " has no address at which the others reach it, or is of a version without promises: start it with --advertise HOST:PORT" + consequence
		case other != "":
			return fmt.Sprintf("%s has the same address as member %s, %s: start each with an address of its own (--advertise)%s", who, other, m.Addr, consequence)
		}
		at[m.Addr] = m.ID
	}
	return ""
}

// withoutFailsafe is the alarm that there are no electors because of a member; nothing if there is none, or no ZooKeeper.
func (s *situation) withoutFailsafe() []action {
	if !s.rules.promises {
		return nil
	}
	why := unaskable(s.members)
	if why == "" {
		return nil
	}
	a := s.alarm(why)
	a.subject = subjectUnaskable
	return []action{a}
}

// absentees returns since when each elector has been gone, by what was known before and a list of members of now.
func absentees(known map[string]time.Time, electors []topology.Elector, members []topology.Member, now time.Time) map[string]time.Time {
	absent := make(map[string]time.Time)
	for _, e := range electors {
		if slices.ContainsFunc(members, func(m topology.Member) bool { return m.ID == e.ID }) {
			continue
		}
		if absent[e.ID] = now; !known[e.ID].IsZero() {
			absent[e.ID] = known[e.ID]
		}
	}
	return absent
}

// elected says in words who became, and who ceased to be, an elector; nothing if nobody did.
func (s *situation) elected(next *topology.State) (told []string) {
	for _, e := range next.Electors {
		switch was, before := s.state.Elector(e.ID); {
		case !before:
			told = append(told, "member "+e.ID+" may lead")
		case was != e:
			told = append(told, "member "+e.ID+" is asked for promises at "+e.Addr)
		}
	}
	for _, e := range s.state.Electors {
		if _, still := next.Elector(e.ID); !still {
			told = append(told, "member "+e.ID+" may lead no more")
		}
	}
	if len(s.state.Electors) > 0 && len(next.Electors) == 0 {
		return []string{"any member may lead, and none writes without ZooKeeper, because not all members have an address at which they can be asked"}
	}
	return told
}
