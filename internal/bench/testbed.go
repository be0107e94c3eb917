package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// replicas is how many replicas the master has.
const replicas = 2

// warmUp is how many requests a proxy that was just started gets before it is measured.
const warmUp = 20_000

// testbed is everything that runs: the servers, and the proxies in front of them.
type testbed struct {
	dir     string
	cluster *testcluster.Cluster
	targets []*target
	release []func() // of ports
}

// newTestbed builds Understudy, unless a program is given, and starts the servers. A proxy that is not installed is
// left out with a sentence to messages.
func newTestbed(ctx context.Context, dir, program string, messages io.Writer) (*testbed, error) {
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		return nil, errors.New("redis-benchmark is not installed (Debian, Ubuntu: apt-get install redis-tools)")
	}
	if program == "" {
		program = filepath.Join(dir, "understudy")
		fmt.Fprintln(messages, "building ./cmd/understudy")
		if err := build(ctx, program); err != nil {
			return nil, err
		}
	}
	cluster, err := testcluster.StartCluster(ctx, replicas, testcluster.Options{Dir: filepath.Join(dir, "servers")})
	if err != nil {
		return nil, err
	}
	b := &testbed{dir: dir, cluster: cluster}
	if err := b.arrange(program, messages); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	if err := fill(ctx, cluster.Nodes[0].Addr); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	if err := cluster.WaitInSync(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// build compiles the command with the flags of the Makefile's build.
func build(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "github.com/understudy/understudy/cmd/understudy")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build cmd/understudy: %w\n%s", err, tail(out))
	}
	return nil
}

// arrange makes the targets, in the order of the report.
func (b *testbed) arrange(program string, messages io.Writer) error {
	master := b.cluster.Nodes[0].Addr
	var addrs [4]string
	for i := range addrs {
		port, release, err := testcluster.ReservePort()
		if err != nil {
			return err
		}
		b.release = append(b.release, release)
		addrs[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	b.targets = append(b.targets, &target{name: direct, addr: master})
	if path, err := exec.LookPath("haproxy"); err != nil {
		fmt.Fprintln(messages, "haproxy is not installed and is left out of the comparison (Debian, Ubuntu: apt-get install haproxy)")
	} else {
		b.targets = append(b.targets, haproxyTarget(path, addrs[0], master))
	}
	if path, err := exec.LookPath("nutcracker"); err != nil {
		fmt.Fprintln(messages, "nutcracker is not installed and is left out of the comparison (Debian, Ubuntu: apt-get install nutcracker)")
	} else {
		t, err := twemproxyTarget(path, addrs[1], addrs[2], master)
		if err != nil {
			return err
		}
		b.targets = append(b.targets, t)
	}
	b.targets = append(b.targets, understudyTarget(program, addrs[3], b.cluster))
	return nil
}

// stop ends everything.
func (b *testbed) stop() error {
	var failures []error
	for _, t := range b.targets {
		failures = append(failures, t.stop())
	}
	failures = append(failures, b.cluster.Stop())
	for _, release := range b.release {
		release()
	}
	return errors.Join(failures...)
}

// measureRound restarts the proxies and measures every target under every load. Who comes first changes from load to
// load and from round to round, so that nobody always follows the same one.
func (b *testbed) measureRound(ctx context.Context, round, rounds int, loads []load, into *results, messages io.Writer) error {
	warm := load{"warming up", 50, 1, warmUp, []string{"GET", "small:__rand_int__"}}
	for _, t := range b.targets {
		if err := t.restart(ctx, b.dir); err != nil {
			return err
		}
		if _, err := warm.run(ctx, t.addr); err != nil {
			return err
		}
	}
	for i, l := range loads {
		fmt.Fprintf(messages, "round %d of %d: %s\n", round+1, rounds, l.name)
		for k := range b.targets {
			t := b.targets[(k+i+round)%len(b.targets)]
			s, err := measure(ctx, t, l)
			if err != nil {
				return err
			}
			into.add(l.name, t.name, s)
		}
		// Replicas that are still catching up with the writes would be measured with the next load.
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *testbed) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return b.cluster.WaitInSync(ctx)
}

// measure runs one load against one target.
func measure(ctx context.Context, t *target, l load) (sample, error) {
	before, err := t.cpu()
	if err != nil {
		return sample{}, err
	}
	got, err := l.run(ctx, t.addr)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", t.name, err)
	}
	after, err := t.cpu()
	if err != nil {
		return sample{}, err
	}
	perRequest := float64(after-before) / float64(time.Microsecond) / float64(l.requests)
	return sample{perSecond: got.perSecond, cpu: perRequest, p50: got.p50, p99: got.p99}, nil
}
