package topology

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/internal/testcluster"
)

// gem does in ZooKeeper what a client of redis_failover 1.0 does: its calls, in their order.
type gem struct {
	t    *testing.T
	zk   *zk.Conn
	root string
}

// newGem connects a client to a folder of this test, which the returned path names.
func newGem(t *testing.T, servers string) *gem {
	t.Helper()
	c, root := operator(t, servers)
	return &gem{t, c, root + "-ruby/redis_failover"}
}

// nodes is Client#fetch_nodes: the master ("" for none), the slaves, and when the znode was last written.
func (g *gem) nodes() (master string, slaves []string, there bool, version int32) {
	g.t.Helper()
	data, stat, _, err := g.zk.GetW(g.root + "/nodes")
	if errors.Is(err, zk.ErrNoNode) {
		return "", nil, false, 0
	}
	if err != nil {
		g.t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(data, &decoded); err != nil {
		g.t.Fatalf("%q: %v", data, err)
	}
	list, ok := decoded["slaves"].([]any)
	if !ok {
		g.t.Fatalf("new_clients_for(*nodes[:slaves]) of %q fails", data)
	}
	for _, slave := range list {
		slaves = append(slaves, slave.(string))
	}
	if _, ok := decoded["unavailable"].([]any); !ok {
		g.t.Fatalf("%q has no list of unavailable nodes", data)
	}
	master, _ = decoded["master"].(string)
	return master, slaves, true, stat.Version
}

func (g *gem) await(master string, slaves ...string) {
	g.t.Helper()
	testcluster.WaitFor(g.t, fmt.Sprintf("master %q and slaves %q to be published", master, slaves), func() bool {
		m, s, there, _ := g.nodes()
		return there && m == master && slices.Equal(s, slaves)
	})
}

// manualFailover is ManualFailover#perform.
func (g *gem) manualFailover(text string) {
	g.t.Helper()
	path := g.root + "/manual_failover"
	if _, err := g.zk.Create(path, nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
		g.t.Fatal(err)
	}
	if _, err := g.zk.Set(path, []byte(text), -1); err != nil {
		g.t.Fatal(err)
	}
}

// taken waits until what was written to manual_failover has been taken away.
func (g *gem) taken() {
	g.t.Helper()
	testcluster.WaitFor(g.t, "the text to be taken away", func() bool {
		data, _, err := g.zk.Get(g.root + "/manual_failover")
		return err == nil && len(data) == 0
	})
}

// rubyConfig is the configuration of a member that serves the gem's clients.
func rubyConfig(t *testing.T, g *gem, servers, id string) ZooKeeperConfig {
	cfg := memberConfig(t, servers, id)
	cfg.LegacyRoot = g.root
	return cfg
}

// served is a client that follows the State of two members, of which a leads.
func served(t *testing.T) (g *gem, a, b *ZooKeeper) {
	t.Helper()
	servers := sharedZooKeeper(t)
	g = newGem(t, servers)
	a = open(t, rubyConfig(t, g, servers, "a"))
	leaderOf(t, a)
	b = open(t, rubyConfig(t, g, servers, "b"))
	update(t, a, example())
	g.await("127.0.0.1:7001", "127.0.0.1:7002")
	return g, a, b
}

// sentences collects what is logged.
type sentences struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *sentences) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sentences) count(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), part)
}

func (s *sentences) log() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

