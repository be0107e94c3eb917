package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/understudy/understudy/internal/checkup"
	"github.com/understudy/understudy/topology"
)

// errProblemsFound ends check when it has already said what is wrong.
var errProblemsFound = errors.New("problems were found")

type checkCommand struct {
	File   string `arg:"" optional:"" type:"path" help:"The configuration file; without it only the environment is looked at."`
	Config string `type:"path" placeholder:"FILE" help:"The same, as run is given it."`
}

// Run checks the configuration, looks at the nodes and at ZooKeeper, and says what it found.
func (c *checkCommand) Run(ctx context.Context, s *streams) error {
	if c.File != "" && c.Config != "" && c.File != c.Config {
		return badUsage{fmt.Errorf("two files are given, %s and --config %s: check one at a time", c.File, c.Config)}
	}
	o, err := c.options(s)
	if err != nil {
		return badUsage{err}
	}
	if err := o.validate(); err != nil {
		return err
	}
	facts, err := checkup.Gather(ctx, o.monitor())
	if err != nil {
		return interruption(ctx, err, "while the nodes were asked")
	}
	w := table(s.out)
	for _, n := range facts.Nodes {
		role := "replica"
		if n.Master {
			role = "master"
		}
		fmt.Fprintf(w, "%s\t%s\tredis-server %s\n", role, n.Addr, dash(n.Version))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	problems := 0
	for _, f := range checkup.Judge(facts, o.settings()) {
		kind := "note"
		if f.Problem {
			kind = "problem"
			problems++
		}
		fmt.Fprintf(s.out, "%s: %s\n", kind, f.Text)
	}
	if o.Zookeeper != "" {
		identity, err := topology.LookAtZooKeeper(ctx, o.zookeeper(slog.New(slog.DiscardHandler)))
		switch {
		case ctx.Err() != nil:
			return interruption(ctx, err, "while ZooKeeper was asked")
		case err != nil:
			problems++
			fmt.Fprintf(s.out, "problem: %s\n", sentence(err))
		case identity == "":
			fmt.Fprintf(s.out, "note: the cluster %s is not in ZooKeeper yet: the first member founds it\n", o.Cluster)
		default:
			fmt.Fprintf(s.out, "note: the cluster %s is in ZooKeeper, with the identity %s\n", o.Cluster, identity)
		}
	}
	for _, text := range o.idle() {
		fmt.Fprintf(s.out, "note: %s\n", text)
	}
	if problems > 0 {
		fmt.Fprintf(s.out, "problems: %d\n", problems)
		return errProblemsFound
	}
	fmt.Fprintln(s.out, "no problems")
	return nil
}

// options reads the file as run would.
func (c *checkCommand) options(s *streams) (*options, error) {
	var o options
	file := &fileResolver{}
	parser, err := newParser(&o, file, s.out, s.err)
	if err != nil {
		return nil, err
	}
	var args []string
	if file := cmp.Or(c.File, c.Config); file != "" {
		args = []string{"--config", file}
	}
	_, err = parse(parser, file, args)
	return &o, err
}

// settings returns the part of the options that the nodes' settings are compared with.
func (o *options) settings() checkup.Settings {
	s := checkup.Settings{StallAfter: o.StallAfter, HoldTimeout: o.HoldTimeout, NoFailover: o.NoFailover, Following: o.Failover == "off", WriteAcks: o.WriteAcks}
	if o.Zookeeper != "" {
		s.Coordinated = o.Cluster
		s.LeaderLoss = o.ZookeeperSessionTimeout + o.ZookeeperTick // servers end a session at the end of a tick
	}
	return s
}

// settleTime is how long replicas may take at a start to come into sync before that is called a problem.
const settleTime = 10 * time.Second

// warn logs the problems that check would find.
func warn(ctx context.Context, o *options, log *slog.Logger) {
	facts, err := checkup.GatherSettled(ctx, o.monitor(), settleTime)
	if err != nil {
		log.Debug("the nodes' settings could not be checked", "error", err)
		return
	}
	for _, f := range checkup.Judge(facts, o.settings()) {
		if f.Problem {
			log.Warn("check", "problem", f.Text)
		}
	}
}
