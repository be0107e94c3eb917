package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// connect returns a client of the Understudy that has logged ready.
func connect(t *testing.T, ready string) (conn redis.Conn, addr string) {
	t.Helper()
	addr, _, _ = strings.Cut(field(t, ready, "listen"), ",")
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, addr
}

func do(t *testing.T, conn redis.Conn, command string, args ...any) any {
	t.Helper()
	reply, err := conn.Do(command, args...)
	if err != nil {
		t.Fatalf("%s %v: %v", command, args, err)
	}
	return reply
}

func TestRunServesThroughAFailoverAndRemembersItAfterARestart(t *testing.T) {
	t.Parallel()
	cluster := testcluster.New(t, 2)
	master := cluster.Nodes[0]
	state := filepath.Join(t.TempDir(), "state.json")
	socket := t.TempDir() + "/u.sock"
	args := []string{"run", "--nodes", cluster.Nodes[1].Addr, "--listen", "127.0.0.1:0", "--listen", "unix:" + socket + ",policy=replica,mode=0606",
		"--state", state, "--cluster", "shop", "--id", "web-1"}

	p := start(t, nil, args...)
	ready := p.logged("msg=ready")
	if field(t, ready, "master") != master.Addr || field(t, ready, "epoch") != "1" || field(t, ready, "replicas") != "2" {
		t.Errorf("found: %s", ready)
	}
	if file, err := os.Stat(socket); err != nil || file.Mode().Perm() != 0o606 {
		t.Errorf("the socket: %v, %v", file, err)
	}
	conn, addr := connect(t, ready)
	do(t, conn, "SET", "key", "before")
	status, stdout, stderr := once(t, nil, "status", "--addr", addr)
	for _, w := range []string{"member web-1 of cluster shop", master.Addr + ", epoch 1, stable", "2 of 2 online", "last failover  none"} {
		if status != 0 || stderr != "" || !strings.Contains(stdout, w) {
			t.Errorf("status %d, %q, without %q:\n%s", status, stderr, w, stdout)
		}
	}

	testcluster.WaitFor(t, "the write to be counted, and for the master", func() bool {
		info, err := redis.String(conn.Do("INFO", "understudy"))
		return err == nil && strings.Contains(info, "\r\nwrites:1\r\n") && strings.Contains(info, "\r\nclient_connections:1\r\n") &&
			regexp.MustCompile(`\r\nnode0:addr=`+master.Addr+`,role=master,health=online,.*,requests=[1-9]`).MatchString(info)
	})

	if err := master.Kill(); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "SET", "key", "after")
	successor := ""
	testcluster.WaitFor(t, "the status to tell of the failover", func() bool {
		_, stdout, _ = once(t, nil, "status", "--addr", addr)
		for _, n := range cluster.Nodes[1:] {
			if strings.Contains(stdout, fmt.Sprintf("epoch 2, from %s to %s, ", master.Addr, n.Addr)) {
				successor = n.Addr
			}
		}
		return successor != ""
	})
	status, stdout, stderr = once(t, nil, "nodes", "--addr", addr)
	rows := strings.Split(stdout, "\n")
	if status != 0 || stderr != "" || len(rows) != 5 {
		t.Fatalf("status %d, %q, nodes:\n%s", status, stderr, stdout)
	}
	for i, want := range [][]string{{"NODE", "ROLE", "HEALTH"}, {successor, "master", "online"}, 3: {master.Addr, "none", "down"}} {
		if got := strings.Fields(rows[i]); want != nil && !slices.Equal(got[:3], want) {
			t.Errorf("row %d begins with %q, want %q", i, got[:3], want)
		}
	}
	if !strings.HasSuffix(rows[3], "connection refused") {
		t.Errorf("the dead node's row does not say why: %s", rows[3])
	}
	conn.Close()
	p.signal(syscall.SIGHUP)
	p.logged("SIGHUP changes nothing")
	p.signal(syscall.SIGTERM)
	if status := p.exit(); status != 0 {
		t.Errorf("after SIGTERM the status is %d", status)
	}

	if err := master.Restart(t.Context()); err != nil { // it says that it is master, too
		t.Fatal(err)
	}
	p = start(t, nil, args...)
	ready = p.logged("msg=ready")
	if field(t, ready, "master") != successor || field(t, ready, "epoch") != "2" {
		t.Errorf("after a restart: %s", ready)
	}
	conn, _ = connect(t, ready)
	if got, err := redis.String(do(t, conn, "GET", "key"), nil); got != "after" || err != nil {
		t.Errorf("key is %q, %v", got, err)
	}
	testcluster.WaitFor(t, "the old master to be a replica", func() bool {
		info, err := master.Info("replication")
		return err == nil && info["role"] == "slave"
	})
	conn.Close()
	p.signal(syscall.SIGINT)
	if status := p.exit(); status != 0 {
		t.Errorf("after SIGINT the status is %d", status)
	}
}

