package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// section is a section of INFO that is being written.
type section struct{ strings.Builder }

func (s *section) line(key string, value any) {
	fmt.Fprintf(s, "%s:%s\r\n", key, oneLine(fmt.Sprint(value)))
}

// oneLine keeps words that came from elsewhere from looking like lines of ours.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// Info implements session.Admin. No name of a field is one that redis-server uses in INFO: most clients put all
// sections into one dictionary.
func (a *Admin) Info() string {
	now, o := time.Now(), a.Overview()
	var s section
	s.WriteString("# Understudy\r\n")
	s.line("understudy_version", o.Version)
	s.line("understudy_uptime_in_seconds", int64(now.Sub(o.Since).Seconds()))
	s.line("cluster", o.Cluster)
	if o.ClusterIdentity != "" {
		s.line("cluster_identity", o.ClusterIdentity)
	}
	s.line("member_id", o.ID)
	s.state(o.State)
	if o.MasterTrouble != "" {
		s.line("master_trouble", o.MasterTrouble)
	}
	s.authority(o.Authority, now)
	s.traffic(&o.Traffic)
	s.failovers(o.Failovers)
	s.alarms(o.Alarms, o.Raised)
	for i, r := range o.Nodes {
		s.line(fmt.Sprintf("node%d", i), r.fields())
	}
	return s.String()
}

// alarms tells of this member's alarms, and then of those of the leading one.
func (s *section) alarms(own []string, raised topology.Alarms) {
	all := slices.Concat(own, raised.Texts)
	s.line("alarms", len(all))
	for i, text := range all {
		s.line(fmt.Sprintf("alarm%d", i), text)
	}
	s.line("alarms_of_leader", len(raised.Texts))
	if len(raised.Texts) > 0 {
		s.line("alarms_leader", raised.By)
	}
}

func (s *section) state(state *topology.State) {
	if state == nil {
		s.line("epoch", 0)
		return
	}
	online := 0
	for _, r := range state.Replicas {
		if r.Health == topology.Online {
			online++
		}
	}
	s.line("epoch", state.Epoch)
	s.line("phase", state.Phase)
	s.line("master", state.Master.Addr)
	s.line("replicas", len(state.Replicas))
	s.line("replicas_online", online)
	s.line("unavailable", len(state.Unavailable))
	s.line("electors", len(state.Electors))
	if d := state.Durable; d != nil {
		s.line("write_acks", d.Acks)
		s.line("write_acks_holders", addresses(d.Holders))
		s.line("write_acks_former_holders", addresses(d.Former))
	}
	if o := state.Outage; o != nil {
		s.line("master_down", 1)
		s.line("master_down_since", o.Since.Unix())
		s.line("master_down_reason", o.Reason)
	} else {
		s.line("master_down", 0)
	}
	if p := state.Paused; p != nil {
		s.line("paused", 1)
		s.line("paused_since", p.Since.Unix())
		s.line("paused_by", p.By)
		s.line("paused_reason", p.Reason)
	} else {
		s.line("paused", 0)
	}
}

// addresses lists where holders of durable writes are.
func addresses(holders []topology.Holder) string {
	var list []string
	for _, h := range holders {
		list = append(list, h.Addr)
	}
	return strings.Join(list, ",")
}

// authority tells what the permission to write rests on.
func (s *section) authority(a topology.Authority, now time.Time) {
	s.line("grant", a.Source)
	remaining := int64(-1)
	if !a.Until.IsZero() {
		remaining = max(0, a.Until.Sub(now).Milliseconds())
	} else if a.Source == topology.NoGrant {
		remaining = 0
	}
	s.line("grant_remaining_ms", remaining)
	if a.Source == topology.Promised {
		s.line("grant_promised_by", strings.Join(a.By, ","))
	}
	if a.Waits != "" {
		s.line("grant_waits", a.Waits)
	}
	if a.Reason != "" {
		s.line("no_failsafe_because", a.Reason)
	}
}

func (s *section) traffic(t *Traffic) {
	s.line("client_connections", t.Clients)
	s.line("client_connections_limit", t.MaxClients)
	s.line("client_connections_refused", t.Refused)
	s.line("clients_held", t.Held)
	n := &t.Sessions
	s.line("requests", n.Requests)
	s.line("total_reads", n.Reads+n.MasterReads())
	s.line("replica_reads", n.Reads)
	s.line("master_reads", n.MasterReads())
	for reason, count := range n.MasterReadsBy {
		s.line("master_reads_"+freshness.Reason(reason).String(), count)
	}
	s.line("reads_that_waited", n.CaughtUp)
	s.line("reads", n.Reads) // what replica_reads was called first
	s.line("writes", n.Writes)
	s.line("held", n.Held)
	s.line("hold_timeouts", n.HoldTimeouts)
	s.line("unknown_results", n.Unknown)
	s.line("durable_writes", n.Durable)
	s.line("unreplicated_writes", n.Unreplicated)
	s.line("redone", n.Redone)
	s.line("protocol_errors", n.ProtocolErrors)
	s.line("unheard_members", n.Unheard)
	for reason, count := range n.Closes {
		s.line("closed_"+session.CloseReason(reason).String(), count)
	}
}

func (s *section) failovers(past []Failover) {
	s.line("failovers", len(past))
	if len(past) == 0 {
		return
	}
	last := past[len(past)-1]
	s.line("last_failover_epoch", last.Epoch)
	s.line("last_failover_cause", last.Cause)
	s.line("last_failover_from", last.From)
	s.line("last_failover_to", last.To)
	s.line("last_failover_time", last.Began.Unix())
	s.line("last_failover_duration_ms", milliseconds(last.Duration))
}

// milliseconds gives a duration with microseconds behind the point: failovers of a killed master are that quick.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond))
}

// fields is the value of a node's line, in the manner of INFO replication's slave0.
func (r *Row) fields() string {
	return fmt.Sprintf("addr=%s,role=%s,health=%s,offset=%d,lag=%d,lag_ms=%d,link=%s,requests=%d,connections=%d,latency_us=%d",
		r.Addr, r.Role, r.Health, r.Offset, r.LagBytes, r.LagTime.Milliseconds(), r.Link, r.Traffic.Requests, r.Traffic.Conns,
		r.Traffic.Latency.Microseconds())
}
