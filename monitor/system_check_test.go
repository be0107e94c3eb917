package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// simInvariant is what is asserted.
type simInvariant string

const (
	simOneReceiver      simInvariant = "at most one node receives writes from members that hold a grant"
	simNothingOfDeposed simInvariant = "nothing is acknowledged that a deposed master has carried out"
	simReadsSee         simInvariant = "a read of the master sees what was acknowledged before it"
	simStateInSteps     simInvariant = "epochs only grow, and a master is made by a fence, a choice, and nothing else"
	simChosenProcess    simInvariant = "nobody is promoted but the process that a leader has chosen by a quorum write"
	simLeadersInOrder   simInvariant = "no command of an earlier leader is carried out after one of a later"
	simOnce             simInvariant = "no write is applied twice"
	simHeldByHolders    simInvariant = "a durable write is acknowledged when as many holders have it as are needed"
	simDurableKept      simInvariant = "no durable write is lost while a node that has it could be read"
	simNothingLost      simInvariant = "a switchover loses nothing that was acknowledged"
	simSettles          simInvariant = "when all faults are over, all comes to rest with the same data"
)

// simLedger is what the checker remembers.
type simLedger struct {
	writes   int // numbers given to writes
	acked    []int
	durable  []simDurableWrite
	newest   map[string]int64  // the newest offset that was acknowledged, by the history of its master
	read     map[string]string // the runs of the servers that were read before the latest choice
	wiped    bool              // a server has lost what it had
	changes  int               // of master
	planned  int               // those of them that were switchovers, and did not fail
	restarts int               // of servers
	waited   time.Duration     // when a leader last waited because of durable writes
}

// simDurableWrite is one that was acknowledged as durable.
type simDurableWrite struct {
	id      int
	holders []string // the master first
}

// deposed says why a server is none any more to which members may write, or whose writes may be acknowledged: "" if it
// is one. It is one until another one is chosen: before that, no replica's data was looked at.
func (y *simSystem) deposed(addr string) string {
	s := y.store.agreed.State
	switch {
	case s.Phase == topology.Promoting && s.Failover.Choice != addr:
		return fmt.Sprintf("%s is chosen to be master in epoch %d", s.Failover.Choice, s.Epoch)
	case s.Phase != topology.Promoting && s.Master.Addr != addr:
		return fmt.Sprintf("%s is master in epoch %d", s.Master.Addr, s.Epoch)
	}
	return ""
}

// checkSending: at most one node receives writes from members that hold a grant.
func (y *simSystem) checkSending(m *simMember, l *simLane) {
	if why := y.deposed(l.server.addr); why != "" {
		y.violate(simOneReceiver, "%s sends a write to %s under epoch %d, and %s", m, l.server, l.epoch, why)
	}
}

// checkAnswer: nothing that was carried out on a deposed master is acknowledged, and a read sees what was acknowledged
// under the same master before.
func (y *simSystem) checkAnswer(m *simMember, l *simLane, r *simRequest, reply simReply, have []topology.Holder) {
	what := fmt.Sprintf("write %d", r.id)
	if r.id == 0 {
		what = "a read"
	}
	if why := y.deposed(l.server.addr); why != "" {
		y.violate(simNothingOfDeposed, "%s acknowledges %s, carried out by %s, and %s", m, what, l.server, why)
		return
	}
	if s := y.store.agreed.State; s.Phase == topology.Stable && s.Master.RunID != reply.run {
		y.violate(simNothingOfDeposed, "%s acknowledges %s, carried out by the process %s, and the State names %s", m, what, reply.run, s.Master.RunID)
		return
	}
	if r.id == 0 {
		if reply.history == r.history && reply.offset < r.sees {
			y.violate(simReadsSee, "a read through %s sees offset %d of %s, and %d was acknowledged before it", m, reply.offset, l.server, r.sees)
		}
		return
	}
	y.ledger.acked = append(y.ledger.acked, r.id)
	y.ledger.newest[reply.history] = max(y.ledger.newest[reply.history], reply.offset)
	if r.acks > 0 {
		y.checkHeld(m, r)
		var holders []string
		for _, h := range have {
			holders = append(holders, h.Addr)
		}
		y.ledger.durable = append(y.ledger.durable, simDurableWrite{r.id, append([]string{l.server.addr}, holders...)})
		y.tell("%s acknowledges write %d of %s at offset %d, which %s have too", m, r.id, l.server, reply.offset, strings.Join(holders, ", "))
		return
	}
	y.tell("%s acknowledges write %d of %s at offset %d", m, r.id, l.server, reply.offset)
}