func TestRunLogsJSONAndKeepsItsStateAtHome(t *testing.T) {
	t.Parallel()
	server := testcluster.NewRedis(t)
	p := start(t, []string{"UNDERSTUDY_NODES=" + server.Addr, "UNDERSTUDY_LISTEN=127.0.0.1:0", "UNDERSTUDY_LOG_FORMAT=json"}, "run")
	var ready struct{ Master, State string }
	if err := json.Unmarshal([]byte(p.logged(`"msg":"ready"`)), &ready); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(p.home, ".local", "state", "understudy", "default.json"); ready.State != want || ready.Master != server.Addr {
		t.Errorf("ready says %+v, the state should be in %s", ready, want)
	}
	text, err := os.ReadFile(ready.State)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := topology.Decode(text); err != nil || s.Master.Addr != server.Addr {
		t.Errorf("the file holds %+v, %v", s, err)
	}
	p.signal(syscall.SIGTERM)
	if status := p.exit(); status != 0 {
		t.Errorf("the status is %d", status)
	}
}

func TestRunWarnsOfProblemsAndTwoProcessesDoNotShareAState(t *testing.T) {
	t.Parallel()
	server := testcluster.NewRedis(t)
	args := []string{"run", "--nodes", server.Addr, "--listen", "127.0.0.1:0", "--state", filepath.Join(t.TempDir(), "state.json")}
	p := start(t, nil, args...)
	p.logged("msg=ready")
	p.logged("level=WARN", "msg=check", server.Addr+" has no replica")
	p.logged("level=WARN", "msg=check", server.Addr+" keeps nothing on disk")
	if status, _, stderr := once(t, nil, args...); status != 1 || !strings.Contains(stderr, "another Understudy") {
		t.Errorf("the second ends with %d: %s", status, stderr)
	}
}

func TestAStateOfOtherNodesIsRefused(t *testing.T) {
	t.Parallel()
	one, other := testcluster.NewRedis(t), testcluster.NewRedis(t)
	state := filepath.Join(t.TempDir(), "state.json")
	p := start(t, nil, "run", "--nodes", one.Addr, "--listen", "127.0.0.1:0", "--state", state)
	p.logged("msg=ready")
	p.signal(syscall.SIGTERM)
	p.exit()
	status, _, stderr := once(t, nil, "run", "--nodes", other.Addr, "--listen", "127.0.0.1:0", "--state", state)
	if status != 1 || !strings.Contains(stderr, state) || !strings.Contains(stderr, one.Addr) || !strings.Contains(stderr, "--cluster") {
		t.Errorf("it ends with %d: %s", status, stderr)
	}
}

func TestCheckLooksAtZooKeeper(t *testing.T) {
	t.Parallel()
	cluster := testcluster.New(t, 1, "--appendonly", "yes")
	file := write(t, "nodes: ["+cluster.Nodes[0].Addr+"]\nzookeeper: 127.0.0.1:1/nope\n")
	status, stdout, _ := once(t, nil, "check", file)
	if want := "problem: ZooKeeper cannot be reached: no session with 127.0.0.1:1 within 10s"; status != 1 || !strings.Contains(stdout, want) {
		t.Errorf("status %d, without %q:\n%s", status, want, stdout)
	}
}

