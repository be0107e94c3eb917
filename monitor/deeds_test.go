package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// carryOut changes the world as the action would, and returns what the story says of that.
func (w *world) carryOut(a action) string {
	switch a.deed {
	case deedAlarm:
	case deedWrite:
		if err := a.next.Validate(); err != nil {
			return " INVALID: " + err.Error()
		}
		w.write(a.next)
	case deedRead:
		w.read(a)
	case deedAnswer:
		w.requests = slices.Clone(w.requests)
		i := slices.IndexFunc(w.requests, func(r topology.Request) bool { return r.ID == a.request && r.Answer == "" })
		w.requests[i].Answer, w.requests[i].Text = a.answer, a.why
	default:
		return w.command(a)
	}
	return ""
}

// write replaces the State.
func (w *world) write(next *topology.State) {
	if w.state.Phase == topology.Stable && next.Phase != topology.Stable {
		w.changing = w.now
	}
	if next.Epoch != w.state.Epoch || next.Phase != w.state.Phase {
		w.began, w.reading = w.now, nil
	}
	if next.Master.ReplID != w.state.Master.ReplID {
		w.peak = inherited(next)
	}
	if !same(w.state.Durable, next.Durable) {
		w.durableFrom = time.Time{}
	}
	w.state = next
}

// read asks nodes how far they are: those of a rehearsal, or of a failover.
func (w *world) read(a action) {
	if w.state.Phase == topology.Stable {
		var said [2]*answer
		for i, addr := range []string{w.state.Master.Addr, w.state.Rehearsal.Target} {
			if n := w.nodes[addr]; !w.unheard[addr] && n.denied == "" {
				said[i] = &answer{addr: addr, info: n.info, at: w.now}
			}
		}
		w.rehearsal.take(said[0], said[1], w.state, w.now)
		return
	}
	w.reading = &reading{epoch: a.epoch, at: w.now, nodes: make(map[string]node)}
	for _, addr := range a.nodes {
		n := w.nodes[addr]
		n.heard = w.now
		if !w.unheard[addr] && n.denied == "" {
			w.reading.nodes[addr] = n
		}
	}
}

// command has a node do something, which may fail.
func (w *world) command(a action) string {
	key := step{a.deed, a.addr}
	try := attempt{epoch: a.epoch, at: w.now}
	if a.deed == deedSwap && w.failing[key] == 0 && !w.canSwap(a) {
		w.failing[key] = 1
	}
	if w.failing[key] > 0 {
		w.failing[key]--
		try.failed, try.failures = true, 1
		if before := w.tried[key]; before.epoch == a.epoch {
			try.failures += before.failures
		}
		if try.why = "a test"; a.deed == deedSwap {
			w.now = w.now.Add(a.limit)
		}
		w.tried[key] = try
		return " (fails)"
	}
	switch a.deed {
	case deedSwap:
		w.swap(a, &try)
	case deedAbort:
	case deedPromote:
		w.promote(a)
	default:
		w.replicate(a)
	}
	w.tried[key] = try
	return ""
}

// promote makes a node a master, to which its replicas catch up at once.
func (w *world) promote(a action) {
	n := w.nodes[a.addr]
	if n.Role != roleMaster {
		n.Role, n.Master, n.ReplID2, n.SecondAt, n.ReplID = roleMaster, "", n.ReplID, n.Offset+1, fmt.Sprintf("H%d", a.epoch)
	}
	w.nodes[a.addr] = n
	for addr, other := range w.nodes {
		if other.Role == roleReplica && other.Master == a.addr {
			other.LinkUp, other.ReplID, other.Offset = true, n.ReplID, n.Offset
			w.nodes[addr] = other
		}
	}
}

// replicate makes a node a replica, which is in sync at once if its master is one.
func (w *world) replicate(a action) {
	n := w.nodes[a.addr]
	n.Role, n.Master, n.LinkUp = roleReplica, a.host, false
	if master := w.nodes[a.from]; master.Role == roleMaster {
		n.LinkUp, n.ReplID, n.Offset, n.LinkDown = true, master.ReplID, master.Offset, 0
	}
	w.nodes[a.addr] = n
}

// swap has the target of a switchover catch up, and lets the servers exchange their parts if they can do it themselves.
func (w *world) swap(a action, try *attempt) {
	target := w.nodes[a.from]
	target.Offset = max(target.Offset, w.nodes[a.addr].Offset)
	w.nodes[a.from] = target
	switch {
	case target.Role == roleMaster:
	case w.classic:
		try.caughtUp = true
	default:
		w.exchange(a.addr, a.from)
	}
}

// canSwap reports whether the servers are such that they can exchange their parts.
func (w *world) canSwap(a action) bool {
	m, n := w.nodes[a.addr], w.nodes[a.from]
	alive := w.downFor[a.addr] == nil && w.downFor[a.from] == nil
	return alive && m.RunID == w.state.Master.RunID && !n.Loading &&
		(n.Role == roleMaster && m.Role == roleReplica || m.Role == roleMaster && n.Role == roleReplica && n.LinkUp && n.ReplID == m.ReplID)
}

// exchange does what FAILOVER does.
func (w *world) exchange(master, target string) {
	m, n := w.nodes[master], w.nodes[target]
	n.Offset = max(n.Offset, m.Offset)
	n.Role, n.Master, n.ReplID2, n.SecondAt, n.ReplID = roleMaster, "", n.ReplID, n.Offset+1, fmt.Sprint("H", w.state.Epoch)
	m.Role, m.Master, m.LinkUp, m.LinkDown = roleReplica, target, true, 0
	m.ReplID2, m.SecondAt, m.ReplID, m.Offset = n.ReplID2, n.SecondAt, n.ReplID, n.Offset
	w.nodes[master], w.nodes[target] = m, n
}
