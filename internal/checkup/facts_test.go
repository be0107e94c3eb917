package checkup

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
)

func configFor(addr string) monitor.Config {
	cfg := monitor.Defaults()
	cfg.Cluster, cfg.ID, cfg.Nodes = "shop", "check", []string{addr}
	return cfg
}

func TestGatherAsksEveryNodeOfARealCluster(t *testing.T) {
	cluster := testcluster.New(t, 1, "--requirepass", "secret", "--maxmemory", "100mb")
	cfg := configFor(cluster.Nodes[1].Addr)
	cfg.Password = "secret"
	f, err := Gather(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Nodes) != 2 || !f.Nodes[0].Master || f.Nodes[0].Addr != cluster.Nodes[0].Addr || f.Nodes[1].Master || f.Nodes[1].Addr != cluster.Nodes[1].Addr {
		t.Fatalf("the nodes are %+v", f.Nodes)
	}
	for i, n := range f.Nodes {
		if n.Version == "" || n.Config["maxmemory"] != "104857600" || len(n.Users) != 1 || filepath.Dir(n.File) != cluster.Nodes[i].Dir {
			t.Errorf("%s: version %q, maxmemory %q, %d users, file %q", n.Addr, n.Version, n.Config["maxmemory"], len(n.Users), n.File)
		}
	}
	if !f.Nodes[1].InSync || f.Nodes[1].Priority != 100 {
		t.Errorf("the replica in sync is %+v", f.Nodes[1])
	}
}

func TestANodeThatAsksForNoPasswordIsToldAndNoError(t *testing.T) {
	cluster := testcluster.New(t, 1)
	master, replica := cluster.Nodes[0], cluster.Nodes[1]
	if _, err := master.Do("CONFIG", "SET", "requirepass", "secret"); err != nil {
		t.Fatal(err)
	}
	cfg := configFor(replica.Addr)
	cfg.Password = "secret"
	f, err := Gather(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if found := Judge(f, Settings{}); !slices.ContainsFunc(found, func(one Finding) bool { return strings.HasPrefix(one.Text, "requirepass differs") }) {
		t.Errorf("found %v", found)
	}
}

func TestANodeThatForbidsQuestionsIsNoError(t *testing.T) {
	cluster := testcluster.New(t, 1)
	for _, n := range cluster.Nodes {
		if _, err := n.Do("ACL", "SETUSER", "curious", "on", ">pw", "+info", "+client|setname", "+ping"); err != nil {
			t.Fatal(err)
		}
	}
	cfg := configFor(cluster.Nodes[0].Addr)
	cfg.Username, cfg.Password = "curious", "pw"
	f, err := Gather(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := f.Nodes[0]; n.Config != nil || n.Users != nil || n.Clients != nil || n.Version == "" {
		t.Errorf("a user who may only use INFO learns %+v", n)
	}
	if found := Judge(f, Settings{}); !slices.ContainsFunc(found, func(one Finding) bool { return strings.Contains(one.Text, "CONFIG GET is not allowed") }) {
		t.Errorf("found %v", found)
	}
}

func TestNamesOfClientsAreFound(t *testing.T) {
	redis := testcluster.NewRedis(t)
	conn, err := redis.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Do("CLIENT", "SETNAME", "understudy:shop:web-1"); err != nil {
		t.Fatal(err)
	}
	f, err := Gather(t.Context(), configFor(redis.Addr))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(f.Nodes[0].Clients, "understudy:shop:web-1") {
		t.Errorf("the clients are %q", f.Nodes[0].Clients)
	}
}

func TestGatherFailsAsDiscoveryDoes(t *testing.T) {
	if _, err := Gather(t.Context(), configFor("127.0.0.1:1")); !errors.Is(err, monitor.ErrUnreachable) {
		t.Errorf("no node gives %v", err)
	}
}

func TestAServerThatHasReadItsOwnFileBackHasTheSameUsers(t *testing.T) {
	cluster := testcluster.New(t, 1)
	restarted := cluster.Nodes[1]
	if _, err := restarted.Do("CONFIG", "REWRITE"); err != nil {
		t.Fatal(err)
	}
	if err := restarted.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	users := func() bool {
		t.Helper()
		f, err := Gather(t.Context(), configFor(cluster.Nodes[0].Addr))
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Nodes) != 2 || f.Nodes[0].Users == nil || f.Nodes[1].Users == nil {
			t.Fatalf("the users of the nodes: %+v", f.Nodes)
		}
		return slices.ContainsFunc(Judge(f, Settings{}), func(one Finding) bool { return strings.Contains(one.Text, "list of users") })
	}
	if err := cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if users() {
		t.Error("plain servers, one of which was restarted, are said to have different users")
	}
	if _, err := restarted.Do("ACL", "SETUSER", "default", "skip-sanitize-payload"); err != nil {
		t.Fatal(err)
	}
	if !users() {
		t.Error("a user that really differs is not told")
	}
}