func TestCheckTellsWhatItFoundAndWhetherThatIsWell(t *testing.T) {
	t.Parallel()
	cluster := testcluster.New(t, 2, "--appendonly", "yes")
	file := write(t, "nodes: ["+cluster.Nodes[0].Addr+"]\n")
	status, stdout, stderr := once(t, nil, "check", file)
	if status != 0 || stderr != "" || !strings.HasSuffix(stdout, "no problems\n") {
		t.Errorf("status %d, %q:\n%s", status, stderr, stdout)
	}
	for i, n := range cluster.Nodes {
		if role := map[bool]string{true: "master ", false: "replica"}[i == 0]; !strings.Contains(stdout, role+"  "+n.Addr+"  redis-server ") {
			t.Errorf("%s is not listed as %s:\n%s", n.Addr, role, stdout)
		}
	}
	if _, err := cluster.Nodes[2].Do("CONFIG", "SET", "maxmemory", "1gb"); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = once(t, nil, "check", file)
	if status != 1 || stderr != "" || !strings.Contains(stdout, "problem: maxmemory is ") || !strings.HasSuffix(stdout, "problems: 1\n") {
		t.Errorf("status %d, %q:\n%s", status, stderr, stdout)
	}
}

func TestWhatIsOfNoUseIsSaidAtTheStartAndByCheck(t *testing.T) {
	node := testcluster.NewRedis(t)
	p := start(t, nil, "run", "--nodes", node.Addr, "--listen", "127.0.0.1:0", "--state", filepath.Join(t.TempDir(), "s.json"), "--no-failsafe")
	p.logged("level=WARN", "no-failsafe is of no use without zookeeper")
	_, stdout, _ := once(t, nil, "check", write(t, "nodes: ["+node.Addr+"]\nfailsafe: false\n"))
	if !strings.Contains(stdout, "note: no-failsafe is of no use") {
		t.Errorf("check says %q", stdout)
	}
}

func TestStatusWithAPasswordPointsToTheAdminPortWhileNobodyCanVerifyIt(t *testing.T) {
	node := testcluster.NewRedis(t, "--requirepass", "secret")
	p := start(t, []string{"UNDERSTUDY_PASSWORD=secret"}, "run", "--nodes", node.Addr, "--listen", "127.0.0.1:0", "--state", filepath.Join(t.TempDir(), "s.json"))
	addr := field(t, p.logged("msg=ready"), "listen")
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := once(t, nil, "status", "--addr", addr, "--password", "secret")
	if status != 1 || !strings.Contains(stderr, "cannot be verified") || !strings.Contains(stderr, "--admin") || strings.Contains(stderr, "start one") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestASignalDuringTheStartEndsWell(t *testing.T) {
	// A server that accepts and never answers keeps the start waiting.
	server := testcluster.NewRedis(t)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, err := defaultOptions("--nodes", server.Addr, "--listen", "127.0.0.1:0", "--state", filepath.Join(t.TempDir(), "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(ctx, o, o.logger(&streams{t.Output(), t.Output()}), nil); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestTheUserOfTheDocumentsIsEnoughForAFailoverAndASwitchover(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\nACL SETUSER ")
	rules, _, _ := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("docs/operations.md has no ACL SETUSER")
	}
	cluster := testcluster.New(t, 2)
	for _, n := range cluster.Nodes {
		args := []any{"ACL", "SETUSER"}
		for rule := range strings.FieldsSeq(rules) {
			args = append(args, rule)
		}
		if _, err := n.Do(args...); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Do("CONFIG", "REWRITE"); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, []string{"UNDERSTUDY_USERNAME=understudy", "UNDERSTUDY_PASSWORD=SECRET"},
		"run", "--nodes", strings.Join(cluster.Addrs(), ","), "--listen", "127.0.0.1:0")
	conn, addr := connect(t, p.logged("msg=ready"))
	if err := cluster.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "SET", "key", "value")
	if err := cluster.Nodes[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := cluster.WaitInSync(ctx); err != nil {
		t.Error(err)
	}
	testcluster.WaitFor(t, "two replicas that may take over", func() bool {
		_, stdout, _ := once(t, nil, "status", "--addr", addr)
		return strings.Contains(stdout, "2 of 2 online")
	})
	before, err := cluster.Master()
	if err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := once(t, nil, "failover", "--addr", addr); status != 0 {
		t.Errorf("the switchover ends with %d: %s", status, stderr)
	}
	if after, err := cluster.Master(); err != nil || after == before {
		t.Errorf("the master is %v after %s (%v)", after, before.Addr, err)
	}
	if log := p.err.String(); strings.Contains(log, "NOPERM") {
		t.Error("something was not permitted")
	}
}
