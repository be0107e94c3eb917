package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/understudy/understudy/topology"
)

// keepHolders brings what durable writes rest on up to date in next, whose replicas are. A replica counts while it is
// in sync. One that is not any more is taken off, unless fewer than are needed would remain: then writes wait for it.
func (s *situation) keepHolders(next *topology.State) {
	if s.rules.writeAcks == 0 {
		next.Durable = nil // members that ask for acknowledgements all the same find that nobody's count
		return
	}
	if next.Durable == nil {
		next.Durable = &topology.Durable{Acks: s.rules.writeAcks}
	}
	d := next.Durable
	var inSync []topology.Holder
	for _, r := range next.Replicas {
		if r.Health == topology.Online && r.RunID != "" {
			inSync = append(inSync, topology.Holder{Addr: r.Addr, RunID: r.RunID})
		}
	}
	if s.rules.writeAcks > d.Acks {
		d.FormerAcks = d.Needed() // until all that was answered under fewer is held by more
	}
	d.Acks = s.rules.writeAcks
	if !d.Settled() && s.settled() {
		d.Former, d.FormerAcks = nil, 0
	}
	kept := inSync
	if len(inSync) < d.Acks {
		kept = union(d.Holders, inSync)
	}
	if released := without(d.Holders, kept); len(released) > 0 {
		d.FormerAcks, d.Former = d.Needed(), union(d.Former, released)
	}
	d.Holders, d.Former = kept, without(d.Former, kept)
}

// tooFew is the alarm that no write can be answered, because there are fewer replicas than must have it.
func (s *situation) tooFew(next *topology.State) []action {
	d := next.Durable
	if d == nil || len(next.Replicas) >= d.Acks {
		return nil
	}
	have := fmt.Sprintf("there are %d replicas", len(next.Replicas))
	if len(next.Replicas) == 1 {
		have = "there is 1 replica"
	}
	a := s.alarm(fmt.Sprintf("write-acks is %d, and %s: writes are answered with -UNREPLICATED until there are more, or all members have a lower --write-acks", d.Acks, have))
	a.subject = subjectTooFew
	return []action{a}
}

// settled reports whether everything that was answered under an earlier list is held by as many of the present one as
// are needed. Since durableFrom nobody counts by an earlier list, so whatever was answered by one had reached the
// master by then.
func (s *situation) settled() bool {
	d := s.state.Durable
	m, ok := s.heard(s.state.Master.Addr)
	if d == nil || s.durableFrom.IsZero() || !ok || m.Role != roleMaster {
		return false
	}
	have := 0
	for _, h := range d.Holders {
		n, ok := s.heard(h.Addr)
		if ok && n.RunID == h.RunID && n.LinkUp && n.ReplID == m.ReplID && s.follows(n, s.state.Master.Addr) && !n.reached.Before(s.durableFrom) {
			have++
		}
	}
	return have >= d.Acks
}

// handOver is what durable writes rest on when n is made master: for now on all that they rested on before. Who has
// become master may be the only one that has some of them, until others have caught up with it.
func (s *situation) handOver(next *topology.State, n node) {
	d := next.Durable
	if d == nil || next.Master.Addr == s.state.Master.Addr && !restarted(s.state.Master, n.info) {
		return
	}
	d.FormerAcks, d.Former, d.Holders = d.Needed(), d.All(), nil
}

// missing returns those that may be the only ones to have a durable write, and cannot be asked: they are down, do not
// answer, or have been restarted since, and what they had may be gone.
func (s *situation) missing(nodes map[string]node) (gone []string, positions []int64) {
	for _, h := range s.state.Durable.All() {
		if position, known := s.had(h); known {
			positions = append(positions, position)
			continue
		}
		n, ok := nodes[h.Addr]
		position, has := s.holds(n)
		switch {
		case !ok || n.heard.IsZero() || n.down || s.verdicts[h.Addr].down:
			gone = append(gone, h.Addr+" cannot be asked")
		case n.RunID != h.RunID:
			gone = append(gone, h.Addr+" was restarted")
		case n.Loading || !has:
			gone = append(gone, h.Addr+" does not have the master's data")
		default:
			positions = append(positions, position)
		}
	}
	return gone, positions
}

// had returns what a holder had of all that was answered as durable, where that is recorded and it need not be asked. One
// that became State's master counts for what was answered before that; and one that was chosen and died before it was
// master, for what was answered before the fence.
func (s *situation) had(h topology.Holder) (position int64, known bool) {
	if f := s.state.Failover; f != nil {
		for _, fallen := range f.Fallen {
			if fallen.Holder == h {
				return fallen.Position, true
			}
		}
	}
	m := s.state.Master
	former := h.Addr == m.Addr && h.RunID == m.RunID && !slices.Contains(s.state.Durable.Holders, h)
	return inherited(s.state), former && inherited(s.state) > 0
}

