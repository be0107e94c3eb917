package monitor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/understudy/understudy/topology"
)

// The rule of durable writes, all of it in this file.
//
// A write is acknowledged when the master and N of the eligible replicas have it. After every change the eligible
// replicas are such that of each acknowledged write N of them have it, whoever they are, or would be if they could be
// read. So when fewer than N of them are unreadable, one that can be read has it, and the one with the largest offset of
// the master's history has all of them. To keep that true:
//
//   - Who promotes a replica enters the old master in its place: it has what it has acknowledged.
//   - A replica is added at any time: that makes no set of N smaller.
//   - One is taken off in two steps. First it leaves: members count it no more, and promotions do still. When every
//     member has acknowledged that, or its lease is over, the master's offset is read, and when all others have reached
//     it, and they are N at least, it is eligible no more. To wait for the members alone would not do: of the writes that
//     were acknowledged with the help of who leaves, the others need not have a single one.

// simDurability is who is eligible. It is to become a part of the State.
type simDurability struct {
	acks     int // N; 0: no write is durable
	eligible []string
	leaving  string // the one that members do not count any more
}

// counts is how many of these replicas count.
func (q simDurability) counts(holders []string) (n int) {
	for _, h := range holders {
		if slices.Contains(q.eligible, h) && h != q.leaving {
			n++
		}
	}
	return n
}

// after is what becomes of it with the next State.
func (q simDurability) after(was, next *topology.State) simDurability {
	if next.Master.Addr == was.Master.Addr {
		return q
	}
	q.eligible, q.leaving = slices.Clone(q.eligible), ""
	if i := slices.Index(q.eligible, next.Master.Addr); i >= 0 {
		q.eligible[i] = was.Master.Addr
	}
	slices.Sort(q.eligible)
	return q
}

// simWaiter is a durable write that waits at the master for its replicas.
type simWaiter struct {
	wire   *simWire
	offset int64
	acks   int
	counts simDurability
	done   func(holders []string)
}

// await answers when enough of the eligible replicas have acknowledged an offset.
func (s *simServer) await(w *simWire, offset int64, acks int, counts simDurability, done func(holders []string)) {
	s.waiters = append(s.waiters, simWaiter{w, offset, acks, counts, done})
	s.ackedMore()
}

// ackedMore looks whether somebody has waited for what was just acknowledged.
func (s *simServer) ackedMore() {
	s.waiters = slices.DeleteFunc(s.waiters, func(w simWaiter) bool {
		if !w.wire.open(s.proc) {
			return true
		}
		var holders []string
		for _, f := range s.feeds {
			if f.acked >= w.offset {
				holders = append(holders, f.replica.addr)
			}
		}
		if w.counts.counts(holders) < w.acks {
			return false
		}
		w.done(holders)
		return true
	})
}

// durabilityForbids says why a choice must not be made yet, "" if it may.
func (d *simMind) durabilityForbids(a action) string {
	q, was, next := d.agreed.durability, d.agreed.State, a.next
	if q.acks == 0 || d.rule == simNoDurableRule || d.forced || was.Phase != topology.Fencing || next.Phase != topology.Promoting || d.loop.reading == nil {
		return ""
	}
	nodes, s := d.loop.reading.nodes, d.loop.situation(d.clock())
	choice := next.Failover.Choice
	if m, answers := s.heard(choice); choice == was.Master.Addr && answers && !restarted(was.Master, m.info) && m.Role == roleMaster {
		return "" // it goes on, and has all that it has acknowledged
	}
	if f := was.Failover; f.Planned && f.Aborted == "" && choice == f.Target {
		return "" // the target is not promoted before it has all that the master has
	}
	var unreadable []string
	best := int64(-1)
	for _, addr := range q.eligible {
		known, _ := was.Node(addr)
		n, answered := nodes[addr]
		position, has := s.position(n)
		switch {
		case !answered || n.Loading || !has:
			unreadable = append(unreadable, addr)
			continue
		case restarted(known, n.info):
			unreadable = append(unreadable, addr)
		}
		best = max(best, position)
	}
	has, _ := s.position(nodes[choice])
	switch {
	case len(unreadable) >= q.acks:
		return fmt.Sprintf("%s cannot be read, of whom one may be the only one that has a durable write", strings.Join(unreadable, ", "))
	case has < best:
		return choice + " has not the most data"
	}
	return ""
}

// manageDurability adds and takes off eligible replicas, while the State is stable. It reports whether it wrote.
func (d *simMind) manageDurability(s *situation) bool {
	q, state := d.agreed.durability, s.state
	if q.acks == 0 || state.Phase != topology.Stable || d.writing || d.now < d.holdWrites {
		return false
	}
	verdicts := combine(s.members, s.rules.strategy, s.rules.requiredMonitors)
	if verdicts[state.Master.Addr].down {
		return false
	}
	next := simAgreed{Snapshot: topology.Snapshot{State: state.Clone()}, durability: simDurability{acks: q.acks, eligible: slices.Clone(q.eligible), leaving: q.leaving}}
	switch w := &next.durability; {
	case q.leaving != "":
		if !d.everybodyKnows() || !d.othersHaveAll(s, q) {
			return false
		}
		w.eligible = slices.DeleteFunc(w.eligible, func(addr string) bool { return addr == q.leaving })
		w.leaving = ""
		d.tell("%s takes %s off the eligible replicas", d, q.leaving)
	default:
		for _, r := range state.Replicas {
			if r.Health == topology.Online && !slices.Contains(q.eligible, r.Addr) {
				w.eligible = append(w.eligible, r.Addr)
			}
		}
		slices.Sort(w.eligible)
		if len(w.eligible) == len(q.eligible) {
			i := slices.IndexFunc(q.eligible, func(addr string) bool { return verdicts[addr].down })
			if i < 0 || len(q.eligible) <= q.acks {
				return false
			}
			w.leaving = q.eligible[i]
			d.tell("%s has %s leave the eligible replicas", d, w.leaving)
		}
	}
	d.write(next)
	return true
}

// everybodyKnows reports whether each member has acknowledged the present version, or has no session any more, and therefore no lease.
func (d *simMind) everybodyKnows() bool {
	return !slices.ContainsFunc(d.store.sessions, func(o *simSess) bool { return o.version < d.agreed.Version })
}

// othersHaveAll reports whether all eligible replicas but the one that leaves have reached the offset that the master had
// when everybody had learnt of it.
func (d *simMind) othersHaveAll(s *situation, q simDurability) bool {
	m, ok := s.heard(s.state.Master.Addr)
	if !ok || m.Role != roleMaster || restarted(s.state.Master, m.info) {
		return false
	}
	if d.leftVersion != d.agreed.Version {
		// Only a reading of later counts.
		d.leftVersion, d.leftAt, d.leftOffset = d.agreed.Version, s.now, -1
	}
	if d.leftOffset < 0 {
		if m.heard.Sub(d.leftAt) < simPolling {
			return false // it may have been on its way before
		}
		d.leftOffset = m.Offset
	}
	return !slices.ContainsFunc(q.eligible, func(addr string) bool {
		n, ok := s.heard(addr)
		return addr != q.leaving && !(ok && n.Role == roleReplica && n.LinkUp && n.ReplID == m.ReplID && n.Offset >= d.leftOffset)
	})
}
