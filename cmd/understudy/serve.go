package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/understudy/understudy/internal/promise"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/peers"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

type runCommand struct {
	options
}

// Run serves until a signal ends ctx.
func (r *runCommand) Run(ctx context.Context, parser *kong.Kong, s *streams) error {
	log := r.logger(s)
	warnOfStrangers(os.Environ(), variables(parser), log)
	if err := r.validate(); err != nil {
		return err
	}
	for _, text := range r.idle() {
		log.Warn(text)
	}
	stop := surviveHangups(log)
	defer stop()
	return explainListen(serve(ctx, &r.options, log, func([]net.Addr) {}), "--listen")
}

// surviveHangups keeps SIGHUP, which a terminal sends when it is closed and an operator to have files read anew, from
// ending this process and with it every client's connection.
func surviveHangups(log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-hangups:
				log.Warn("SIGHUP changes nothing; a changed configuration takes effect when this process is restarted")
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		close(done)
		running.Wait()
	}
}

// serve is one Understudy from start to end: it finds out who is master, calls ready with the addresses it listens on,
// and serves clients until ctx ends. The options must be valid.
func serve(ctx context.Context, o *options, log *slog.Logger, ready func([]net.Addr)) (err error) {
	ops, err := openOperators(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ops.close()) }()
	coord, path, err := coordinator(ctx, o, log)
	if err != nil {
		return err
	}
	served := false
	defer func() {
		if maker, ok := coord.(interface{ Withdraw() error }); ok && !served {
			err = errors.Join(err, maker.Withdraw())
			return
		}
		err = errors.Join(err, coord.Close())
	}()
	if err := sameCluster(ctx, coord.Snapshot().State, o, path); err != nil {
		return err
	}
	watched := o.monitor()
	if z, shared := coord.(*topology.ZooKeeper); shared {
		watched.Identity = topology.Fingerprint(z.Identity()) // every user of a node may list its channels
	}
	mon, err := monitor.New(watched, coord, log)
	if err != nil {
		return err
	}
	state, err := firstState(ctx, coord, mon, log)
	if ctx.Err() != nil {
		return nil // told to stop before there was anything to serve
	}
	if err != nil {
		return err
	}
	// Another member may have made it only now, for other nodes.
	if err := sameCluster(ctx, state, o, path); err != nil {
		return err
	}

	cfg := o.proxy()
	if cfg.Users, err = readUsers(o.Users); err != nil {
		return badUsage{err} // it has changed since the options were found valid
	}
	if err := fitDescriptors(&cfg, log); err != nil {
		return err
	}
	// A loop waits for its sockets with its processor held; everything else needs one more.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), cfg.Loops+1))
	who := admin.Identity{Version: versionText(), Cluster: o.Cluster, ID: o.ID, WriteAcks: o.WriteAcks}
	if shared, ok := coord.(*topology.ZooKeeper); ok {
		who.ClusterIdentity = topology.Fingerprint(shared.Identity())
	}
	answers := admin.New(who, coord, watcher{mon})
	defer answers.Close()
	if err := ops.answer(answers); err != nil {
		return err
	}
	if shared, ok := coord.(*topology.ZooKeeper); ok {
		others := peers.New(o.ID, shared, log)
		defer others.Close()
		cfg.Peers = others
		answers.Ask(others)
	}
	front, err := proxy.New(cfg, coord, answers, log)
	if err != nil {
		return listenError{err}
	}
	meter := proxy.NewMeter(front)
	answers.Count(meter)
	ops.show(answers)

	log.Info("ready", append([]any{"version", versionText(), "listen", o.listeners(front.Addrs()), "cluster", o.Cluster, "id", o.ID,
		"master", state.Master.Addr, "replicas", len(state.Replicas), "epoch", state.Epoch, "phase", string(state.Phase), "state", path},
		ops.addresses()...)...)
	served = true
	ready(front.Addrs())

	// What the nodes' settings will do in a failover is told once, beside the work.
	checking, stop := context.WithCancel(ctx)
	var check sync.WaitGroup
	check.Go(func() { warn(checking, o, log) })
	err = together(ctx, front, mon, meter, log)
	stop()
	check.Wait()
	return err
}

