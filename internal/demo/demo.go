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
	Dir     string
	cluster *testcluster.Cluster
}

// Start starts the servers. The error says what to install if there is no redis-server.
func Start(ctx context.Context) (*Demo, error) {
	dir, err := os.MkdirTemp("", "understudy-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	cluster, err := testcluster.StartCluster(ctx, replicas, testcluster.Options{Dir: filepath.Join(dir, "servers")})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Demo{Dir: dir, cluster: cluster}, nil
}

// Nodes are the addresses of the servers.
func (d *Demo) Nodes() []string { return d.cluster.Addrs() }

// Close stops the servers and removes the folder.
func (d *Demo) Close() error {
	return errors.Join(d.cluster.Stop(), os.RemoveAll(d.Dir))
}

// Show says how a demonstration goes.
type Show struct {
	Addr  string // of the Understudy in front of the servers
	Out   io.Writer
	Color bool // Out is a terminal that shows colours
	Chaos bool // kill the master now and then
}

// Play runs clients, keeps the servers alive (and kills them, with Chaos) and tells what happens, until ctx ends. The
// error says that the clients could not begin; whatever happens later is part of the show.
func (d *Demo) Play(ctx context.Context, s Show) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, err := startLoad(ctx, s.Addr)
	if err != nil {
		return err
	}
	script := &script{out: s.Out, color: s.Color}
	var crew sync.WaitGroup
	keep := &keeper{cluster: d.cluster, script: script, chaos: s.Chaos, born: time.Now()}
	watch := &observer{addr: s.Addr, script: script, load: work, keeper: keep}
	crew.Go(func() { keep.run(ctx, watch.settled) })
	crew.Go(func() { watch.run(ctx) })
	crew.Wait()
	work.wait()
	watch.summary()
	return nil
}

// MasterPid is the process that is the master before anything has happened.
func (d *Demo) MasterPid() int { return d.cluster.Nodes[0].Pid() }
