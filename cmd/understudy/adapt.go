package main

import (
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy/admin"
)

// watcher shows a monitor's status to the admin commands, which do not know the monitor.
type watcher struct{ monitor *monitor.Monitor }

// Report implements admin.Watcher.
func (w watcher) Report() admin.Report {
	s := w.monitor.Status()
	r := admin.Report{Alarms: s.Alarms, StallAfter: s.StallAfter}
	for _, n := range s.Nodes {
		r.Nodes = append(r.Nodes, admin.Node{
			Addr: n.Addr, Aliases: n.Aliases, RunID: n.RunID, Version: n.Version, Down: n.Down, Reason: n.Reason,
			Since: n.Since, Silent: n.Silent, Error: n.Error, Heard: n.Heard, Follows: n.Master, Link: n.Link, Offset: n.Offset,
			LagBytes: n.LagBytes, LagTime: n.LagTime, Latency: n.Latency, Priority: n.Priority,
		})
	}
	for _, f := range s.Failovers {
		r.Failovers = append(r.Failovers, admin.Failover(f))
	}
	return r
}