// checkHeld: a durable write is acknowledged when as many holders have it as are needed. A member may count by an earlier
// State, whose holders are former ones then. Of a process that is gone nobody can say any more what it had, nor of replicas
// that have copied a master which had lost its data.
func (y *simSystem) checkHeld(m *simMember, r *simRequest) {
	have := 0
	all := y.store.agreed.State.Durable.All()
	for _, h := range all {
		if s := y.server(h.Addr); s.run != h.RunID || slices.Contains(s.log, r.id) {
			have++
		}
	}
	if have < r.acks && !y.ledger.wiped {
		y.violate(simHeldByHolders, "%s acknowledges write %d as durable, and %d of %s have it", m, r.id, have, holders(all))
	}
}

// checkState: epochs only grow, and a master is made by a fence, a choice, and nothing else.
func (y *simSystem) checkState(by *simMember, was, next *topology.State) {
	switch grown := int(next.Epoch) - int(was.Epoch); {
	case grown < 0:
		y.violate(simStateInSteps, "%s replaces epoch %d by epoch %d", by, was.Epoch, next.Epoch)
	case grown == 0 && next.Phase == topology.Stable && was.Phase == topology.Promoting && next.Master.Addr != was.Failover.Choice:
		y.violate(simStateInSteps, "%s makes %s master in epoch %d, and %s is chosen", by, next.Master.Addr, next.Epoch, was.Failover.Choice)
	case next.Master.Addr != was.Master.Addr && (grown != 0 || was.Phase != topology.Promoting || next.Phase != topology.Stable):
		y.violate(simStateInSteps, "%s makes %s master in epoch %d without a choice", by, next.Master.Addr, next.Epoch)
	case next.Phase == topology.Promoting && (grown != 0 || was.Phase == topology.Stable):
		y.violate(simStateInSteps, "%s chooses %s in epoch %d without a fence", by, next.Failover.Choice, next.Epoch)
	case was.Phase == topology.Stable && next.Phase == topology.Fencing && grown != 1:
		y.violate(simStateInSteps, "%s fences epoch %d after epoch %d", by, next.Epoch, was.Epoch)
	case was.Phase == topology.Promoting && next.Phase == topology.Promoting && was.Failover.Choice != next.Failover.Choice:
		y.violate(simStateInSteps, "%s chooses %s in epoch %d, and %s is chosen already", by, next.Failover.Choice, next.Epoch, was.Failover.Choice)
	}
	if y.fault != "" {
		return
	}
	f := was.Failover
	if next.Master.Addr != was.Master.Addr {
		y.ledger.changes++
		if f.Planned && f.Aborted == "" {
			y.ledger.planned++
		}
	}
	switch {
	case next.Phase == topology.Promoting && was.Phase == topology.Fencing:
		y.ledger.read = make(map[string]string)
		if r := by.mind.loop.reading; r != nil && !(f.Planned && f.Aborted == "") {
			for addr, n := range r.nodes {
				y.ledger.read[addr] = n.RunID
			}
		}
	case next.Phase == topology.Stable && was.Phase == topology.Promoting:
		y.checkDurable(by, next)
	}
}

