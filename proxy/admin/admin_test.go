package admin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// world is everything that an Admin looks at.
type world struct {
	state           *topology.State
	report          admin.Report
	traffic         admin.Traffic
	members         []topology.Member
	*topology.Local // for requests
}

func (w *world) Snapshot() topology.Snapshot { return topology.Snapshot{State: w.state, Version: 1} }
func (w *world) Watch(f func(topology.Snapshot)) (stop func()) {
	f(w.Snapshot())
	return func() {}
}
func (w *world) Members(context.Context) ([]topology.Member, error) { return w.members, nil }
func (w *world) Report() admin.Report                               { return w.report }
func (w *world) Traffic() admin.Traffic                             { return w.traffic }

// admin returns an Admin of this world.
func (w *world) admin() *admin.Admin { return w.adminOf(w) }

// adminOf returns an Admin of this world that has another view of the agreement.
func (w *world) adminOf(cluster admin.Cluster) *admin.Admin {
	if w.Local == nil {
		local, err := topology.OpenLocal(topology.LocalConfig{Cluster: "shop", ID: "web-1"})
		if err != nil {
			panic(err) // without a file it only refuses an empty configuration
		}
		w.Local = local
	}
	a := admin.New(admin.Identity{Version: "v1", Cluster: "shop", ID: "web-1", ClusterIdentity: "0123abcd"}, cluster, w)
	a.Count(w)
	return a
}

// afterFailover is a cluster whose old master is dead and one of whose replicas loads.
func afterFailover() *world {
	return &world{
		state: &topology.State{
			Format: topology.Format, Cluster: "shop", Epoch: 7, Phase: topology.Stable,
			Master: topology.Node{Addr: "10.0.0.2:6379", RunID: "bbb"},
			Replicas: []topology.Replica{
				{Node: topology.Node{Addr: "10.0.0.3:6379", RunID: "ccc"}, Health: topology.Online, Priority: 100},
				{Node: topology.Node{Addr: "10.0.0.4:6379"}, Health: topology.Loading, Priority: 100},
			},
			Unavailable: []topology.Node{{Addr: "10.0.0.1:6379", RunID: "aaa"}, {Addr: "10.0.0.5:6379"}},
		},
		report: admin.Report{
			Nodes: []admin.Node{
				{Addr: "10.0.0.1:6379", RunID: "aaa", Link: "up", Down: true, Reason: "connection refused", Since: time.Now().Add(-90 * time.Second)},
				{Addr: "10.0.0.2:6379", RunID: "bbb", Version: "7.0.15", Offset: 5000, Latency: 300 * time.Microsecond, Heard: time.Now()},
				{Addr: "10.0.0.3:6379", RunID: "ccc", Aliases: []string{"r3:6379", "r3.lan:6379"}, Offset: 4900, LagBytes: 100, LagTime: 20 * time.Millisecond,
					Follows: "10.0.0.2:6379", Link: "up", Priority: 100},
				{Addr: "10.0.0.4:6379", Error: "LOADING Redis is loading the dataset in memory"},
			},
			Failovers: []admin.Failover{
				{Epoch: 3, Cause: "an older one"},
				{Epoch: 7, Cause: "master 10.0.0.1:6379 is down: connection refused", From: "10.0.0.1:6379", To: "10.0.0.2:6379",
					Began: time.Unix(1700000000, 0), Duration: 43210 * time.Microsecond},
			},
			Alarms: []string{"a node is\r\nmissing"},
		},
		traffic: admin.Traffic{
			Clients: 12, MaxClients: 100, Refused: 3, Held: 2,
			Sessions: session.Stats{Requests: 1000, Reads: 600, Writes: 300, Held: 9, HoldTimeouts: 1, Redone: 8, Unknown: 4, ProtocolErrors: 5,
				Closes: closes(session.ByPeer, 40, session.ByQuit, 2), MasterReadsBy: masterReads(70, 30)},
			Nodes: []upstream.NodeStats{
				{Addr: "10.0.0.2:6379", Master: true, Requests: 400, Latency: 250 * time.Microsecond, Conns: 3},
				{Addr: "10.0.0.3:6379", Requests: 600, Latency: 150 * time.Microsecond, Conns: 1},
			},
		},
	}
}

// closes builds the counters of close reasons from pairs of a reason and its count.
func closes(pairs ...any) (s [len(session.Stats{}.Closes)]uint64) {
	for i := 0; i < len(pairs); i += 2 {
		s[pairs[i].(session.CloseReason)] = uint64(pairs[i+1].(int))
	}
	return s
}

// masterReads builds the counters of reads that went to the master because of a written key, and because they block.
func masterReads(keys, blocking uint64) (s [freshness.Reasons]uint64) {
	s[freshness.ByKeys], s[freshness.ByBlocking] = keys, blocking
	return s
}

