package web

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// collector makes metrics of what is known when they are asked for. Nothing is counted twice.
type collector struct{ server *Server }

// Describe implements prometheus.Collector: by describing nothing, it says that its metrics come and go with nodes.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	o, known := c.server.overview()
	if !known {
		return
	}
	m := metrics{out: out}
	m.gauge("build_info", "The version that runs; the value is 1.", 1, label{"version", o.Version})
	m.state(&o)
	m.clients(&o.Traffic)
	m.requests(&o.Traffic.Sessions)
	for i := range o.Nodes {
		m.node(&o.Nodes[i])
	}
}

// label is the name and the value of a label.
type label struct{ name, value string }

type metrics struct{ out chan<- prometheus.Metric }

func (m *metrics) gauge(name, help string, value float64, labels ...label) {
	m.send(prometheus.GaugeValue, name, help, value, labels)
}

func (m *metrics) counter(name, help string, value uint64, labels ...label) {
	m.send(prometheus.CounterValue, name, help, float64(value), labels)
}

func (m *metrics) send(kind prometheus.ValueType, name, help string, value float64, labels []label) {
	var names, values []string
	for _, l := range labels {
		names, values = append(names, l.name), append(values, l.value)
	}
	desc := prometheus.NewDesc("understudy_"+name, help, names, nil)
	m.out <- prometheus.MustNewConstMetric(desc, kind, value, values...)
}

func (m *metrics) state(o *admin.Overview) {
	if s := o.State; s != nil {
		m.gauge("epoch", "Grows with every change of master.", float64(s.Epoch))
		for _, phase := range []topology.Phase{topology.Stable, topology.Fencing, topology.Promoting} {
			m.gauge("phase", "1 for the phase that the State is in.", number(s.Phase == phase), label{"phase", string(phase)})
		}
		m.gauge("master_down", "1 while the master is down and nobody takes its place.", number(s.Outage != nil))
		m.gauge("paused", "1 while no failover takes place because somebody has paused them.", number(s.Paused != nil))
	}
	m.gauge("write_permitted", "1 while this process may write to the master.", number(o.Authority.Source != topology.NoGrant))
	m.gauge("alarms", "What stands in the way of a failover and needs an operator, as this member itself knows: the leading one tells of the nodes.", float64(len(o.Alarms)))
	if n := len(o.Failovers); n > 0 {
		last := o.Failovers[n-1]
		m.gauge("last_failover_timestamp_seconds", "When the last change of master began.", float64(last.Began.UnixMilli())/1000)
		m.gauge("last_failover_duration_seconds", "How long it took; 0 while it is under way.", last.Duration.Seconds())
	}
}

func (m *metrics) clients(t *admin.Traffic) {
	m.gauge("client_connections", "Clients connected.", float64(t.Clients))
	m.gauge("client_connections_limit", "As many may be (maxclients).", float64(t.MaxClients))
	m.counter("client_connections_refused_total", "Clients that were told that there are too many.", t.Refused)
	m.gauge("clients_held", "Clients that wait for a master.", float64(t.Held))
	for reason, n := range t.Sessions.Closes {
		m.counter("client_connections_closed_total", "Clients whose connection has ended, by reason.", n,
			label{"reason", session.CloseReason(reason).String()})
	}
}

func (m *metrics) requests(s *session.Stats) {
	m.counter("requests_total", "Requests taken from clients.", s.Requests)
	m.counter("replica_reads_total", "Reads sent to replicas.", s.Reads)
	for reason, n := range s.MasterReadsBy {
		m.counter("master_reads_total", "Reads sent to the master, by the reason why no replica answered them.", n,
			label{"reason", freshness.Reason(reason).String()})
	}
	m.counter("waited_reads_total", "Reads that waited for a replica to have what their session had seen.", s.CaughtUp)
	m.counter("writes_total", "Writes sent to the master.", s.Writes)
	m.counter("held_total", "Requests that had to wait for a master.", s.Held)
	m.counter("hold_timeouts_total", "Of them answered -MASTERDOWN.", s.HoldTimeouts)
	m.counter("redone_total", "Times that requests were sent again, or at last, on another connection.", s.Redone)
	m.counter("unknown_results_total", "Writes answered -UNKNOWNRESULT.", s.Unknown)
	m.counter("durable_writes_total", "Writes answered when enough replicas had them.", s.Durable)
	m.counter("unreplicated_writes_total", "Writes answered -UNREPLICATED.", s.Unreplicated)
	m.counter("protocol_errors_total", "Clients that sent what is not RESP.", s.ProtocolErrors)
	m.counter("unheard_members_total", "Times that another member did not answer in time what is asked of all.", s.Unheard)
}

func (m *metrics) node(r *admin.Row) {
	addr := label{"node", r.Addr}
	seconds := func(d time.Duration) float64 { return d.Seconds() }
	m.gauge("node_info", "Role and health of a node; the value is 1.", 1, addr, label{"role", r.Role}, label{"health", r.Health}, label{"version", r.Version})
	m.gauge("node_up", "1 unless the node is held down.", number(!r.Down), addr)
	m.gauge("node_replication_offset_bytes", "Replication offset of the node.", float64(r.Offset), addr)
	m.gauge("node_lag_bytes", "How far a replica is behind the master.", float64(r.LagBytes), addr)
	m.gauge("node_lag_seconds", "For how long a replica has been behind.", seconds(r.LagTime), addr)
	m.counter("node_requests_total", "Requests sent to the node.", r.Traffic.Requests, addr)
	m.gauge("node_connections", "Connections to the node for clients.", float64(r.Traffic.Conns), addr)
	m.gauge("node_latency_seconds", "Time until the node answers a request, smoothed.", seconds(r.Traffic.Latency), addr)
	m.gauge("node_probe_seconds", "Time until the node answers a probe, smoothed.", seconds(r.Latency), addr)
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