func TestClientsOfRedisFailoverReadTheStateInTheirWords(t *testing.T) {
	s := example()
	s.Replicas = append(s.Replicas,
		Replica{Node: Node{Addr: "127.0.0.1:7004"}, Health: Syncing}, Replica{Node: Node{Addr: "127.0.0.1:7005"}, Health: Online})
	promoting := fencing(s)
	promoting.Phase, promoting.Failover.Choice = Promoting, "127.0.0.1:7002"
	for _, c := range []struct {
		state *State
		want  string
	}{
		{s, `{"master":"127.0.0.1:7001","slaves":["127.0.0.1:7002","127.0.0.1:7005"],"unavailable":["127.0.0.1:7003","127.0.0.1:7004"]}`},
		{fencing(s), `{"master":null,"slaves":["127.0.0.1:7002","127.0.0.1:7005"],"unavailable":["127.0.0.1:7001","127.0.0.1:7003","127.0.0.1:7004"]}`},
		{promoting, `{"master":null,"slaves":["127.0.0.1:7005"],"unavailable":["127.0.0.1:7001","127.0.0.1:7002","127.0.0.1:7003","127.0.0.1:7004"]}`},
		{&State{Phase: Stable, Master: Node{Addr: "m:1"}}, `{"master":"m:1","slaves":[],"unavailable":[]}`},
	} {
		got, err := legacyText(c.state)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.state.Phase, got, err, c.want)
		}
	}
}

func TestClientsOfRedisFailoverFollowAFailoverAndTheNextLeader(t *testing.T) {
	g, a, b := served(t)
	update(t, a, fencing(example()))
	g.await("", "127.0.0.1:7002")
	after := stable(4)
	after.Master.Addr, after.Replicas, after.Unavailable = "127.0.0.1:7002", nil, []Node{{Addr: "127.0.0.1:7001"}, {Addr: "127.0.0.1:7003"}}
	update(t, a, after)
	g.await("127.0.0.1:7002")

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, b)
	testcluster.WaitFor(t, "the newest State", func() bool { return b.Snapshot().State.Equal(after) })
	after = after.Clone()
	after.Replicas, after.Unavailable = []Replica{{Node: Node{Addr: "127.0.0.1:7001"}, Health: Online}}, after.Unavailable[1:]
	update(t, b, after)
	g.await("127.0.0.1:7002", "127.0.0.1:7001")
}

func TestTheZnodeOfRedisFailoversClientsComesBackAndIsKeptFresh(t *testing.T) {
	servers := sharedZooKeeper(t)
	g := newGem(t, servers)
	a := open(t, rubyConfig(t, g, servers, "a"))
	leaderOf(t, a)
	update(t, a, example())
	g.await("127.0.0.1:7001", "127.0.0.1:7002")
	if err := g.zk.Delete(g.root+"/nodes", -1); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.await("127.0.0.1:7001", "127.0.0.1:7002")
	if took := time.Since(began); took > legacyRefresh/2 {
		t.Errorf("it was back after %v", took)
	}
	// A client that sees no event for 9 s (ZNODE_UPDATE_TIMEOUT) reads the znode before every command.
	_, _, _, version := g.nodes()
	testcluster.WaitWithin(t, 9*time.Second, "an event although nothing has changed", func() bool {
		_, _, _, now := g.nodes()
		return now > version
	})
}

func TestAManualFailoverOfRedisFailoversClientsIsOneRequest(t *testing.T) {
	g, a, b := served(t)

	g.manualFailover("ANY_SLAVE")
	g.taken()
	g.manualFailover("127.0.0.1:7002")
	g.taken()
	asked := func(z *ZooKeeper) (targets []string) {
		for _, r := range z.Requests() {
			if r.Kind != Switchover || !strings.Contains(r.By, g.root+"/manual_failover") || r.At.IsZero() {
				t.Errorf("request %+v", r)
			}
			targets = append(targets, r.Target)
		}
		return targets
	}
	want := []string{"", "127.0.0.1:7002"}
	testcluster.WaitFor(t, "both members to know of two requests", func() bool {
		return reflect.DeepEqual(asked(a), want) && reflect.DeepEqual(asked(b), want)
	})
	// The next leader takes up what was written while nobody led, and nothing twice.
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	g.manualFailover("127.0.0.1:7002")
	leaderOf(t, b)
	g.taken()
	testcluster.WaitFor(t, "the third request", func() bool { return len(asked(b)) == 3 })
	g.await("127.0.0.1:7001", "127.0.0.1:7002")
	if got := asked(b); len(got) != 3 {
		t.Errorf("requests %q", got)
	}
}

