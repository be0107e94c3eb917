package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// target is what a load is directed at: Redis itself, or a proxy in front of it.
type target struct {
	name    string
	addr    string
	program string // path; "" for Redis itself
	// arguments writes what the proxy needs into a folder and returns its command line.
	arguments func(dir string) ([]string, error)
	// ready, when set, returns nil once the proxy does all that it is to be measured at.
	ready func() error

	process *child
}

// Names in the order of the report's columns.
const (
	direct     = "direct"
	haproxy    = "HAProxy"
	twemproxy  = "twemproxy"
	understudy = "Understudy"
)

// readyLimit is how long a proxy may take from its start until it serves.
const readyLimit = 20 * time.Second

// restart ends the proxy, if it runs, and starts it anew. It returns when the proxy serves.
func (t *target) restart(ctx context.Context, dir string) error {
	if t.program == "" {
		return nil
	}
	if err := t.stop(); err != nil {
		return err
	}
	home := filepath.Join(dir, "proxies", strings.ToLower(t.name))
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	args, err := t.arguments(home)
	if err != nil {
		return err
	}
	if t.process, err = startChild(exec.Command(t.program, args...), filepath.Join(home, "output")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	ctx, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	err = testcluster.Poll(ctx, t.name+" to serve", func() error {
		if t.process.ended() {
			gone(fmt.Errorf("%s has ended", t.name))
		}
		return t.serves()
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, t.process.printed())
	}
	return nil
}

func (t *target) serves() error {
	if err := get(t.addr); err != nil {
		return err
	}
	if t.ready != nil {
		return t.ready()
	}
	return nil
}

// get reads one key through the proxy at addr; twemproxy knows no PING.
func get(addr string) error {
	conn, err := redis.Dial("tcp", addr,
		redis.DialConnectTimeout(time.Second), redis.DialReadTimeout(time.Second), redis.DialWriteTimeout(time.Second))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do("GET", "ready")
	return err
}

// cpu is the CPU time that the proxy has used; zero for Redis itself.
func (t *target) cpu() (time.Duration, error) {
	if t.process == nil {
		return 0, nil
	}
	if t.process.ended() {
		return 0, fmt.Errorf("%s has ended\n%s", t.name, t.process.printed())
	}
	return cpuTime(t.process.cmd.Process.Pid)
}

func (t *target) stop() error {
	if t.process == nil {
		return nil
	}
	err := t.process.stop()
	t.process = nil
	return err
}

// haproxyTarget passes bytes on, on one thread, as all others here do their work on one.
func haproxyTarget(program, addr, master string) *target {
	return &target{name: haproxy, addr: addr, program: program, arguments: func(dir string) ([]string, error) {
		path := filepath.Join(dir, "haproxy.cfg")
		return []string{"-db", "-f", path}, os.WriteFile(path, []byte(`global
    nbthread 1
    maxconn 3000
defaults
    mode tcp
    maxconn 3000
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen redis
    bind `+addr+`
    server master `+master+`
`), 0o600)
	}}
}

// twemproxyTarget multiplexes all clients on one connection to the master, which is its default.
func twemproxyTarget(program, addr, stats, master string) (*target, error) {
	_, statsPort, err := net.SplitHostPort(stats)
	if err != nil {
		return nil, err
	}
	return &target{name: twemproxy, addr: addr, program: program, arguments: func(dir string) ([]string, error) {
		path := filepath.Join(dir, "nutcracker.yml")
		return []string{"-c", path, "-a", "127.0.0.1", "-s", statsPort, "-v", "4"}, os.WriteFile(path, []byte(`redis:
  listen: `+addr+`
  redis: true
  hash: fnv1a_64
  distribution: modula
  preconnect: true
  servers:
   - `+master+`:1
`), 0o600)
	}}, nil
}

// understudyTarget splits: reads to the replicas, writes to the master. It is ready when it does.
func understudyTarget(program, addr string, cluster *testcluster.Cluster) *target {
	return &target{name: understudy, addr: addr, program: program, arguments: func(dir string) ([]string, error) {
		return []string{"run", "--nodes", cluster.Nodes[0].Addr, "--listen", addr, "--state", filepath.Join(dir, "state.json")}, nil
	}, ready: func() error {
		before, err := replicaReads(cluster)
		if err != nil {
			return err
		}
		if err := get(addr); err != nil {
			return err
		}
		after, err := replicaReads(cluster)
		if err == nil && after == before {
			err = fmt.Errorf("a GET did not go to a replica")
		}
		return err
	}}
}

// replicaReads is how many GETs the replicas have answered.
func replicaReads(cluster *testcluster.Cluster) (int, error) {
	total := 0
	for _, replica := range cluster.Nodes[1:] {
		stats, err := replica.Info("commandstats")
		if err != nil {
			return 0, err
		}
		calls, _, _ := strings.Cut(strings.TrimPrefix(stats["cmdstat_get"], "calls="), ",")
		if calls == "" {
			continue // none yet
		}
		n, err := strconv.Atoi(calls)
		if err != nil {
			return 0, fmt.Errorf("cmdstat_get of %s: %w", replica.Addr, err)
		}
		total += n
	}
	return total, nil
}
