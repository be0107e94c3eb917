package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcert"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// optionsOf parses a command line of run.
func optionsOf(t *testing.T, args ...string) *options {
	t.Helper()
	var c cli
	file := &fileResolver{}
	parser, err := newParser(&c, file, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(parser, file, append([]string{"run"}, args...)); err != nil {
		t.Fatal(err)
	}
	return &c.Run.options
}

func TestWhoSetsNothingGetsTheDefaultsOfThePackages(t *testing.T) {
	o := optionsOf(t, "--id", "me")
	wantProxy := proxy.Defaults()
	wantProxy.ClientName = "understudy:default:me"
	if got := o.proxy(); !reflect.DeepEqual(got, wantProxy) {
		t.Errorf("proxy:\n%+v, want\n%+v", got, wantProxy)
	}
	wantMonitor := monitor.Defaults()
	wantMonitor.Cluster, wantMonitor.ID, wantMonitor.ClientName = "default", "me", "understudy:default:me"
	if got := o.monitor(); !reflect.DeepEqual(got, wantMonitor) {
		t.Errorf("monitor:\n%+v, want\n%+v", got, wantMonitor)
	}
}

func TestEveryOptionReachesTheConfigurationOfItsPackage(t *testing.T) {
	o := optionsOf(t, "--config", write(t, `
nodes: [a:1, b:2]
cluster: shop
id: web-1
username: user
password: secret
node-map: {x:1: y:1, "[::1]:2": z:2}
no-failover: c:3
listen:
  - :1
  - "[::1]:2,policy=replica"
  - unix:/run/u.sock,policy=master,mode=0660
maxclients: 7
timeout: 1m
tcp-keepalive: 0s
input-limit: 4mb
output-limit: 2mb
loops: 2
hold-timeout: 3s
switchover-timeout: 1400ms
ambiguous-writes: close
consistency: strong
sample-interval: 4ms
max-catch-up: 5ms
touch-rate: 70
max-staleness: 60ms
max-clock-skew: 70ms
zone: a
node-zones:
  "a:1": a
replica-weights:
  "b:2": 0
drain-timeout: 5s
max-failures: 6
down-after: 7s
stall-after: 8s
probe-interval: 9s
max-lag: 2k
max-lag-time: 11s
max-link-down: 12s
fence-timeout: 13s
zookeeper: zk:1
publish-redis-failover: true
failover: off
node-strategy: consensus
required-monitors: 14
max-failovers: 15
failover-period: 16m
failback-delay: 17s
allow-debug: true
pubsub-limit: 3mb
pubsub-soft-limit: 1mb
pubsub-soft-time: 18s
write-acks: 2
write-acks-timeout: 19s
`))
	wantProxy := proxy.Config{
		Listen: []proxy.Listen{
			{Network: "tcp", Addr: ":1"}, {Network: "tcp", Addr: "[::1]:2", Policy: session.Eventual},
			{Network: "unix", Addr: "/run/u.sock", Policy: session.Strong, Mode: 0o660},
		},
		Loops: 2, MaxClients: 7, ClientName: "understudy:shop:web-1", Username: "user", Password: "secret", HoldTimeout: 3 * time.Second,
		TouchRate:       70,
		CommandInterval: 30 * time.Second, // no option
		DrainTimeout:    5 * time.Second, Consistency: session.Strong, SampleInterval: 4 * time.Millisecond, MaxCatchUp: 5 * time.Millisecond, MaxStaleness: 60 * time.Millisecond, MaxClockSkew: 70 * time.Millisecond,
		Zone: "a", NodeZones: map[string]string{"a:1": "a"}, Weights: map[string]int{"b:2": 0}, IdleTimeout: time.Minute, CloseAmbiguous: true, AllowDebug: true, InputLimit: 4 << 20, OutputLimit: 2 << 20,
		Push: session.PushLimit{Hard: 3 << 20, Soft: 1 << 20, Time: 18 * time.Second}, WriteAcks: 2, WriteAcksTimeout: 19 * time.Second,
	}
	if got := o.proxy(); !reflect.DeepEqual(got, wantProxy) {
		t.Errorf("proxy:\n%+v, want\n%+v", got, wantProxy)
	}
	wantMonitor := monitor.Defaults()
	wantMonitor.Cluster, wantMonitor.ID, wantMonitor.ClientName = "shop", "web-1", "understudy:shop:web-1"
	wantMonitor.Nodes, wantMonitor.NoFailover = []string{"a:1", "b:2"}, []string{"c:3"}
	wantMonitor.NodeMap = map[string]string{"x:1": "y:1", "[::1]:2": "z:2"}
	wantMonitor.Username, wantMonitor.Password = "user", "secret"
	wantMonitor.MaxFailures, wantMonitor.DownAfter, wantMonitor.StallAfter, wantMonitor.ProbeInterval = 6, 7*time.Second, 8*time.Second, 9*time.Second
	wantMonitor.MaxLagBytes, wantMonitor.MaxLagTime, wantMonitor.MaxLinkDown, wantMonitor.FenceTimeout = 2000, 11*time.Second, 12*time.Second, 13*time.Second
	wantMonitor.SwitchoverTimeout = 1400 * time.Millisecond
	wantMonitor.Follow, wantMonitor.NodeStrategy, wantMonitor.RequiredMonitors = true, monitor.Consensus, 14
	wantMonitor.WriteAcks = 2
	wantMonitor.MaxFailovers, wantMonitor.FailoverPeriod, wantMonitor.FailbackDelay = 15, 16*time.Minute, 17*time.Second
	if got := o.monitor(); !reflect.DeepEqual(got, wantMonitor) {
		t.Errorf("monitor:\n%+v, want\n%+v", got, wantMonitor)
	}
	if got := o.zookeeper(slog.New(slog.DiscardHandler)).LegacyRoot; got != "/redis_failover" {
		t.Errorf("znodes of redis_failover under %q", got)
	}
	if err := o.validate(); err != nil {
		t.Error(err)
	}
}

func TestTheOptionsOfZooKeeperReachItsConfiguration(t *testing.T) {
	authority := testcert.NewAuthority(t)
	pair := authority.Sign("member", time.Now().Add(time.Hour))
	t.Setenv("UNDERSTUDY_ZOOKEEPER_AUTH", "user:secret")
	o := optionsOf(t, "--config", write(t, `
nodes: a:1
cluster: shop
id: web-1
listen: :1
advertise: web-1:1
zookeeper: x:1,y:2/z
zookeeper-session-timeout: 20s
zookeeper-heartbeat: 2s
zookeeper-tick: 1s
zookeeper-tls: true
zookeeper-ca: `+authority.File+`
zookeeper-cert: `+pair.Cert+`
zookeeper-key: `+pair.Key+`
zookeeper-server-name: zk
cluster-identity: 01234567
`))
	got := o.zookeeper(nil)
	if got.Dial == nil {
		t.Error("TLS is not used")
	}
	got.Dial = nil
	want := topology.ZooKeeperConfig{
		Servers: "x:1,y:2/z", Cluster: "shop", ID: "web-1", Addr: "web-1:1", Auth: "user:secret", Identity: "01234567",
		SessionTimeout: 20 * time.Second, Heartbeat: 2 * time.Second, Tick: time.Second, FailsafeLimit: time.Hour,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ZooKeeper:\n%+v, want\n%+v", got, want)
	}
	if files, want := o.zookeeperFiles(), (topology.TLSFiles{CA: authority.File, Cert: pair.Cert, Key: pair.Key, ServerName: "zk"}); files != want {
		t.Errorf("files:\n%+v, want\n%+v", files, want)
	}
	if err := o.validate(); err != nil {
		t.Error(err)
	}
	if o := optionsOf(t, "--zookeeper", "x"); o.zookeeper(nil).Dial != nil {
		t.Error("TLS is used unasked")
	}
}

func TestTheClientsOfRedisFailoverAreServedWhereTheyLook(t *testing.T) {
	for _, c := range []struct {
		args     []string
		variable string
		want     legacyRoot
	}{
		{want: ""},
		{args: []string{"--publish-redis-failover"}, want: "/redis_failover"},
		{args: []string{"--publish-redis-failover", "--id=a"}, want: "/redis_failover"},
		{args: []string{"--publish-redis-failover=/shop/redis"}, want: "/shop/redis"},
		{args: []string{"--publish-redis-failover=false"}, variable: "/x", want: ""},
		{variable: "true", want: "/redis_failover"},
		{variable: "/x", want: "/x"},
		{variable: "false", want: ""},
	} {
		t.Setenv("UNDERSTUDY_PUBLISH_REDIS_FAILOVER", c.variable)
		if got := optionsOf(t, c.args...).PublishRedisFailover; got != c.want {
			t.Errorf("%q with the variable %q: %q, want %q", c.args, c.variable, got, c.want)
		}
	}
	if err := optionsOf(t, "--nodes=a:1", "--publish-redis-failover").validate(); err == nil || !strings.Contains(err.Error(), "needs zookeeper") {
		t.Errorf("without ZooKeeper: %v", err)
	}
}

func TestTheFlagWinsThenTheVariableThenTheFile(t *testing.T) {
	file := write(t, "down-after: 1m\nlisten: [':1', ':2']\n")
	if o := optionsOf(t, "--config", file); o.DownAfter != time.Minute || len(o.Listen) != 2 {
		t.Errorf("from the file: %v, %v", o.DownAfter, o.Listen)
	}
	t.Setenv("UNDERSTUDY_DOWN_AFTER", "2m")
	t.Setenv("UNDERSTUDY_LISTEN", ":3;:4,policy=master;:5")
	o := optionsOf(t, "--config", file)
	if o.DownAfter != 2*time.Minute || len(o.Listen) != 3 || o.Listen[1].Policy != session.Strong {
		t.Errorf("from the variables: %v, %v", o.DownAfter, o.Listen)
	}
	o = optionsOf(t, "--config", file, "--down-after", "3m", "--listen", ":6", "--listen", ":7,policy=split")
	if o.DownAfter != 3*time.Minute || len(o.Listen) != 2 || o.Listen[0].Addr != ":6" {
		t.Errorf("from the flags: %v, %v", o.DownAfter, o.Listen)
	}
	t.Setenv("UNDERSTUDY_CONFIG", file)
	t.Setenv("UNDERSTUDY_NODES", "a:1,b:2")
	if o := optionsOf(t); len(o.Nodes) != 2 || o.Config != file {
		t.Errorf("nodes %q, file %q", o.Nodes, o.Config)
	}
}

func TestAMapThatContradictsTheStateIsRefusedAsWhatItIs(t *testing.T) {
	state := &topology.State{
		Master:   topology.Node{Addr: "relay:1", Announced: "10.0.0.1:6379"},
		Replicas: []topology.Replica{{Node: topology.Node{Addr: "relay:2", Announced: "10.0.0.2:6379"}}},
	}
	o := &options{Zookeeper: "zk", Nodes: []string{"mine:2"}, NodeMap: map[string]string{"10.0.0.2:6379": "mine:2"}}
	err := sameCluster(t.Context(), state, o, "ZooKeeper zk")
	if err == nil || !strings.Contains(err.Error(), "announces 10.0.0.2:6379 at relay:2, and node-map has it at mine:2") || !strings.Contains(err.Error(), "the same node-map") {
		t.Errorf("the error is %v", err)
	}
	o.NodeMap = map[string]string{"10.0.0.2:6379": "relay:2"} // it is not the map then
	if err := sameCluster(t.Context(), state, o, "ZooKeeper zk"); err == nil || !strings.Contains(err.Error(), "is about the master relay:1") {
		t.Errorf("the error is %v", err)
	}
	o.Nodes = []string{"relay:2"}
	if err := sameCluster(t.Context(), state, o, "ZooKeeper zk"); err != nil {
		t.Error(err)
	}
}

func TestANodeIsKnownByAllItsNames(t *testing.T) {
	state := &topology.State{Master: topology.Node{Addr: "127.0.0.1:6379"}}
	if err := sameCluster(t.Context(), state, &options{Nodes: []string{"localhost:6379"}}, "state.json"); err != nil {
		t.Error(err)
	}
	if err := sameCluster(t.Context(), state, &options{Nodes: []string{"localhost:6380"}}, "state.json"); err == nil {
		t.Error("another port is another node")
	}
}

func TestAFileOfCommentsSetsNothing(t *testing.T) {
	if o := optionsOf(t, "--config", write(t, "# nothing\n")); o.Loops != proxy.Defaults().Loops {
		t.Errorf("loops is %d", o.Loops)
	}
}

func TestSizesAreReadAsInRedis(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "10": 10, "10b": 10, "1k": 1000, "1kb": 1024, "2M": 2e6, "2Mb": 2 << 20, "3g": 3e9, "3GB": 3 << 30,
	} {
		var got size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is read as %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "mb", "-1", "1.5mb", "1tb", "9999999999gb", "1 mb"} {
		var got size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
	for want, n := range map[string]size{"0": 0, "1023": 1023, "1kb": 1024, "64mb": 64 << 20, "3gb": 3 << 30, "1048577": 1<<20 + 1} {
		if got := n.String(); got != want {
			t.Errorf("%d is written %q, want %q", int64(n), got, want)
		}
	}
}

func TestTheStateIsKeptWhereTheSystemKeepsStates(t *testing.T) {
	dir := t.TempDir()
	o := &options{Cluster: "shop"}
	for _, c := range []struct{ state, xdg, home, want string }{
		{dir + "/systemd", dir + "/xdg", dir + "/home", dir + "/systemd/shop.json"},
		{dir + "/one:" + dir + "/two", "", "", dir + "/one/shop.json"},
		{"", dir + "/xdg", dir + "/home", dir + "/xdg/understudy/shop.json"},
		{"", "relative", dir + "/home", dir + "/home/.local/state/understudy/shop.json"},
		{"", "", "", ""},
	} {
		t.Setenv("STATE_DIRECTORY", c.state)
		t.Setenv("XDG_STATE_HOME", c.xdg)
		t.Setenv("HOME", c.home)
		got, err := o.statePath()
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v gives %q, %v", c, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "--state") {
			t.Errorf("%v does not say what to do", err)
		}
	}
	o.State = "/else/where.json"
	if got, err := o.statePath(); got != o.State || err != nil {
		t.Errorf("a named file gives %q, %v", got, err)
	}
}

