//go:build linux

package main

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// workingIn returns the processes whose working directory is below path: where the demonstration starts its servers.
func workingIn(t *testing.T, path string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		// A process that has ended meanwhile, or is somebody else's, cannot be read.
		if dir, err := os.Readlink(link); err == nil && strings.HasPrefix(dir, path+"/") {
			found = append(found, link+" "+dir)
		}
	}
	return found
}

// left checks that a demonstration has left nothing behind.
func (p *program) left() {
	p.t.Helper()
	if found := workingIn(p.t, p.home); len(found) > 0 {
		p.t.Errorf("processes are left: %q", found)
	}
	files, err := os.ReadDir(p.home)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(files) > 0 {
		p.t.Errorf("files are left: %v", files)
	}
}

// freePorts returns a port of which, and of the next, nobody makes use, not even while an Understudy of a demonstration is
// dead: another demonstration would take its place, and its clients. No other test looks for ports where this does.
func freePorts(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := 14000 + 2*rand.IntN(2000)
		free := 0
		for _, p := range []int{port, port + 1} {
			if ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err == nil {
				ln.Close()
				free++
			}
		}
		if free == 2 {
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no two ports in a row are free")
	return ""
}

func TestDemoWithChaosShowsAFailoverAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--port", freePorts(t), "--chaos", "--for", "15s")
	p.printed("redis-cli -p ")
	if found := workingIn(t, p.home); len(found) != 3 {
		t.Errorf("%d servers run: %q", len(found), found)
	}
	p.printed("killing the master 127.0.0.1:")
	p.printed("failover to 127.0.0.1:", "epoch 2", "client errors 0")
	p.printed(" master ", " dead ", " replica ")
	p.printed("is restarted (process")
	if status := p.exit(); status != 0 {
		t.Errorf("the status is %d", status)
	}
	p.printed("requests ", "failovers ", "longest pause")
	if out := p.out.String(); strings.Contains(out, "TWICE") || strings.Contains(out, "failovers 0") || strings.Contains(out, "\x1b[") {
		t.Error("writes were applied twice, there was no failover, or a file got colours")
	}
	if text := p.err.String(); text != "" {
		t.Errorf("standard error has %q", text)
	}
	p.left()
}

func TestDemoEndsInOrderOnCtrlC(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--port", freePorts(t))
	line := p.printed("kill -9 ")
	if pid := strings.Fields(line)[3]; pid == "0" || len(workingIn(t, p.home)) != 3 {
		t.Errorf("%d servers run, and the master is %s", len(workingIn(t, p.home)), line)
	}
	p.printed(" master ", " replica ")
	p.signal(syscall.SIGINT)
	if status := p.exit(); status != 0 {
		t.Errorf("the status is %d", status)
	}
	p.left()
}

func TestDemoSaysWhenItsPortIsTaken(t *testing.T) {
	t.Parallel()
	server := testcluster.NewRedis(t)
	_, port, _ := strings.Cut(server.Addr, ":")
	p := start(t, nil, "demo", "--port", port)
	if status := p.exit(); status != 1 || !strings.Contains(p.err.String(), server.Addr) {
		t.Errorf("the status is %d: %s", status, p.err.String())
	}
	p.left()
}

func TestDemoSaysWhatToInstall(t *testing.T) {
	p := start(t, []string{"PATH=" + t.TempDir()}, "demo")
	if status := p.exit(); status != 1 || !strings.Contains(p.err.String(), "install") {
		t.Errorf("the status is %d: %s", status, p.err.String())
	}
	p.left()
}

func TestDemoWithZooKeeperKillsTheMasterAndThenTheUnderstudyThatLeads(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"UNDERSTUDY_NODES=nobody:1", "UNDERSTUDY_LOOPS=many"}, "demo", "--zookeeper", "--chaos", "--port", freePorts(t))
	p.printed("redis-cli -p ", "or")
	if found := workingIn(t, p.home); len(found) != 6 {
		t.Errorf("three servers, ZooKeeper and two Understudys are %d: %q", len(found), found)
	}
	leader := strings.Fields(p.printed("Understudy 127.0.0.1:", " leads: "))[3]
	p.printed("proxy :", "clients req/s")
	p.printed(" leader ", " member ")
	p.printed("killing the master 127.0.0.1:")
	p.printed("failover to 127.0.0.1:", "epoch 2", "client errors 0")
	p.printed("killing the Understudy that leads, " + leader)
	p.printed("connections of clients ended with Understudy "+leader, "client errors 0")
	successor := strings.Fields(p.printed(" leads now, ", " after "+leader+" died"))[3]
	if successor == leader {
		t.Errorf("%s leads after its own death", leader)
	}
	p.printed("Understudy " + leader + " is restarted (process")
	p.signal(syscall.SIGINT)
	if status := p.exit(); status != 0 {
		t.Errorf("the status is %d", status)
	}
	p.printed("requests ", "failovers ", "connections moved to the other Understudy ")
	if out := p.out.String(); strings.Contains(out, "TWICE") || strings.Contains(out, "moved to the other Understudy 0") {
		t.Error("writes were applied twice, or no client moved")
	}
	if text := p.err.String(); text != "" {
		t.Errorf("standard error has %q", text)
	}
	p.left()
}

func TestDemoWithZooKeeperLeavesNothingBehindWhenItsProcessesWereKilled(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--zookeeper", "--port", freePorts(t))
	for _, what := range []string{"(the master)", "(the Understudy on :"} {
		_, rest, _ := strings.Cut(p.printed("kill -9 ", what), "kill -9 ")
		pid, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.printed("is dead (process " + strconv.Itoa(pid) + ")")
	}
	p.signal(syscall.SIGINT)
	if status := p.exit(); status != 0 {
		t.Errorf("the status is %d", status)
	}
	p.left()
}

func TestDemoWithZooKeeperEndsInOrderWhileItStarts(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--zookeeper", "--port", freePorts(t))
	testcluster.WaitFor(t, "the first servers", func() bool { return len(workingIn(t, p.home)) >= 2 })
	p.signal(syscall.SIGINT)
	if status := p.exit(); status != 0 {
		t.Errorf("the status is %d: %s", status, p.err.String())
	}
	p.left()
}

func TestDemoWithZooKeeperSaysWhenItsPortIsTaken(t *testing.T) {
	t.Parallel()
	server := testcluster.NewRedis(t)
	p := start(t, nil, "demo", "--zookeeper", "--port", strconv.Itoa(server.Port-1))
	if status := p.exit(); status != 1 || !strings.Contains(p.err.String(), "cannot listen on "+net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port))) ||
		!strings.Contains(p.err.String(), "--port") {
		t.Errorf("the status is %d: %s", status, p.err.String())
	}
	p.left()
}

func TestDemoWithZooKeeperSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(server, filepath.Join(bin, "redis-server")); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"PATH=" + bin}, "demo", "--zookeeper")
	for _, word := range []string{"ZooKeeper is not installed: install Java", "apt-get install default-jre-headless libzookeeper-java", "ZOOKEEPER_CLASSPATH"} {
		if status := p.exit(); status != 1 || !strings.Contains(p.err.String(), word) {
			t.Errorf("the status is %d: %s", status, p.err.String())
		}
	}
	p.left()
}
