package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
)

const (
	// gatherInterval is how often the loops are asked for their counters when nobody looks at them.
	gatherInterval = time.Second
	// gatherPause is how old counters must be for a look at them to have newer ones fetched.
	gatherPause = 50 * time.Millisecond
)

// Meter keeps copies of what the loops of a Proxy count, so that anybody can look at them without waiting. A copy is
// up to a second old; looking has a new one made for whoever looks next.
type Meter struct {
	proxy *Proxy

	mu    sync.Mutex
	asked time.Time
	loops []loopCount
	past  map[string]uint64 // by address: requests that were sent to a node in roles that it no longer has
}

// loopCount is the last copy of one loop's counters.
type loopCount struct {
	sessions session.Stats
	nodes    []upstream.NodeStats
	held     int
}

var _ admin.Counter = (*Meter)(nil)

// NewMeter returns the meter of p; one is enough.
func NewMeter(p *Proxy) *Meter {
	return &Meter{proxy: p, loops: make([]loopCount, len(p.workers)), past: make(map[string]uint64)}
}

// Run keeps the copies from becoming older than a second until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	tick := time.NewTicker(gatherInterval)
	defer tick.Stop()
	for {
		m.gather(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gather has every loop leave a copy of its counters, in its own time.
func (m *Meter) gather(now time.Time) {
	m.mu.Lock()
	late := now.Sub(m.asked) >= gatherPause
	if late {
		m.asked = now
	}
	m.mu.Unlock()
	if !late {
		return
	}
	for i, w := range m.proxy.workers {
		w.loop.Post(func() {
			m.take(i, loopCount{sessions: w.env.Stats, nodes: w.pool.Nodes(), held: w.pool.Held()})
		})
	}
}

// take replaces the copy of one loop.
func (m *Meter) take(index int, now loopCount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, was := range m.loops[index].nodes {
		// A loop forgets what it sent to a node when the node changes its role, and its count begins anew.
		if find(now.nodes, was.Addr).Requests < was.Requests {
			m.past[was.Addr] += was.Requests
		}
	}
	m.loops[index] = now
}

// Traffic implements admin.Counter.
func (m *Meter) Traffic() admin.Traffic {
	m.gather(time.Now())
	t := admin.Traffic{
		Clients:    m.proxy.Clients(),
		MaxClients: m.proxy.cfg.MaxClients,
		Refused:    uint64(m.proxy.refused.Load()),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.loops {
		l := &m.loops[i]
		t.Held += l.held
		addSessions(&t.Sessions, &l.sessions)
		for _, n := range l.nodes {
			t.Nodes = addNode(t.Nodes, n)
		}
	}
	for addr, requests := range m.past {
		t.Nodes = addNode(t.Nodes, upstream.NodeStats{Addr: addr, Requests: requests})
	}
	slices.SortFunc(t.Nodes, func(a, b upstream.NodeStats) int { return cmp.Compare(a.Addr, b.Addr) })
	return t
}

// find returns what is said of the node at addr; zeros if nothing is.
func find(nodes []upstream.NodeStats, addr string) upstream.NodeStats {
	for _, n := range nodes {
		if n.Addr == addr {
			return n
		}
	}
	return upstream.NodeStats{}
}

func addSessions(sum, s *session.Stats) {
	sum.Requests += s.Requests
	sum.Reads += s.Reads
	for reason, n := range s.MasterReadsBy {
		sum.MasterReadsBy[reason] += n
	}
	sum.CaughtUp += s.CaughtUp
	sum.Writes += s.Writes
	sum.Held += s.Held
	sum.HoldTimeouts += s.HoldTimeouts
	sum.Redone += s.Redone
	sum.Unknown += s.Unknown
	sum.Durable += s.Durable
	sum.Unreplicated += s.Unreplicated
	sum.ProtocolErrors += s.ProtocolErrors
	sum.Unheard += s.Unheard
	for reason, n := range s.Closes {
		sum.Closes[reason] += n
	}
}

// addNode adds what one loop knows of a node to what others do. The largest latency counts: it is the one that some
// clients see.
func addNode(sum []upstream.NodeStats, n upstream.NodeStats) []upstream.NodeStats {
	for i := range sum {
		if s := &sum[i]; s.Addr == n.Addr {
			s.Requests += n.Requests
			s.Conns += n.Conns
			s.Latency = max(s.Latency, n.Latency)
			return sum
		}
	}
	return append(sum, n)
}
