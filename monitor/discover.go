package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
	"github.com/understudy/understudy/topology"
)

var (
	// ErrUnreachable is returned by Discover when no node could be reached.
	ErrUnreachable = errors.New("no node could be reached")
	// ErrNoMaster is returned by Discover when the nodes that were reached show no master.
	ErrNoMaster = errors.New("no master was found")
	// ErrTwoMasters is returned by Discover when more than one node is a master.
	ErrTwoMasters = errors.New("more than one master was found")
	// ErrRefused is returned by Discover when a node does not let us in or is not of a kind that can be fronted.
	ErrRefused = errors.New("a node cannot be used")
)

// Discovery is what Discover found.
type Discovery struct {
	Master      Found
	Replicas    []Found           // sorted by address
	Unreachable map[string]error  // nodes that were named, by an address as configured or as announced, and did not answer
	Aliases     map[string]string // further addresses of nodes found, each with the one used here
}

// Found is a node that answered.
type Found struct {
	topology.Node
	Priority int
	inSync   bool // a replica with its link up, not loading and not in a synchronisation
}

// Discover finds the nodes of a cluster from the addresses of one or more of them: the replicas that a master lists,
// and the master that a replica follows. It asks each for INFO with the credentials of cfg, none longer than
// cfg.CommandTimeout for each step.
//
// One server that answers at several addresses is one node; the configured address is used before an announced one.
// The error wraps ErrUnreachable, ErrNoMaster, ErrTwoMasters or ErrRefused, and says what was found where.
func Discover(ctx context.Context, seeds []string, cfg Config) (*Discovery, error) {
	d := &discovery{
		cfg: cfg, dialer: newDialer(&cfg),
		asked: make(map[string]bool), answers: make(map[string]info), errs: make(map[string]error),
		byRun: make(map[string]string), aliases: make(map[string]string), announced: make(map[string]string),
	}
	round := slices.Clone(seeds)
	for len(round) > 0 {
		round = d.ask(ctx, round)
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	return d.conclude()
}

type discovery struct {
	cfg       Config
	dialer    *dialer
	asked     map[string]bool
	answers   map[string]info   // by address, one for each server
	errs      map[string]error  // by address
	byRun     map[string]string // run_id -> address
	aliases   map[string]string // address -> address in answers
	announced map[string]string // address in answers -> the one by which other nodes know it
	hosts     []string          // announced addresses met
}

// ask asks the addresses of one round and returns those that their answers name, for the next round.
func (d *discovery) ask(ctx context.Context, addrs []string) (next []string) {
	type answer struct {
		info info
		err  error
	}
	var asking []string
	for _, a := range addrs {
		if !d.asked[a] {
			d.asked[a] = true
			asking = append(asking, a)
		}
	}
	answers := make([]answer, len(asking))
	var wg sync.WaitGroup
	for i, addr := range asking {
		wg.Go(func() { answers[i].info, answers[i].err = d.inspect(ctx, addr) })
	}
	wg.Wait()
	for i, addr := range asking {
		n, err := answers[i].info, answers[i].err
		if err != nil {
			d.errs[addr] = err
			continue
		}
		if first, ok := d.byRun[n.RunID]; ok {
			d.aliases[addr] = first
			continue
		}
		d.byRun[n.RunID] = addr
		d.answers[addr] = n
		for _, host := range named(n) {
			d.hosts = append(d.hosts, host)
			next = append(next, d.cfg.reachable(host))
		}
	}
	return next
}

// named returns the addresses of other nodes that n knows.
func named(n info) []string {
	switch {
	case n.Role == roleMaster:
		return n.Replicas
	case n.Master != "":
		return []string{n.Master}
	}
	return nil
}

// inspect asks one address.
func (d *discovery) inspect(ctx context.Context, addr string) (info, error) {
	l, err := d.dialer.openLink(ctx, addr, d.cfg.CommandTimeout)
	if err != nil {
		return info{}, err
	}
	defer l.Close()
	// A server has nothing to say about a section that it does not know.
	switch text, err := redis.String(l.Do("INFO", "understudy")); {
	case err == nil && strings.HasPrefix(text, "# Understudy"):
		return info{RunID: addr, Mode: modeUnderstudy}, nil
	case err != nil && diagnose(err) != answered:
		return info{}, err
	}
	return readInfo(l, true)
}

// modeUnderstudy is our word for what is no server at all.
const modeUnderstudy = "understudy"

// conclude makes sense of the answers.
func (d *discovery) conclude() (*Discovery, error) {
	if err := d.refusals(); err != nil {
		return nil, err
	}
	if len(d.answers) == 0 {
		return nil, fmt.Errorf("%w: %s; check the addresses and that the servers run", ErrUnreachable, d.failures())
	}
	var masters []string
	for addr, n := range d.answers {
		if n.Role == roleMaster {
			masters = append(masters, addr)
		}
	}
	slices.Sort(masters)
	switch {
	case len(masters) > 1:
		return nil, fmt.Errorf("%w: %s; make all but one of them replicas (REPLICAOF host port), or name the nodes of one cluster only",
			ErrTwoMasters, strings.Join(masters, ", "))
	case len(masters) == 0:
		return nil, fmt.Errorf("%w: %s; start the master, or make one of the replicas one (REPLICAOF NO ONE)", ErrNoMaster, d.roles())
	}
	found := &Discovery{Unreachable: d.errs, Aliases: d.aliases}
	d.announce()
	for addr, n := range d.answers {
		f := Found{
			Node:     topology.Node{Addr: addr, RunID: n.RunID, Announced: d.announced[addr]},
			Priority: n.Priority,
			inSync:   n.LinkUp && !n.Loading && !n.Syncing,
		}
		if addr == masters[0] {
			f.ReplID = n.ReplID
			found.Master = f
		} else {
			found.Replicas = append(found.Replicas, f)
		}
	}
	slices.SortFunc(found.Replicas, func(a, b Found) int { return cmp.Compare(a.Addr, b.Addr) })
	return found, nil
}

// announce notes which of the addresses that nodes use for each other belong to nodes that are used by another one.
func (d *discovery) announce() {
	for _, host := range d.hosts {
		addr := d.cfg.reachable(host)
		if first, ok := d.aliases[addr]; ok {
			addr = first
		}
		if addr != host && d.announced[addr] == "" && (!loopback(host) || loopback(addr)) {
			d.announced[addr] = host
		}
	}
}

// refusals returns an error for the first node that cannot be used whatever the others say.
func (d *discovery) refusals() error {
	for _, addr := range slices.Sorted(maps.Keys(d.errs)) {
		var reply redis.Error
		if !errors.As(d.errs[addr], &reply) {
			continue
		}
		switch code, _, _ := strings.Cut(reply.Error(), " "); code {
		case "NOAUTH":
			return fmt.Errorf("%w: %s requires a password; set password (and username)", ErrRefused, addr)
		case "WRONGPASS":
			return fmt.Errorf("%w: %s refuses the user name or the password (username, password)", ErrRefused, addr)
		case "NOPERM":
			return fmt.Errorf("%w: the user at %s may not do what is needed: %s", ErrRefused, addr, reply)
		}
		if strings.Contains(reply.Error(), "invalid password") {
			return fmt.Errorf("%w: %s refuses the password", ErrRefused, addr)
		}
	}
	for _, addr := range slices.Sorted(maps.Keys(d.answers)) {
		if v := d.answers[addr].Version; tooOld(v) {
			return fmt.Errorf("%w: %s is redis-server %s; Understudy needs %d.0 or later", ErrRefused, addr, v, leastVersion)
		}
		switch d.answers[addr].Mode {
		case "cluster":
			return fmt.Errorf("%w: %s runs in cluster mode; Understudy fronts one master and its replicas", ErrRefused, addr)
		case "sentinel":
			return fmt.Errorf("%w: %s is a Sentinel; name the redis-servers that it watches", ErrRefused, addr)
		case modeUnderstudy:
			return fmt.Errorf("%w: %s is an Understudy; name the redis-servers behind it (understudy nodes --addr %s)", ErrRefused, addr, addr)
		}
	}
	return nil
}

// leastVersion is the first version of redis-server that has all that Understudy cannot do without: REPLICAOF, CLIENT ID and
// CLIENT UNBLOCK, and a history that outlives promotions (two replication ids, 4.0).
const leastVersion = 5

// tooOld reports whether a version of redis-server, as in 7.0.15, is before leastVersion. One that cannot be read is not.
func tooOld(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < leastVersion
}

// Reason says in a few words why a node in Discovery.Unreachable could not be asked.
func Reason(err error) string {
	var nonsense *guard.Error
	switch {
	case errors.As(err, &nonsense):
		return fmt.Sprintf("what answers there is no redis-server: %v", nonsense.Why)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closes the connection without an answer, which a redis-server does not do"
	}
	return brief(err)
}

// failures lists what went wrong where.
func (d *discovery) failures() string {
	var parts []string
	for _, addr := range slices.Sorted(maps.Keys(d.errs)) {
		parts = append(parts, fmt.Sprintf("%s (%s)", addr, Reason(d.errs[addr])))
	}
	return strings.Join(parts, ", ")
}

// roles lists the replicas and where their master should be.
func (d *discovery) roles() string {
	var parts []string
	for _, addr := range slices.Sorted(maps.Keys(d.answers)) {
		part := addr + " is a replica of " + d.answers[addr].Master
		if err := d.errs[d.cfg.reachable(d.answers[addr].Master)]; err != nil {
			part += " (" + Reason(err) + ")"
		}
		parts = append(parts, part)
	}
	if f := d.failures(); f != "" {
		parts = append(parts, "not reached: "+f)
	}
	return strings.Join(parts, "; ")
}

// State makes the first State of a cluster of what was found. Configured nodes that could not be reached are
// unavailable; announced ones that could not are left out until they can, because they may be other names of nodes
// that are there.
func (d *Discovery) State(cfg Config) *topology.State {
	s := &topology.State{
		Format: topology.Format, Cluster: cfg.Cluster, Epoch: 1, Phase: topology.Stable,
		Master: d.Master.Node,
	}
	for _, r := range d.Replicas {
		health := topology.Syncing
		if r.inSync {
			health = topology.Online
		}
		s.Replicas = append(s.Replicas, topology.Replica{
			Node: r.Node, Health: health, Priority: r.Priority, NoFailover: slices.Contains(cfg.NoFailover, r.Addr),
		})
	}
	for _, addr := range cfg.Nodes {
		if _, failed := d.Unreachable[addr]; failed && !inState(s, addr) {
			s.Unavailable = append(s.Unavailable, topology.Node{Addr: addr})
		}
	}
	sortNodes(s)
	s.NumberRuns(nil)
	return s
}
