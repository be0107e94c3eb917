package proxy

import (
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
)

// meterOf returns a meter of loops that never run: its copies are what take is given.
func meterOf(loops int) *Meter {
	return &Meter{proxy: &Proxy{cfg: Config{MaxClients: 10}}, loops: make([]loopCount, loops), past: map[string]uint64{}}
}

func sent(addr string, requests uint64) []upstream.NodeStats {
	return []upstream.NodeStats{{Addr: addr, Requests: requests, Conns: 1, Latency: time.Duration(requests)}}
}

func TestTrafficIsTheSumOfAllLoops(t *testing.T) {
	m := meterOf(2)
	m.proxy.clients.Store(7)
	m.proxy.refused.Store(2)
	first := session.Stats{Requests: 1, Reads: 2, Writes: 4, Held: 5, HoldTimeouts: 6, Redone: 7, Unknown: 8, ProtocolErrors: 9}
	first.Closes[session.ByQuit] = 10
	first.MasterReadsBy[freshness.ByKeys] = 3
	second := first
	second.MasterReadsBy[freshness.ByBlocking] = 2
	second.Closes[session.ByShutdown] = 1
	m.take(0, loopCount{sessions: first, nodes: append(sent("b:1", 30), sent("a:1", 20)...), held: 1})
	m.take(1, loopCount{sessions: second, nodes: sent("a:1", 5), held: 2})

	got := m.Traffic()
	want := session.Stats{Requests: 2, Reads: 4, Writes: 8, Held: 10, HoldTimeouts: 12, Redone: 14, Unknown: 16, ProtocolErrors: 18}
	want.MasterReadsBy[freshness.ByKeys], want.MasterReadsBy[freshness.ByBlocking] = 6, 2
	want.Closes[session.ByQuit], want.Closes[session.ByShutdown] = 20, 1
	if got.Sessions != want {
		t.Errorf("sessions are %+v, want %+v", got.Sessions, want)
	}
	if got.Clients != 7 || got.MaxClients != 10 || got.Refused != 2 || got.Held != 3 {
		t.Errorf("clients %d of %d, refused %d, held %d", got.Clients, got.MaxClients, got.Refused, got.Held)
	}
	if len(got.Nodes) != 2 || got.Nodes[0] != (upstream.NodeStats{Addr: "a:1", Requests: 25, Conns: 2, Latency: 20}) || got.Nodes[1].Requests != 30 {
		t.Errorf("nodes are %+v", got.Nodes)
	}
}

func TestRequestsToANodeOnlyGrowWhateverBecomesOfIt(t *testing.T) {
	m := meterOf(1)
	requests := func() uint64 {
		for _, n := range m.Traffic().Nodes {
			if n.Addr == "a:1" {
				return n.Requests
			}
		}
		return 0
	}
	for _, step := range []struct {
		what  string
		nodes []upstream.NodeStats
		want  uint64
	}{
		{"a master", sent("a:1", 100), 100},
		{"more of them", sent("a:1", 150), 150},
		{"it came into another role and is counted anew", sent("a:1", 10), 160},
		{"it is dead and no loop speaks of it", sent("b:1", 1), 160},
		{"still", sent("b:1", 2), 160},
		{"it is back", sent("a:1", 4), 164},
	} {
		m.take(0, loopCount{nodes: step.nodes})
		if got := requests(); got != step.want {
			t.Fatalf("%s: %d requests, want %d", step.what, got, step.want)
		}
	}
}
