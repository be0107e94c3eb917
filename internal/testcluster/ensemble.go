package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Ensemble is one ZooKeeper service: a single server, or several that elect a leader.
type Ensemble struct {
	Servers []*ZooKeeper

	dir     string
	ownsDir bool
}

// StartEnsemble starts a ZooKeeper service of this many servers and returns when all of them serve requests, which
// takes about 0.5 s for one and 2 s for three. ctx limits the start (20 s at most), not the servers' life. The error
// holds the tail of a log, or is [ErrNoZooKeeper].
func StartEnsemble(ctx context.Context, servers int, opts ZooKeeperOptions) (*Ensemble, error) {
	const attempts = 5
	for range attempts - 1 {
		e, err := startEnsembleOnce(ctx, servers, opts)
		if errors.Is(err, errPortTaken) {
			continue // a stranger was quicker
		}
		return e, err
	}
	return startEnsembleOnce(ctx, servers, opts)
}

func startEnsembleOnce(ctx context.Context, servers int, opts ZooKeeperOptions) (*Ensemble, error) {
	e := &Ensemble{dir: opts.Dir}
	var err error
	if e.dir == "" {
		e.ownsDir = true
		e.dir, err = os.MkdirTemp("", "understudy-zookeeper-")
	} else {
		e.dir, err = filepath.Abs(e.dir)
	}
	if err != nil {
		return nil, err
	}
	if err := e.start(ctx, servers, opts); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

func (e *Ensemble) start(ctx context.Context, servers int, opts ZooKeeperOptions) error {
	for id := 1; id <= servers; id++ {
		z, err := newZooKeeper(id, filepath.Join(e.dir, "server"+strconv.Itoa(id)), &opts)
		if err != nil {
			return err
		}
		e.Servers = append(e.Servers, z)
	}
	lines := e.configuration(opts)
	logged := make([]int64, servers)
	for i, z := range e.Servers {
		if err := z.configure(lines); err != nil {
			return err
		}
		logged[i] = fileSize(z.Log())
		if err := z.launch(); err != nil {
			return err
		}
	}
	// Each one is ready only with a quorum of the others.
	failures := make([]error, servers)
	var all sync.WaitGroup
	for i, z := range e.Servers {
		all.Go(func() { failures[i] = z.await(ctx, logged[i]) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// configuration is what the servers' zoo.cfg have in common.
func (e *Ensemble) configuration(opts ZooKeeperOptions) []string {
	tick := opts.Tick
	if tick == 0 {
		tick = defaultTick
	}
	lines := []string{
		"tickTime=" + strconv.FormatInt(tick.Milliseconds(), 10),
		"admin.enableServer=false",
		"4lw.commands.whitelist=ruok,srvr,conf,cons,mntr",
		"maxClientCnxns=0", // all clients of a test come from one address
	}
	if len(e.Servers) > 1 {
		lines = append(lines, "initLimit=50", "syncLimit=5")
		for _, z := range e.Servers {
			lines = append(lines, fmt.Sprintf("server.%d=%s:%d:%d", z.id, z.host.ip(), z.peers[0], z.peers[1]))
		}
	}
	if opts.TLS != nil {
		lines = append(lines, opts.TLS.lines()...)
	}
	return append(lines, opts.Config...)
}

// Stop kills every server and removes the folder if StartEnsemble made it.
func (e *Ensemble) Stop() error {
	var failures []error
	for _, z := range e.Servers {
		failures = append(failures, z.close())
	}
	if e.ownsDir {
		failures = append(failures, os.RemoveAll(e.dir))
	}
	return errors.Join(failures...)
}

// Hosts are the addresses for clients.
func (e *Ensemble) Hosts() []string {
	var hosts []string
	for _, z := range e.Servers {
		hosts = append(hosts, z.Addr)
	}
	return hosts
}

// SecureHosts are the addresses for clients with TLS.
func (e *Ensemble) SecureHosts() []string {
	var hosts []string
	for _, z := range e.Servers {
		hosts = append(hosts, z.SecureAddr)
	}
	return hosts
}

// Leader is the running server that leads, or the only one. It is an error if there is none.
func (e *Ensemble) Leader() (*ZooKeeper, error) {
	var failures []error
	for _, z := range e.Servers {
		if !z.Running() {
			continue
		}
		mode, err := z.Mode()
		if mode == "leader" || mode == "standalone" {
			return z, nil
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("none of %s leads: %w", strings.Join(e.Hosts(), ", "), errors.Join(failures...))
}
