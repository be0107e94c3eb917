package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// replicas is how many the master has.
const replicas = 2

// Demo is the servers of a demonstration.
type Demo struct {
	// Dir holds everything that the demonstration writes. Close removes it.
	Dir      string
	cluster  *testcluster.Cluster
	ensemble *testcluster.Ensemble // nil: without ZooKeeper
	members  []*member             // none: the Understudy is not ours to look after
}

// Start starts the servers, with ZooKeeper if it is asked for. The error says what to install if something is missing.
func Start(ctx context.Context, withZooKeeper bool) (*Demo, error) {
	dir, err := os.MkdirTemp("", "understudy-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	d := &Demo{Dir: dir}
	var starting sync.WaitGroup
	var clusterErr, ensembleErr error
	starting.Go(func() {
		d.cluster, clusterErr = testcluster.StartCluster(ctx, replicas, testcluster.Options{Dir: filepath.Join(dir, "servers")})
	})
	if withZooKeeper {
		starting.Go(func() {
			d.ensemble, ensembleErr = testcluster.StartEnsemble(ctx, 1, testcluster.ZooKeeperOptions{Dir: filepath.Join(dir, "zookeeper"), Tick: Tick})
		})
	}
	starting.Wait()
	if err := errors.Join(clusterErr, ensembleErr); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Nodes are the addresses of the servers.
func (d *Demo) Nodes() []string { return d.cluster.Addrs() }

// Close stops the Understudys and the servers, and removes the folder.
func (d *Demo) Close() error {
	failures := []error{d.stopMembers()}
	if d.cluster != nil {
		failures = append(failures, d.cluster.Stop())
	}
	if d.ensemble != nil {
		failures = append(failures, d.ensemble.Stop())
	}
	return errors.Join(append(failures, os.RemoveAll(d.Dir))...)
}

// Show says how a demonstration goes.
type Show struct {
	Addrs []string // of the Understudys in front of the servers
	Out   io.Writer
	Color bool // Out is a terminal that shows colours
	Chaos bool // kill the master now and then, or the Understudy that leads if it is one of several
}

// Play runs clients, keeps the servers alive (and kills them, with Chaos) and tells what happens, until ctx ends. The
// error says that the clients could not begin; whatever happens later is part of the show.
func (d *Demo) Play(ctx context.Context, s Show) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, err := startLoad(ctx, s.Addrs)
	if err != nil {
		return err
	}
	script := &script{out: s.Out, color: s.Color}
	var crew sync.WaitGroup
	keep := &keeper{charges: d.charges(), script: script, chaos: s.Chaos, rivals: len(d.members) > 1, born: time.Now()}
	watch := &observer{nodes: d.Nodes(), script: script, load: work, keeper: keep}
	for _, addr := range s.Addrs {
		watch.proxies = append(watch.proxies, &asked{addr: addr})
	}
	crew.Go(func() { keep.run(ctx, watch.settled) })
	crew.Go(func() { watch.run(ctx) })
	crew.Wait()
	work.wait()
	watch.summary()
	return nil
}

// charges are the processes that are restarted when they die.
func (d *Demo) charges() []charge {
	var list []charge
	for _, n := range d.cluster.Nodes {
		list = append(list, charge{n, n.Addr, n.Addr})
	}
	if d.ensemble != nil {
		for _, z := range d.ensemble.Servers {
			list = append(list, charge{z, z.Addr, "ZooKeeper " + z.Addr})
		}
	}
	for _, m := range d.members {
		list = append(list, charge{m.program, m.addr, "Understudy " + m.addr})
	}
	return list
}

// MasterPid is the process that is the master before anything has happened.
func (d *Demo) MasterPid() int { return d.cluster.Nodes[0].Pid() }
