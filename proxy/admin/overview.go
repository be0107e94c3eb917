package admin

import (
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// Overview is everything that is known at a moment, for those who show it in another form than INFO.
type Overview struct {
	Identity
	Since     time.Time // when this process began to serve
	State     *topology.State
	Authority topology.Authority
	Traffic   Traffic
	Failovers []Failover // the latest ones, oldest first
	// MasterTrouble is why the master is not used, or not replaced, although the State tells of no outage; "" if there is nothing to say.
	MasterTrouble string
	Alarms        []string // what stands in the way and needs an operator, as far as this member knows itself
	// Raised is what the leading member has raised, where that is another one: alarms about nodes are the leader's.
	Raised topology.Alarms
	Nodes  []Row // the master first
}

// Overview returns what is known now. It does not wait for anything.
func (a *Admin) Overview() Overview {
	report := a.watcher.Report()
	o := Overview{
		Identity: a.who, Since: a.since,
		State: a.cluster.Snapshot().State, Authority: a.cluster.Authority(), Traffic: a.traffic(),
		Failovers: report.Failovers, Alarms: report.Alarms,
	}
	o.Alarms = slices.Clip(o.Alarms)
	if o.Authority.Alarm != "" {
		o.Alarms = append(o.Alarms, o.Authority.Alarm)
	}
	var serious bool
	if o.MasterTrouble, serious = trouble(&o, report); serious {
		o.Alarms = append(o.Alarms, o.MasterTrouble)
	}
	if text := a.disagreement(o.State); text != "" {
		o.Alarms = append(o.Alarms, text)
	}
	if raised := a.cluster.Raised(); raised.By != a.who.ID {
		o.Raised = raised
	}
	o.Nodes = rows(o.State, report, o.Traffic)
	return o
}
