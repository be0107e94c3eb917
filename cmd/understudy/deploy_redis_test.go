package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"go.yaml.in/yaml/v3"

	"github.com/understudy/understudy/internal/testcluster"
)

// example is a redis-server as the examples start it, on a port of its own.
type example struct {
	*testcluster.Program
	addr string // by its name
}

func (e *example) dial() (redis.Conn, error) {
	return redis.Dial("tcp", e.addr, redis.DialPassword("client-secret"), redis.DialConnectTimeout(5*time.Second), redis.DialReadTimeout(5*time.Second))
}

// replication is the server's INFO replication.
func (e *example) replication() (string, error) {
	conn, err := e.dial()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return redis.String(conn.Do("INFO", "replication"))
}

// is reports whether the server says all of this about its replication.
func (e *example) is(words ...string) bool {
	text, err := e.replication()
	for _, w := range words {
		if err != nil || !strings.Contains(text, w+"\r\n") {
			return false
		}
	}
	return true
}

// startExamples starts three servers by deploy/redis.sh. They know each other by name.
func startExamples(t *testing.T) []*example {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("..", "..", "deploy", "redis.sh"))
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*example
	master := ""
	for range 3 {
		number, release, err := testcluster.ReservePort()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(release)
		e := &example{addr: fmt.Sprintf("localhost:%d", number)}
		if master == "" {
			master = e.addr
		}
		dir := t.TempDir()
		e.Program, err = testcluster.StartProgram(t.Context(), testcluster.ProgramOptions{
			Path: "/bin/sh", Args: []string{script}, Dir: dir,
			Env: []string{"PATH=" + os.Getenv("PATH"), "NAME=localhost", "MASTER=" + master, "REDIS_PASSWORD=client-secret", "UNDERSTUDY_PASSWORD=own-secret",
				fmt.Sprintf("PORT=%d", number), "DATA=" + dir},
			Ready: func() error { _, err := e.replication(); return err },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Kill(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, e)
	}
	return nodes
}

func TestTheServersOfTheExamplesKeepTheirRolesOverAFailoverAndARestart(t *testing.T) {
	t.Parallel()
	nodes := startExamples(t)
	testcluster.WaitFor(t, "two replicas", func() bool { return nodes[0].is("role:master", "connected_slaves:2") })
	for _, n := range nodes[1:] {
		testcluster.WaitFor(t, "a replica in sync", func() bool { return n.is("role:slave", "master_host:localhost", "master_link_status:up") })
	}
	addrs := []string{nodes[0].addr, nodes[1].addr, nodes[2].addr}
	p := start(t, []string{"UNDERSTUDY_USERNAME=understudy", "UNDERSTUDY_PASSWORD=own-secret"},
		"run", "--nodes", strings.Join(addrs, ","), "--listen", "127.0.0.1:0", "--cluster", "shop")
	line := p.logged("msg=ready")
	if field(t, line, "master") != nodes[0].addr || field(t, line, "replicas") != "2" {
		t.Errorf("it begins with %s", line)
	}
	conn, addr := connect(t, line)
	do(t, conn, "AUTH", "client-secret")
	do(t, conn, "SET", "key", "value")
	// The probe of the examples asks as Understudy's own user.
	if status, _, stderr := once(t, []string{"UNDERSTUDY_USERNAME=understudy", "UNDERSTUDY_PASSWORD=own-secret", "UNDERSTUDY_ADDR=" + addr}, "status"); status != 0 {
		t.Errorf("the probe ends with %d: %s", status, stderr)
	}
	if err := nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	do(t, conn, "SET", "key", "after")
	var master *example
	for _, n := range nodes[1:] {
		if n.is("role:master") {
			master = n
		}
	}
	if master == nil {
		t.Fatal("no replica became master")
	}
	if err := nodes[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, masterPort, _ := strings.Cut(master.addr, ":")
	follows := func(n *example) func() bool {
		return func() bool {
			return n.is("role:slave", "master_host:localhost", "master_port:"+masterPort, "master_link_status:up")
		}
	}
	for _, n := range nodes {
		if n != master {
			testcluster.WaitFor(t, "a replica of the new master", follows(n))
		}
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.exit()
	// Everything is restarted, and nobody is there to put the roles right.
	for _, n := range nodes {
		if err := n.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !master.is("role:master") {
		t.Error("the master came back as a replica")
	}
	for _, n := range nodes {
		if n != master {
			testcluster.WaitFor(t, "a replica of the master that was made", follows(n))
		}
	}
	if log := p.err.String(); strings.Contains(log, "NOPERM") {
		t.Error("something was not permitted")
	} else if strings.Contains(log, "refuses what the master accepts") {
		t.Error("all nodes want a password, and one was said to differ from the master in that")
	}
}

func TestTheServersOfTheExamplesHaveTheUserOfTheDocuments(t *testing.T) {
	rules := func(name, begin, secret string) string {
		_, rest, found := strings.Cut(deployment(t, name), begin)
		line, _, _ := strings.Cut(rest, "\n")
		if !found {
			t.Fatalf("%s has no user", name)
		}
		return strings.Replace(line, secret, "", 1)
	}
	if got, want := rules("deploy/redis.sh", "\nuser ", "$UNDERSTUDY_PASSWORD"), rules("docs/operations.md", "\nACL SETUSER ", "SECRET"); got != want {
		t.Errorf("redis.sh has %q, the documents have %q", got, want)
	}
}

// The probes of ZooKeeper use nothing but a shell: the image may not have more.
func TestTheProbesOfZooKeeperTellWhetherItServes(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err) // what installs what the tests need is a script for it, too
	}
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal([]byte(deployment(t, "deploy/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	probe := file.Services["zookeeper-1"].HealthCheck.Test
	if len(probe) != 4 || probe[0] != "CMD" || probe[1] != "bash" {
		t.Fatalf("it is %q", probe)
	}
	if inPod := fmt.Sprintf("%q", probe[3]); !strings.Contains(deployment(t, "deploy/kubernetes.yaml"), inPod) {
		t.Errorf("kubernetes.yaml does not have %s", inPod)
	}
	e := testcluster.NewEnsemble(t, 3)
	healthy := func(addr string) bool {
		_, port, _ := strings.Cut(addr, ":")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		script := strings.ReplaceAll(probe[3], "/2181", "/"+port)
		return exec.CommandContext(ctx, bash, "-c", script).Run() == nil
	}
	for _, addr := range e.Hosts() {
		if !healthy(addr) {
			t.Errorf("%s serves, and the probe says no", addr)
		}
	}
	if err := errors.Join(e.Servers[1].Kill(), e.Servers[2].Kill()); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "the probe to miss the quorum", func() bool { return !healthy(e.Hosts()[0]) })
	if healthy(e.Hosts()[1]) {
		t.Error("a dead server is said to serve")
	}
}

func TestTheServersOfTheExamplesRefuseAPasswordThatTheirFileCannotHold(t *testing.T) {
	script := filepath.Join("..", "..", "deploy", "redis.sh")
	for _, password := range []string{"two words", `a"quote`, "it's", "a\ttab"} {
		for _, name := range []string{"REDIS_PASSWORD", "UNDERSTUDY_PASSWORD"} {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), "/bin/sh", script)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "NAME=localhost", "MASTER=localhost:6379", "DATA=" + dir,
				"REDIS_PASSWORD=x", "UNDERSTUDY_PASSWORD=x", name + "=" + password} // the last one counts
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "choose another one") {
				t.Errorf("%s %q: %v, %s", name, password, err, out)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%s %q leaves %v, %v", name, password, left, err)
			}
		}
	}
}