// lines splits a section of INFO into its fields and fails the test when it is not one.
func lines(t *testing.T, text string) map[string]string {
	t.Helper()
	rest, ok := strings.CutPrefix(text, "# Understudy\r\n")
	if !ok || !strings.HasSuffix(rest, "\r\n") {
		t.Fatalf("this is no section of INFO: %q", text)
	}
	fields := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSuffix(rest, "\r\n"), "\r\n") {
		key, value, ok := strings.Cut(line, ":")
		if _, twice := fields[key]; !ok || twice || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q is no key:value, or its key is there twice", line)
		}
		fields[key] = value
	}
	return fields
}

func TestInfoTellsIdentityStateTrafficAndTheLastFailover(t *testing.T) {
	got := lines(t, afterFailover().admin().Info())
	want := map[string]string{
		"understudy_version": "v1", "understudy_uptime_in_seconds": "0", "cluster": "shop", "member_id": "web-1",
		"epoch": "7", "phase": "stable", "master": "10.0.0.2:6379", "replicas": "2", "replicas_online": "1", "unavailable": "2",
		"client_connections": "12", "client_connections_limit": "100", "client_connections_refused": "3", "clients_held": "2",
		"requests": "1000", "total_reads": "700", "replica_reads": "600", "reads": "600", "master_reads": "100", "master_reads_written_key": "70", "master_reads_blocking": "30",
		"master_reads_policy": "0", "writes": "300", "held": "9", "hold_timeouts": "1", "redone": "8",
		"unknown_results": "4", "protocol_errors": "5", "closed_peer": "40", "closed_quit": "2", "closed_shutdown": "0",
		"failovers": "2", "last_failover_epoch": "7", "last_failover_cause": "master 10.0.0.1:6379 is down: connection refused",
		"last_failover_from": "10.0.0.1:6379", "last_failover_to": "10.0.0.2:6379", "last_failover_time": "1700000000", "last_failover_duration_ms": "43.210",
		"alarms": "1", "alarm0": "a node is  missing",
		"node0": "addr=10.0.0.2:6379,role=master,health=online,offset=5000,lag=0,lag_ms=0,link=,requests=400,connections=3,latency_us=250",
		"node1": "addr=10.0.0.3:6379,role=replica,health=online,offset=4900,lag=100,lag_ms=20,link=up,requests=600,connections=1,latency_us=150",
		"node2": "addr=10.0.0.4:6379,role=replica,health=loading,offset=0,lag=0,lag_ms=0,link=,requests=0,connections=0,latency_us=0",
		"node3": "addr=10.0.0.1:6379,role=none,health=down,offset=0,lag=0,lag_ms=0,link=,requests=0,connections=0,latency_us=0",
		"node4": "addr=10.0.0.5:6379,role=none,health=returning,offset=0,lag=0,lag_ms=0,link=,requests=0,connections=0,latency_us=0",
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
}

func TestInfoBeforeAnythingIsKnownIsAWholeSection(t *testing.T) {
	a := admin.New(admin.Identity{Version: "v1", Cluster: "c", ID: "i"}, &world{Local: newLocal(t)}, &world{})
	got := lines(t, a.Info())
	if got["epoch"] != "0" || got["failovers"] != "0" || got["requests"] != "0" {
		t.Errorf("a new member says %v", got)
	}
	if _, ok := got["master"]; ok {
		t.Errorf("it names the master %q and knows none", got["master"])
	}
}

func TestNoFieldOfInfoHasANameThatRedisUses(t *testing.T) {
	redis, err := testcluster.NewRedis(t).Info("everything")
	if err != nil {
		t.Fatal(err)
	}
	if redis["connected_clients"] == "" {
		t.Fatalf("INFO everything has no connected_clients: %v", redis)
	}
	for key := range lines(t, afterFailover().admin().Info()) {
		if _, ok := redis[key]; ok {
			t.Errorf("a client that reads all of INFO into one dictionary finds our %s instead of the server's", key)
		}
	}
}

func newLocal(t *testing.T) *topology.Local {
	t.Helper()
	local, err := topology.OpenLocal(topology.LocalConfig{Cluster: "shop", ID: "web-1"})
	if err != nil {
		t.Fatal(err)
	}
	return local
}

// led is a world with a leader that is another member.
type led struct {
	*world
	raised topology.Alarms
}

func (l *led) Raised() topology.Alarms { return l.raised }

func TestAlarmsOfTheLeaderAreToldByEveryMemberAfterItsOwn(t *testing.T) {
	w := &led{world: afterFailover(), raised: topology.Alarms{By: "web-2", Texts: []string{"nobody can\r\ntake over"}}}
	w.Local = newLocal(t)
	a := admin.New(admin.Identity{Version: "v1", Cluster: "shop", ID: "web-1"}, w, w)
	t.Cleanup(a.Close)
	got := lines(t, a.Info())
	for key, value := range map[string]string{"alarms": "2", "alarm0": "a node is  missing", "alarm1": "nobody can  take over",
		"alarms_of_leader": "1", "alarms_leader": "web-2"} {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
	w.raised.By = "web-1" // the leader itself knows better
	if got := lines(t, a.Info()); got["alarms"] != "1" || got["alarms_of_leader"] != "0" {
		t.Errorf("the leader tells of %s alarms, %s of them its own leader's", got["alarms"], got["alarms_of_leader"])
	}
}