// risk says in one sentence why promoting best could lose writes that were answered as durable, "" if it cannot.
func (s *situation) risk(best candidate, nodes map[string]node) string {
	if s.state.Durable == nil || best.class == classMaster {
		return ""
	}
	gone, positions := s.missing(nodes)
	needed := s.state.Durable.Needed()
	const force = ": PROXY FAILOVER with FORCE promotes the best there is all the same"
	if len(gone) >= needed {
		if len(gone)+len(positions) < needed {
			return "" // too few for anything to have been answered
		}
		return fmt.Sprintf("writes that were answered as durable (write-acks %d) may be on no other node: %s%s", needed, strings.Join(gone, ", "), force)
	}
	// An answered write is on that many of those that were asked, so the last of as many with the most data has it.
	slices.SortFunc(positions, func(a, b int64) int { return cmp.Compare(b, a) })
	sure := needed - len(gone)
	if sure > len(positions) {
		return ""
	}
	if floor := positions[sure-1]; best.position < floor {
		return fmt.Sprintf("%s has the master's history up to offset %d, and writes up to %d may have been answered as durable%s", best.addr, max(best.position, 0), floor, force)
	}
	return ""
}

// awaitHolders waits behind the fence for what is missing, unless somebody has lost patience.
func (s *situation) awaitHolders(best candidate, why string) []action {
	if r, ok := s.insisted(); ok {
		return s.force(r, best.addr, why)
	}
	return []action{s.nobody("no node is made master, because " + why)}
}

// awaitCandidates waits behind the fence for a node that may become master, unless somebody has lost patience.
func (s *situation) awaitCandidates(unfit []string) []action {
	why := strings.Join(unfit, "; ")
	best := s.lastResort(s.reading.nodes, true)
	if r, ok := s.insisted(); ok && len(best) > 0 {
		return s.force(r, slices.MinFunc(best, better).addr, why)
	}
	return []action{s.nobody("no node can become master: " + why + s.wayOut(best))}
}

// wayOut says what an operator can do where nobody is fit to become master, in the rest of a sentence. It does not name the
// best: of two alike that changes with every probe, and each time the alarm would be a new one.
func (s *situation) wayOut(best []candidate) string {
	if len(best) == 0 {
		return ""
	}
	return ": PROXY FAILOVER with FORCE promotes the best of those that answer all the same"
}

// force records that somebody insists on the failover that is under way, although something speaks against it.
func (s *situation) force(r topology.Request, best, why string) []action {
	next := s.state.Clone()
	f := next.Failover
	f.Forced = true
	if f.Request == "" {
		f.Request, f.Target = r.ID, best
	}
	return []action{s.write(next, "forced by "+r.By+", although "+why)}
}

// insisted returns the request of somebody who wants a failover although durable writes may be lost.
func (s *situation) insisted() (topology.Request, bool) {
	i := slices.IndexFunc(s.requests, func(r topology.Request) bool {
		return r.Answer == "" && r.Kind == topology.Switchover && r.Force
	})
	if i < 0 {
		return topology.Request{}, false
	}
	return s.requests[i], true
}

// held says in words how what durable writes rest on changes in next; nothing if it does not.
func (s *situation) held(next *topology.State) (told []string) {
	was, is := s.state.Durable, next.Durable
	switch {
	case is == nil && was == nil:
	case is == nil:
		told = append(told, "no write is durable any more (write-acks is 0)")
	case was == nil || was.Acks != is.Acks || !slices.Equal(was.Holders, is.Holders):
		told = append(told, fmt.Sprintf("a write is durable when %d of %s have it", is.Acks, holders(is.Holders)))
	}
	if is != nil && len(is.Former) > 0 && (was == nil || !slices.Equal(was.Former, is.Former)) {
		told = append(told, "earlier ones may be on "+holders(is.Former)+" alone")
	}
	if was != nil && !was.Settled() && is != nil && is.Settled() {
		told = append(told, "so are all earlier ones")
	}
	return told
}

func holders(list []topology.Holder) string {
	if len(list) == 0 {
		return "no replica"
	}
	var names []string
	for _, h := range list {
		names = append(names, h.Addr)
	}
	return strings.Join(slices.Compact(names), ",")
}

// union returns what is in a or b, in order.
func union(a, b []topology.Holder) []topology.Holder {
	all := slices.Concat(a, b)
	topology.SortHolders(all)
	return slices.Compact(all)
}

// without returns what is in a and not in b.
func without(a, b []topology.Holder) []topology.Holder {
	return slices.DeleteFunc(slices.Clone(a), func(h topology.Holder) bool { return slices.Contains(b, h) })
}
