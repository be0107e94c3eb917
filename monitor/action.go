package monitor

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// deed is the kind of an action.
type deed string

const (
	deedWrite     deed = "write state" // replace the State
	deedRead      deed = "read offsets"
	deedDemote    deed = "demote"    // make a master that is being deposed a replica of the choice
	deedPromote   deed = "promote"   // REPLICAOF NO ONE, and see that it is a master
	deedReplicate deed = "replicate" // make a node a replica of State's master
	deedSwap      deed = "swap"      // have a living master hand its part to the target of a switchover
	deedAbort     deed = "abort"     // end what is left of a master's own FAILOVER
	deedAnswer    deed = "answer"    // answer a request
	deedAlarm     deed = "alarm"     // nothing can be done here: tell the operator
)

// action is one thing that decide wants done. It names the epoch it was decided under; it is void in any other.
type action struct {
	deed  deed
	epoch uint64
	next  *topology.State // of a write
	why   string          // of a write: one sentence for the log; of an alarm: the alarm
	loss  string          // of the write of a choice: which data it gives up, in one sentence; "" if none
	doubt string          // of the same: why nobody knows whether it gives up any; "" if that is known
	addr  string          // the node commanded
	from  string          // the node that addr is to follow
	host  string          // from, as other nodes reach it
	force bool            // cut the clients that addr has: it was a master, and they must notice
	nodes []string        // whose offsets are read
	limit time.Duration   // of a swap: how long it may take

	subject  string        // of an alarm: what it is about, which stays when its words change
	patience time.Duration // how long it may stand before an operator is told
	cause    string        // of an alarm about rivals: what comes of them
	rivals   []string      // and who they are

	request string          // whose answer it is
	answer  topology.Answer // of the request; why is its text
}

// String tells the action in one line, for scenarios and the simulation.
func (a action) String() string {
	switch a.deed {
	case deedWrite:
		if a.loss != "" {
			return "write state " + describe(a.next) + " although " + a.loss
		}
		if a.doubt != "" {
			return "write state " + describe(a.next) + " although perhaps " + a.doubt
		}
		return "write state " + describe(a.next)
	case deedRead:
		return "read offsets of " + strings.Join(a.nodes, ",")
	case deedDemote, deedReplicate:
		return fmt.Sprintf("%s %s from %s", a.deed, a.addr, a.from)
	case deedSwap:
		return fmt.Sprintf("swap %s with %s within %v", a.addr, a.from, a.limit)
	case deedAnswer:
		return fmt.Sprintf("answer %s %s: %s", a.request, a.answer, a.why)
	case deedAlarm:
		return "alarm: " + a.why
	}
	return fmt.Sprintf("%s %s", a.deed, a.addr)
}

// key names what two actions may not use at once: the State, the reading, or one node.
func (a action) key() string {
	switch a.deed {
	case deedWrite, deedRead:
		return string(a.deed)
	case deedAlarm:
		return string(a.deed) + " " + a.why
	case deedAnswer:
		return string(a.deed) + " " + a.request
	}
	return "node " + a.addr
}

// describe tells a State in one line.
func describe(s *topology.State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch=%d phase=%s master=%s", s.Epoch, s.Phase, s.Master.Addr)
	if f := s.Failover; f != nil && f.Planned {
		fmt.Fprintf(&b, " target=%s", f.Target)
	}
	if f := s.Failover; f != nil && f.Choice != "" {
		fmt.Fprintf(&b, " choice=%s", f.Choice)
	} else if f != nil {
		fmt.Fprintf(&b, " candidates=%s", strings.Join(f.Candidates, ","))
	}
	if f := s.Failover; f != nil && f.Forced {
		b.WriteString(" forced")
	}
	if f := s.Failover; f != nil && f.Aborted != "" {
		fmt.Fprintf(&b, " given-up=%q", f.Aborted)
	}
	if s.Paused != nil {
		fmt.Fprintf(&b, " paused=%q", s.Paused.Reason)
	}
	if s.Outage != nil {
		fmt.Fprintf(&b, " outage=%q", s.Outage.Reason)
	}
	if s.Phase == topology.Stable {
		var replicas, unavailable []string
		for _, r := range s.Replicas {
			replicas = append(replicas, r.Addr+":"+string(r.Health))
		}
		for _, n := range s.Unavailable {
			unavailable = append(unavailable, n.Addr)
		}
		fmt.Fprintf(&b, " replicas=%s unavailable=%s", strings.Join(replicas, ","), strings.Join(unavailable, ","))
		if s.Rehearsal != nil {
			fmt.Fprintf(&b, " rehearsing=%s", s.Rehearsal.Target)
		}
		if d := s.Durable; d != nil {
			fmt.Fprintf(&b, " durable=%d:%s", d.Acks, holders(d.Holders))
			if !d.Settled() {
				fmt.Fprintf(&b, " former=%d:%s", d.FormerAcks, holders(d.Former))
			}
		}
		if len(s.Electors) > 0 {
			var electors []string
			for _, e := range s.Electors {
				electors = append(electors, e.ID)
			}
			fmt.Fprintf(&b, " electors=%s", strings.Join(electors, ","))
		}
	}
	return b.String()
}
