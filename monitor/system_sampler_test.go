package monitor

import (
	"time"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/topology"
)

const (
	simSampleInterval = 5 * time.Millisecond
	simProbeRetry     = 50 * time.Millisecond // how long a node is left alone that did not answer as it should
)

// simSampler finds out how far replicas are. Samples are the real ones (proxy/freshness); how nodes are asked for them
// follows upstream.Sampler. Nothing is asked unless durable writes wait: reads of replicas are not simulated.
type simSampler struct {
	*simFlow
	tracker  *freshness.Tracker // nil: there are no durable writes
	samples  *freshness.Samples
	reign    freshness.Reign
	master   *simProbe
	replicas []*simProbe
	looking  bool
}

func (s *simSampler) begin(f *simFlow) {
	if s.simFlow = f; f.plan.acks > 0 {
		s.tracker = freshness.NewTracker()
		s.tracker.OnProgress(func() { s.after(s.proc, 0, s.honour) })
		s.samples = s.tracker.NewSamples()
	}
}

// enroll follows a new State.
func (s *simSampler) enroll(a topology.Snapshot) {
	if s.tracker == nil {
		return
	}
	m, was := a.State.Master, s.reign
	if a.State.Phase == topology.Stable {
		s.reign = freshness.Reign{Epoch: a.State.Epoch, Master: freshness.Node{Addr: m.Addr, RunID: m.RunID}, ReplID: m.ReplID}
	}
	var nodes []freshness.Node
	for _, r := range a.State.Replicas {
		if r.Addr != m.Addr && (r.Health == topology.Online || s.rule == simAnyReplicaCounts) {
			nodes = append(nodes, freshness.Node{Addr: r.Addr, RunID: r.RunID})
		}
	}
	fresh := s.tracker.Enroll(a.Version, s.reign, nodes)
	if s.reign != was {
		s.samples = s.tracker.NewSamples()
	}
	if s.master == nil || s.reign != was || s.master.server.addr != m.Addr || s.master.run != m.RunID {
		s.master.close()
		s.master = &simProbe{simSampler: s, server: s.server(m.Addr), run: m.RunID}
	}
	earlier := s.replicas
	s.replicas = nil
	for i, n := range nodes {
		probe := &simProbe{simSampler: s, server: s.server(n.Addr), run: n.RunID, fresh: fresh[i]}
		for j, r := range earlier {
			if r != nil && r.server == probe.server && r.run == n.RunID && r.fresh == fresh[i] {
				probe, earlier[j] = r, nil
			}
		}
		s.replicas = append(s.replicas, probe)
	}
	for _, r := range earlier {
		r.close()
	}
}

// need has samples taken until there is one, and as long as anything waits.
func (s *simSampler) need(n uint64) {
	if s.tracker.Need(n); !s.looking {
		s.look()
	}
}

func (s *simSampler) look() {
	if s.looking = len(s.claims) > 0; !s.looking {
		return
	}
	s.after(s.proc, simSampleInterval, s.look)
	if s.master.verified && s.samples.Last() >= s.tracker.Needed() || !s.master.ask() {
		s.askReplicas()
	}
}

func (s *simSampler) askReplicas() {
	for _, r := range s.replicas {
		if r.fresh.AsOf() < s.tracker.Needed() {
			r.ask()
		}
	}
}

// sampled takes in what the master answered.
func (s *simSampler) sampled(n uint64, offset int64) {
	s.samples.Answered(n, offset)
	for _, r := range s.replicas {
		if r.verified {
			s.samples.Reached(r.fresh, r.offset, s.clock())
		}
	}
	s.askReplicas()
}

// have tells what each replica is known to have.
func (s *simSampler) have() (have []topology.Holding) {
	for _, r := range s.replicas {
		have = append(have, topology.Holding{Holder: topology.Holder{Addr: r.server.addr, RunID: r.run}, AsOf: r.fresh.AsOf()})
	}
	return have
}

// simProbe is the sampler's connection to one node. A new one asks for INFO, which tells whose history the node has; from
// then on ROLE is asked.
type simProbe struct {
	*simSampler
	server    *simServer
	run       string             // the process that State names
	fresh     *freshness.Replica // nil: the node is the master
	wire      *simWire
	asked     bool
	notBefore time.Duration
	sample    uint64 // that the master is asked for

	verified bool   // a replica's: it has the history of the master. The master's: its history is known
	history  string // the master's
	informed time.Duration
	follows  string // whom a replica follows; "": not known yet
	offset   int64
}

func (p *simProbe) close() {
	if p != nil && p.wire != nil {
		p.wire.close(p.proc)
		p.wire = nil
	}
}

// ask sends the next question if the node can be asked now, and reports whether it did.
func (p *simProbe) ask() bool {
	connected := p.wire.open(p.proc)
	if p.asked || p.now < p.notBefore || !connected && (!p.server.proc.alive || p.tenure.State.Phase != topology.Stable) {
		return false
	}
	if !connected {
		p.connect()
	}
	if p.asked = true; p.verified && p.fresh == nil {
		p.sample = p.samples.Begin(p.clock())
	}
	w, server, first := p.wire, p.server, !connected
	p.send(p.proc, server.proc, w, func() {
		if first {
			server.connect(w)
		}
		n := server.info()
		p.send(server.proc, p.proc, w, func() {
			if p.wire == w {
				p.asked = false
				p.told(n)
			}
		})
	})
	return true
}

func (p *simProbe) connect() {
	var w *simWire
	w = newWire(p.proc, p.server.proc, func() {
		if p.wire != w {
			return
		}
		p.wire, p.asked, p.verified, p.notBefore = nil, false, false, p.now+simProbeRetry/10
		if p.fresh != nil {
			p.fresh.Void() // what the node had may be gone with its process
		}
	})
	p.wire, p.verified = w, false
}

// told takes in an answer.
func (p *simProbe) told(n info) {
	switch {
	case n.RunID != p.run:
		p.close()
		p.fails()
	case p.fresh == nil && n.Role != roleMaster:
		p.fails()
	case p.fresh == nil && !p.verified:
		p.history, p.informed, p.verified = n.ReplID, p.now, true
		p.ask()
	case p.fresh == nil:
		p.sampled(p.sample, n.Offset)
	case !p.verified:
		p.introduced(n)
	default:
		p.reported(n)
	}
}

// introduced takes in a replica's answer to INFO.
func (p *simProbe) introduced(n info) {
	m := p.master
	switch {
	case !m.verified:
	case n.ReplID == m.history && n.LinkUp:
		p.verified, p.follows, p.offset = true, "", -1
		p.ask()
		return
	case n.ReplID != m.history && p.now-m.informed > time.Second:
		m.verified = false // it may have begun another history
	}
	p.fails()
}

// reported takes in a replica's answer to ROLE.
func (p *simProbe) reported(n info) {
	same := n.Role == roleReplica && (p.follows == "" || p.follows == n.Master)
	switch {
	case same && n.LinkUp:
		p.follows, p.offset = n.Master, n.Offset
		p.samples.Reached(p.fresh, n.Offset, p.clock())
		return
	case !same || n.Syncing:
		p.fresh.Void()
	}
	p.fails()
}

func (p *simProbe) fails() { p.verified, p.notBefore = false, p.now+simProbeRetry }
