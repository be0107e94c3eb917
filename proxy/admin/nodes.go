package admin

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// Roles and healths that State has no word of its own for.
const (
	roleNone = "none" // an unavailable node: it serves nobody, whatever it says of itself

	healthDown      = "down"
	healthReturning = "returning"
)

// Row is one node with everything that is known of it.
type Row struct {
	Node
	Role    string // in the State: master, replica or none
	Health  string // a topology.Health, or down, or returning: it answers and is about to be made a replica
	Traffic upstream.NodeStats
}

// rows lists the nodes of the State, the master first, and then those that only the monitor knows.
func rows(state *topology.State, report Report, traffic Traffic) []Row {
	var list []Row
	listed := map[string]bool{}
	var outage *topology.Outage
	if state != nil {
		outage = state.Outage
	}
	add := func(known topology.Node, role, health string) {
		listed[known.Addr] = true
		r := Row{Node: Node{Addr: known.Addr, RunID: known.RunID}, Role: role, Health: health}
		for _, n := range report.Nodes {
			if n.Addr == known.Addr {
				r.Node = n
			}
		}
		if r.RunID == "" {
			r.RunID = known.RunID
		}
		if o := outage; o != nil && !r.Down && known.Addr == state.Master.Addr {
			r.Down, r.Reason, r.Since = true, o.Reason, o.Since // as those hold together who see it
		}
		if r.Down {
			r.Health, r.Link = healthDown, "" // what it said of its link was before
		}
		for _, t := range traffic.Nodes {
			if t.Addr == known.Addr {
				r.Traffic = t
			}
		}
		list = append(list, r)
	}
	if state != nil {
		add(state.Master, "master", string(topology.Online))
		for _, n := range state.Replicas {
			add(n.Node, "replica", string(n.Health))
		}
		for _, n := range state.Unavailable {
			add(n, roleNone, healthReturning)
		}
	}
	for _, n := range report.Nodes {
		if !listed[n.Addr] {
			add(topology.Node{Addr: n.Addr}, roleNone, healthReturning)
		}
	}
	return list
}

// noticed is how long a silence must be to be told of. A shorter one is mostly that of a machine that is busy.
const noticed = time.Second

// Problem says in words why the node is not what it should be; "" when nothing is known.
func (r *Row) Problem() string {
	switch {
	case r.Down:
		return r.Reason
	case r.Silent >= noticed:
		return fmt.Sprintf("no answer for %v yet", r.Silent.Truncate(time.Second))
	}
	return r.Error
}

// age returns the whole seconds since t, -1 if there is no t.
func age(t, now time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return int64(max(0, now.Sub(t)).Seconds())
}