func TestAManualFailoverThatMeansNothingOrIsOldIsToldOnceAndNotCarriedOut(t *testing.T) {
	servers := sharedZooKeeper(t)
	g := newGem(t, servers)
	for i, r := range g.root {
		if r == '/' && i > 0 || i == len(g.root)-1 {
			path := g.root[:i]
			if i == len(g.root)-1 {
				path = g.root
			}
			if _, err := g.zk.Create(path, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.manualFailover("127.0.0.1:7002") // years ago, to the gem's own manager
	log := new(sentences)
	cfg := rubyConfig(t, g, servers, "a")
	cfg.Log = log.log()
	a := open(t, cfg)
	leaderOf(t, a)
	update(t, a, example())
	g.taken()
	testcluster.WaitFor(t, "a sentence about the old one", func() bool { return log.count("before this member stood for leader") == 1 })
	for _, text := range []string{"any slave", "host", "host:", ":6379", "host:port", "host:70000", "host:0"} {
		told := log.count("words that mean nothing")
		g.manualFailover(text)
		g.taken()
		testcluster.WaitFor(t, "a sentence about "+text, func() bool { return log.count("words that mean nothing") == told+1 })
	}
	if got := a.Requests(); len(got) != 0 {
		t.Errorf("requests %+v", got)
	}
}

func TestNothingIsPublishedWhileAManagerOfRedisFailoverRuns(t *testing.T) {
	servers := sharedZooKeeper(t)
	g := newGem(t, servers)
	manager := g.root + "/manager_node_state/host.example-4711"
	for i, r := range manager {
		if r == '/' && i > 0 {
			if _, err := g.zk.Create(manager[:i], nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := g.zk.Create(manager, []byte("{}"), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	log := new(sentences)
	cfg := rubyConfig(t, g, servers, "a")
	cfg.Log = log.log()
	a := open(t, cfg)
	leaderOf(t, a)
	update(t, a, example())
	testcluster.WaitFor(t, "a sentence about the manager", func() bool { return log.count("host.example-4711") == 1 })
	if _, _, there, _ := g.nodes(); there {
		t.Error("something was published")
	}
	if err := g.zk.Delete(manager, -1); err != nil {
		t.Fatal(err)
	}
	g.await("127.0.0.1:7001", "127.0.0.1:7002")
}

func TestClientsOfRedisFailoverNeedNoPasswordToRead(t *testing.T) {
	servers := sharedZooKeeper(t)
	g := newGem(t, servers)
	cfg := rubyConfig(t, g, servers, "a")
	cfg.Auth = "understudy:secret"
	a := open(t, cfg)
	leaderOf(t, a)
	update(t, a, example())
	g.await("127.0.0.1:7001", "127.0.0.1:7002")
	if _, err := g.zk.Set(g.root+"/nodes", []byte("{}"), -1); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("a stranger writes what they read: %v", err)
	}
}

func TestThePathOfRedisFailoversZnodesIsChecked(t *testing.T) {
	for path, ok := range map[string]bool{"/redis_failover": true, "/a/b": true, "redis": false, "/": false, "/a/": false, "/a//b": false, "/..": false} {
		cfg := ZooKeeperConfig{Servers: "zk", Cluster: "c", ID: "a", LegacyRoot: path}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A member that lets another one lead and leads again in the same session stands anew, and what was written in between is no wish of today.
func TestAManualFailoverOfBeforeTheNewestCandidacyIsNotCarriedOut(t *testing.T) {
	servers := sharedZooKeeper(t)
	g := newGem(t, servers)
	log := new(sentences)
	cfg := memberConfig(t, servers, "a")
	cfg.Log = log.log()
	a := open(t, cfg)
	leaderOf(t, a)
	update(t, a, example())
	s := a.session.Load()
	l := &legacy{s: s, root: g.root, acl: a.acl} // which serves when it is told to
	serve := func() {
		if err := l.serve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	serve()
	g.manualFailover("127.0.0.1:7002")
	standAnew(t, s)
	serve()
	g.taken()
	if told, got := log.count("before this member stood for leader"), a.Requests(); told != 1 || len(got) != 0 {
		t.Errorf("told %d times, requests %+v", told, got)
	}
}