func TestASwitchoverMayTakeNoMoreThanHalfOfWhatClientsWait(t *testing.T) {
	for hold, want := range map[string]time.Duration{"10s": 5 * time.Second, "3s": 1500 * time.Millisecond, "1m": 5 * time.Second, "0s": 5 * time.Second} {
		if got := optionsOf(t, "--nodes", "a:1", "--hold-timeout", hold).monitor().SwitchoverTimeout; got != want {
			t.Errorf("with a hold-timeout of %s a switchover may take %v, want %v", hold, got, want)
		}
	}
}

func TestAMemberKeepsItsNameOverARestartIfOthersMayWaitForIt(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	process := fmt.Sprintf("%s-%d", host, os.Getpid())
	for _, c := range []struct {
		want string
		args []string
	}{
		{"me", []string{"--id", "me", "--zookeeper", "zk"}},
		{host + "-6380", []string{"--zookeeper", "zk"}},
		{host + "-7000", []string{"--zookeeper", "zk", "--listen", "unix:/run/u.sock", "--listen", ":7000"}},
		{process, []string{"--zookeeper", "zk", "--listen", "127.0.0.1:0"}},
		{process, nil}, // alone: two of one name would not notice each other
		{process, []string{"--listen", ":7000"}},
	} {
		o := optionsOf(t, c.args...)
		if o.ID != c.want || o.monitor().ID != c.want || o.zookeeper(slog.New(slog.DiscardHandler)).ID != c.want {
			t.Errorf("%v: %s, want %s", c.args, o.ID, c.want)
		}
	}
}

func TestTheFailsafeIsOnUnlessItIsSwitchedOff(t *testing.T) {
	for want, args := range map[bool][]string{
		true:  {"--failsafe-limit", "10m"},
		false: {"--no-failsafe", "--failsafe-limit", "10m"},
	} {
		o := optionsOf(t, args...)
		if limit := o.zookeeper(slog.New(slog.DiscardHandler)).FailsafeLimit; o.Failsafe != want || limit != 10*time.Minute {
			t.Errorf("%v: %v, for at most %v", args, o.Failsafe, limit)
		}
	}
	if o := optionsOf(t, "--config", write(t, "failsafe: false\n")); o.Failsafe {
		t.Error("the file cannot switch it off")
	}
	o := optionsOf(t, "--nodes", "r:1", "--zookeeper", "zk", "--failsafe-limit", "1s")
	if err := o.validate(); err == nil || !strings.Contains(err.Error(), "failsafe-limit is 1s; it must be between") {
		t.Errorf("a limit below the session timeout: %v", err)
	}
}
