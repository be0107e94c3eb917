package web

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// source shows what it holds.
type source struct{ atomic.Pointer[admin.Overview] }

func (s *source) Overview() admin.Overview { return *s.Load() }

// afterFailover is what there is to see when a master was replaced and one replica is down.
func afterFailover() *admin.Overview {
	o := &admin.Overview{
		Identity: admin.Identity{Version: "v1", Cluster: "shop <b>", ID: "web-1"},
		Since:    time.Now().Add(-time.Hour),
		State: &topology.State{Epoch: 7, Phase: topology.Stable, Master: topology.Node{Addr: "10.0.0.2:6379"},
			Paused: &topology.Paused{Since: time.Now(), By: "anna", Reason: "new kernel"}},
		Authority: topology.Authority{Source: topology.Endless},
		Traffic: admin.Traffic{Clients: 12, MaxClients: 100, Refused: 3, Held: 2,
			Sessions: session.Stats{Requests: 1000, Reads: 600, Writes: 300, Unknown: 4}},
		Failovers: []admin.Failover{
			{Epoch: 3, Cause: "an older one", From: "a:1", To: "b:1", Began: time.Unix(1600000000, 0), Duration: time.Second},
			{Epoch: 7, Cause: "master 10.0.0.1:6379 is down", From: "10.0.0.1:6379", To: "10.0.0.2:6379", Began: time.Unix(1700000000, 0), Duration: 43210 * time.Microsecond},
		},
		Alarms: []string{"a node cannot rewrite its configuration"},
		Nodes: []admin.Row{
			{Node: admin.Node{Addr: "10.0.0.2:6379", Version: "7.0.15", Offset: 5000}, Role: "master", Health: "online",
				Traffic: upstream.NodeStats{Requests: 400, Conns: 3, Latency: 250 * time.Microsecond}},
			{Node: admin.Node{Addr: "10.0.0.3:6379", Down: true, Reason: "connection refused", LagBytes: 2048, LagTime: 20 * time.Millisecond}, Role: "replica", Health: "down"},
		},
	}
	o.Traffic.Sessions.Closes[session.ByQuit] = 5
	o.Traffic.Sessions.MasterReadsBy[freshness.ByKeys], o.Traffic.Sessions.MasterReadsBy[freshness.ByBlocking] = 70, 30
	return o
}

// serve answers HTTP until the end of the test.
func serve(t *testing.T) (s *Server, get func(path string) (status int, text string)) {
	t.Helper()
	s, err := Listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &http.Client{Timeout: 10 * time.Second}
	t.Cleanup(c.CloseIdleConnections)
	return s, func(path string) (int, string) {
		t.Helper()
		r, err := c.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(text)
	}
}

func TestAProcessIsAliveFromTheStartAndReadyFromTheFirstMasterUntilItIsToldToEnd(t *testing.T) {
	s, get := serve(t)
	expect := func(when, path string, status int, text string) {
		t.Helper()
		if got, body := get(path); got != status || body != text+"\n" {
			t.Errorf("%s: %s answers %d %q, want %d %q", when, path, got, body, status, text)
		}
	}
	expect("at the start", "/livez", 200, "ok")
	expect("at the start", "/readyz", 503, "no master is known yet")
	expect("at the start", "/", 503, "no master is known yet")
	var shown source
	shown.Store(&admin.Overview{})
	s.Show(&shown)
	expect("without a State", "/readyz", 503, "no master is known yet")
	fencing := afterFailover()
	fencing.State.Phase, fencing.Authority.Source = topology.Fencing, topology.NoGrant
	shown.Store(fencing)
	expect("in a failover", "/readyz", 200, "ok") // its clients are held, and are better off here than nowhere
	idle := afterFailover()
	idle.Authority.Namesake = "another process has the id web-1"
	shown.Store(idle)
	expect("without an id of its own", "/readyz", 503, "another process has the id web-1")
	expect("without an id of its own", "/livez", 200, "ok") // a restart would change nothing
	s.Drain()
	expect("at the end", "/readyz", 503, "this process is about to end")
	expect("at the end", "/livez", 200, "ok")
	if status, _ := get("/nothing"); status != 404 {
		t.Errorf("an unknown path answers %d", status)
	}
}

func TestMetricsTellWhatIsKnown(t *testing.T) {
	s, get := serve(t)
	if status, text := get("/metrics"); status != 200 || strings.Contains(text, "understudy_") || !strings.Contains(text, "go_goroutines") {
		t.Errorf("at the start: %d\n%s", status, text)
	}
	var shown source
	shown.Store(afterFailover())
	s.Show(&shown)
	status, text := get("/metrics")
	if status != 200 {
		t.Fatalf("%d\n%s", status, text)
	}
	for _, line := range []string{
		`understudy_build_info{version="v1"} 1`,
		`understudy_epoch 7`,
		`understudy_phase{phase="stable"} 1`,
		`understudy_phase{phase="fencing"} 0`,
		`understudy_paused 1`,
		`understudy_write_permitted 1`,
		`understudy_alarms 1`,
		`understudy_last_failover_timestamp_seconds 1.7e+09`,
		`understudy_last_failover_duration_seconds 0.04321`,
		`understudy_client_connections 12`,
		`understudy_client_connections_limit 100`,
		`understudy_client_connections_refused_total 3`,
		`understudy_client_connections_closed_total{reason="quit"} 5`,
		`understudy_client_connections_closed_total{reason="peer"} 0`,
		`understudy_clients_held 2`,
		`understudy_requests_total 1000`,
		`understudy_replica_reads_total 600`,
		`understudy_master_reads_total{reason="written_key"} 70`,
		`understudy_master_reads_total{reason="blocking"} 30`,
		`understudy_master_reads_total{reason="policy"} 0`,
		`understudy_writes_total 300`,
		`understudy_unknown_results_total 4`,
		`understudy_node_info{health="online",node="10.0.0.2:6379",role="master",version="7.0.15"} 1`,
		`understudy_node_up{node="10.0.0.3:6379"} 0`,
		`understudy_node_lag_bytes{node="10.0.0.3:6379"} 2048`,
		`understudy_node_requests_total{node="10.0.0.2:6379"} 400`,
		`understudy_node_latency_seconds{node="10.0.0.2:6379"} 0.00025`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

func TestThePageShowsTheClusterAndTakesNothingForMarkup(t *testing.T) {
	s, get := serve(t)
	var shown source
	shown.Store(afterFailover())
	s.Show(&shown)
	status, text := get("/")
	if status != 200 {
		t.Fatalf("%d\n%s", status, text)
	}
	for _, part := range []string{"shop &lt;b&gt;", "Master <b>10.0.0.2:6379</b>, epoch 7", "paused</span> for", "by anna: new kernel",
		"a node cannot rewrite its configuration", "10.0.0.3:6379<td>replica<td><span class=\"bad\">down</span> <span class=\"dim\">connection refused</span>",
		"2.0 KB", "43.21ms", "master 10.0.0.1:6379 is down"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if newest, older := strings.Index(text, "is down<"), strings.Index(text, "an older one"); older < 0 || newest > older {
		t.Errorf("the latest change of master is not the first: %d, %d", newest, older)
	}
}

func TestAnAddressInUseIsSaid(t *testing.T) {
	s, _ := serve(t)
	addr := s.Addr().String()
	if _, err := Listen(addr, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v", err)
	}
}