// checkDurable: no acknowledged durable write is lost while a node that has it could be read when the choice was made.
func (y *simSystem) checkDurable(by *simMember, next *topology.State) {
	master := y.server(next.Master.Addr)
	if master.run != next.Master.RunID {
		return // it was started again; no member takes it for the master
	}
	for _, w := range y.ledger.durable {
		if y.forced || slices.Contains(master.log, w.id) {
			continue
		}
		for _, s := range y.servers {
			if y.ledger.read[s.addr] == s.run && slices.Contains(s.log, w.id) {
				y.violate(simDurableKept, "%s makes %s master, which has not the durable write %d (acknowledged with %s), and %s could be read and has it",
					by, master, w.id, strings.Join(w.holders, ", "), s)
				return
			}
		}
	}
}

// checkPromotion: nobody is promoted without a leader who has recorded the choice by a quorum write, and no other process
// is than the one that was judged.
func (y *simSystem) checkPromotion(s *simServer, epoch uint64) {
	if s.role == roleMaster {
		return
	}
	for _, a := range y.store.history {
		if a.State.Epoch == epoch && a.State.Phase == topology.Promoting && a.State.Failover.Choice == s.addr {
			// Of the master itself State names the process that was master before.
			if known, _ := a.State.Node(s.addr); s.addr != a.State.Master.Addr && known.RunID != "" && known.RunID != s.run {
				y.violate(simChosenProcess, "%s is promoted in epoch %d, which chose the process %s, and the one that runs is %s", s, epoch, known.RunID, s.run)
			}
			return
		}
	}
	y.violate(simChosenProcess, "%s is promoted in epoch %d, which chose it never", s, epoch)
}

// unsettled says what is not yet as it should be when all faults are over.
func (y *simSystem) unsettled() string {
	a := y.store.agreed
	s := a.State
	m := y.server(s.Master.Addr)
	switch {
	case s.Phase != topology.Stable:
		return fmt.Sprintf("the State is %s in epoch %d", s.Phase, s.Epoch)
	case !m.proc.alive || m.role != roleMaster || m.run != s.Master.RunID:
		return fmt.Sprintf("master %s is none", m)
	case len(s.Unavailable) > 0:
		return fmt.Sprintf("%s is unavailable", s.Unavailable[0].Addr)
	}
	for _, r := range s.Replicas {
		n := y.server(r.Addr).info()
		if r.Health != topology.Online || n.Role != roleReplica || n.Master != m.addr || !n.LinkUp {
			return fmt.Sprintf("replica %s is %s, %+v", r.Addr, r.Health, n)
		}
	}
	for _, member := range y.members {
		switch {
		case member.sess == nil:
			return fmt.Sprintf("%s has no session", member)
		case member.agreed.Version != a.Version:
			return fmt.Sprintf("%s knows version %d of %d", member, member.agreed.Version, a.Version)
		case !member.Grant().Permits(s.Epoch, member.clock()):
			return fmt.Sprintf("%s has no grant", member)
		}
	}
	for i, app := range y.apps {
		if !app.served {
			return fmt.Sprintf("application %d is not served", i+1)
		}
	}
	return ""
}

// checkEnd looks at what is left when everything has settled.
func (y *simSystem) checkEnd() {
	m := y.server(y.store.agreed.State.Master.Addr)
	seen := make(map[int]bool, len(m.log))
	for _, id := range m.log {
		if seen[id] {
			y.violate(simOnce, "write %d was applied twice", id)
		}
		seen[id] = true
	}
	if !y.ledger.wiped && !y.forced {
		for _, w := range y.ledger.durable {
			if !seen[w.id] {
				y.violate(simDurableKept, "the durable write %d, acknowledged with %s, is lost", w.id, strings.Join(w.holders, ", "))
			}
		}
	}
	if !y.ledger.wiped && y.ledger.planned == y.ledger.changes {
		for _, id := range y.ledger.acked {
			if !seen[id] {
				y.violate(simNothingLost, "write %d was acknowledged and is lost, and all changes of master were planned", id)
			}
		}
	}
	if !y.sameData() {
		y.violate(simSettles, "the replicas have other data than their master %s in the end", m)
	}
}

// sameData reports whether all servers have the same writes in the same order.
func (y *simSystem) sameData() bool {
	return !slices.ContainsFunc(y.servers, func(s *simServer) bool { return !slices.Equal(s.log, y.servers[0].log) })
}
