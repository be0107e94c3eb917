package proxy_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// do runs a command on a connection of its own to a node or to the proxy.
func do(t *testing.T, addr, cmd string, args ...any) any {
	t.Helper()
	r, err := dial(t, addr).Do(cmd, args...)
	if err != nil {
		t.Fatalf("%s %v: %v", cmd, args, err)
	}
	return r
}

func errorPrefix(err error, prefix string) bool {
	var e redis.Error
	return errors.As(err, &e) && strings.HasPrefix(string(e), prefix)
}

func runID(t *testing.T, n *testcluster.Redis) string {
	t.Helper()
	info, err := n.Info("server")
	if err != nil {
		t.Fatal(err)
	}
	return info["run_id"]
}

func TestAServerThatIsNotTheRunInTheStateGetsNothing(t *testing.T) {
	cluster := testcluster.New(t, 0)
	node := cluster.Nodes[0]
	addr, coord := start(t, cluster, func(s *topology.State) { s.Master.RunID = strings.Repeat("0", 40) },
		func(c *proxy.Config) { c.HoldTimeout = 200 * time.Millisecond })
	conn := dial(t, addr)
	if _, err := conn.Do("SET", "a", "1"); !errorPrefix(err, "MASTERDOWN ") {
		t.Fatalf("SET to a stranger: %v, want MASTERDOWN after the hold", err)
	}
	if n := do(t, node.Addr, "DBSIZE"); n != int64(0) {
		t.Fatalf("the stranger has %v keys", n)
	}
	snapshot := coord.Snapshot()
	next := snapshot.State.Clone()
	next.Epoch++
	next.Master.RunID = runID(t, node)
	if err := coord.Update(t.Context(), snapshot.Version, next); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Do("SET", "a", "1"); err != nil {
		t.Fatalf("SET once the State names it: %v", err)
	}
}

func TestAReplicaThatRefusesAUserIsPassedOver(t *testing.T) {
	cluster := testcluster.New(t, 2)
	for i, n := range cluster.Nodes {
		if i != 1 { // ACLs are not replicated: the first replica does not know the user
			do(t, n.Addr, "ACL", "SETUSER", "bob", "on", ">secret", "~*", "&*", "+@all")
		}
	}
	addr, _ := start(t, cluster, nil, nil)
	do(t, cluster.Nodes[0].Addr, "SET", "fixed", "value")
	if err := cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		conn := dial(t, addr)
		if _, err := conn.Do("AUTH", "bob", "secret"); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if v, err := redis.String(conn.Do("GET", "fixed")); err != nil || v != "value" {
				t.Fatalf("GET: %q, %v", v, err)
			}
		}
	}
	if who := do(t, addr, "GET", "fixed"); string(who.([]byte)) != "value" {
		t.Fatalf("GET as the default user: %v", who)
	}
}

func TestReadsAvoidAReplicaThatHangs(t *testing.T) {
	cluster := testcluster.New(t, 2)
	addr, coord := start(t, cluster, nil, nil)
	do(t, cluster.Nodes[0].Addr, "SET", "fixed", "value")
	if err := cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func(conn redis.Conn) error {
		v, err := redis.String(conn.Do("GET", "fixed"))
		if err == nil && v != "value" {
			err = errors.New("GET returned " + v)
		}
		return err
	}
	var conns []redis.Conn
	for range 20 {
		c := dial(t, addr)
		if err := read(c); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	hung := cluster.Nodes[1]
	if err := hung.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hung.Resume() })
	// One client after the other reads. The first that meets the hung replica waits until it leaves the State; the
	// others see by it that the replica does not answer.
	done := make(chan error, len(conns))
	waiting := 0
	for _, c := range conns {
		go func() { done <- read(c) }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Second):
			waiting++
		}
	}
	if waiting > 2 {
		t.Errorf("%d of %d clients were sent to a replica that does not answer", waiting, len(conns))
	}
	snapshot := coord.Snapshot()
	next := snapshot.State.Clone()
	for i, r := range next.Replicas {
		if r.Addr == hung.Addr {
			next.Unavailable = append(next.Unavailable, r.Node)
			next.Replicas = append(next.Replicas[:i], next.Replicas[i+1:]...)
			break
		}
	}
	if err := coord.Update(t.Context(), snapshot.Version, next); err != nil {
		t.Fatal(err)
	}
	for range waiting {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryPolicyReadsWhereItSays(t *testing.T) {
	cluster := testcluster.New(t, 1)
	addr := func(p session.Policy) string {
		a, _ := start(t, cluster, nil, func(c *proxy.Config) { c.Listen[0].Policy = p })
		return a
	}
	master, replica := cluster.Nodes[0], cluster.Nodes[1]
	for _, test := range []struct {
		name   string
		policy session.Policy
		want   *testcluster.Redis // that reads after a write
	}{
		{"strong", session.Strong, master},
		{"eventual: its own writes do not matter", session.Eventual, replica},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := dial(t, addr(test.policy))
			if _, err := conn.Do("SET", "a", "1"); err != nil {
				t.Fatal(err)
			}
			before := getCalls(t, test.want)
			for range 10 {
				if _, err := conn.Do("GET", "a"); err != nil {
					t.Fatal(err)
				}
			}
			if n := getCalls(t, test.want) - before; n != 10 {
				t.Errorf("%d of 10 reads went to the expected node", n)
			}
		})
	}
}

func getCalls(t *testing.T, n *testcluster.Redis) int {
	t.Helper()
	info, err := n.Info("commandstats")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Split(info["cmdstat_get"], ",") {
		if v, ok := strings.CutPrefix(field, "calls="); ok {
			c, err := redis.Int([]byte(v), nil)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	return 0
}

func TestALeftOverSocketFileIsReplacedAndALiveOneIsNot(t *testing.T) {
	cluster := testcluster.New(t, 0)
	dir, err := os.MkdirTemp("", "understudy") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	unix := func(c *proxy.Config) { c.Listen = []proxy.Listen{{Network: "unix", Addr: path}} }
	_, coord := start(t, cluster, nil, unix)
	c, err := redis.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Do("PING"); err != nil {
		t.Fatal(err)
	}
	cfg := proxy.Defaults()
	unix(&cfg)
	if _, err := proxy.New(cfg, coord, noAdmin{}, discard); err == nil || !strings.Contains(err.Error(), "another process serves") {
		t.Errorf("a second proxy on the same socket: %v", err)
	}
}