// coordinator opens what the members agree through, and says where the State is kept.
func coordinator(ctx context.Context, o *options, log *slog.Logger) (coord topology.Coordinator, path string, err error) {
	if o.Zookeeper != "" {
		cfg := o.zookeeper(log)
		if o.Failsafe {
			cfg.Promisers = promise.NewClient()
		}
		cfg.MayFound = func(ctx context.Context) error { return monitor.MayFound(ctx, o.monitor()) }
		z, err := topology.OpenZooKeeper(ctx, cfg)
		if err != nil {
			return nil, "", err
		}
		return z, "ZooKeeper " + string(o.Zookeeper), nil
	}
	if path, err = o.statePath(); err != nil {
		return nil, "", err
	}
	local, err := topology.OpenLocal(topology.LocalConfig{Cluster: o.Cluster, ID: o.ID, Path: path})
	if err != nil {
		return nil, "", explainState(err, path)
	}
	return local, path, nil
}

// firstState returns the State, once there is one. Where there is none yet it is the leader who makes it, which this
// member may be, or become while it waits.
func firstState(ctx context.Context, coord topology.Coordinator, mon *monitor.Monitor, log *slog.Logger) (*topology.State, error) {
	known := make(chan struct{}, 1)
	defer coord.Watch(func(topology.Snapshot) {
		select {
		case known <- struct{}{}:
		default:
		}
	})()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for told := false; ; told = true {
		if err := mon.Bootstrap(ctx); err != nil {
			return nil, err
		}
		if state := coord.Snapshot().State; state != nil {
			return state, nil
		}
		if !told {
			log.Info("waiting for the leading member to find out who is master")
		}
		select {
		case <-known:
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// together runs the proxy until ctx ends, and the monitor for as long as the proxy needs it: a failover may have to
// end before the last clients can finish. Each takes the other with it when it fails.
func together(ctx context.Context, front *proxy.Proxy, mon *monitor.Monitor, meter *proxy.Meter, log *slog.Logger) error {
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	var watch sync.WaitGroup
	var watchErr error
	watch.Go(func() {
		watchErr = mon.Run(watching)
		stopServing()
	})
	watch.Go(func() { meter.Run(watching) })
	err := front.Run(serving)
	stopWatching()
	watch.Wait()
	if err = errors.Join(err, watchErr); err == nil {
		log.Info("stopped")
	}
	return err
}

// lookupTimeout bounds the questions to name servers whether a configured node is one of State's.
const lookupTimeout = 5 * time.Second

// sameCluster refuses a State that has no node in common with the configured ones: it would send this cluster's
// clients to another.
func sameCluster(ctx context.Context, state *topology.State, o *options, path string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if state == nil || slices.ContainsFunc(o.Nodes, func(addr string) bool { return monitor.Named(ctx, addr, state) != "" }) {
		return nil
	}
	nodes := append([]topology.Node{state.Master}, state.Unavailable...)
	for _, r := range state.Replicas {
		nodes = append(nodes, r.Node)
	}
	for _, n := range nodes {
		if reached, ok := o.NodeMap[n.Announced]; ok && reached != n.Addr && o.Zookeeper != "" {
			return fmt.Errorf("the state in %s has the node that announces %s at %s, and node-map has it at %s: the State names nodes for all members, "+
				"so give all of them the same node-map and nodes, with addresses that each of them reaches", path, n.Announced, n.Addr, reached)
		}
	}
	what := "or another file (--state); if it is the same cluster at new addresses, remove the file"
	if o.Zookeeper != "" {
		what = "or another chroot (--zookeeper), or one of that cluster's nodes (--nodes)"
	}
	return fmt.Errorf("the state in %s is about the master %s, and none of nodes (%s) is in it: give this cluster a name of its own (--cluster) %s",
		path, state.Master.Addr, strings.Join(o.Nodes, ", "), what)
}

// listeners tells the addresses listened on, which are those of Listen, with the policies that are not the default.
func (o *options) listeners(addrs []net.Addr) string {
	var list []string
	for i, a := range addrs {
		text := a.String()
		if a.Network() == "unix" {
			text = "unix:" + text
		}
		if l := o.Listen[i]; l.Policy != session.Default {
			text += ",policy=" + l.Policy.String()
		}
		list = append(list, text)
	}
	return strings.Join(list, ",")
}
