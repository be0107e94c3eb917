package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/internal/port"
)

// DialFunc opens a network connection to address (host:port), as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Strategy says how many members must hold a node down before it counts as down.
type Strategy string

const (
	Majority  Strategy = "majority"  // more than half of the members
	Consensus Strategy = "consensus" // all members
	Single    Strategy = "single"    // any one member
)

// Config says what is monitored and how patiently. Defaults returns one to start from.
type Config struct {
	Cluster string   // the cluster's name; part of the client name, so it has no spaces
	ID      string   // this member's name, no spaces
	Nodes   []string // host:port of at least one node; the others are discovered

	// Identity tells the cluster from every other one of that name, where members share a coordinator: the
	// topology.Fingerprint of its identity, because it is shown to all users of the nodes. "" where this member is alone.
	Identity string

	// NodeMap gives, for an address that the nodes announce, the one by which it is reached (NAT). State names nodes by the
	// latter, so it must be the same for all members.
	NodeMap map[string]string

	// Username is for AUTH on the nodes; "" is the default user. The user needs INFO, PING, CLIENT SETNAME, LIST and KILL,
	// SUBSCRIBE, PUBSUB, REPLICAOF, FAILOVER, CONFIG REWRITE, MULTI and EXEC, and the channels understudy*.
	Username   string
	Password   string   // "" sends no AUTH
	ClientName string   // of the connections to nodes; "" means understudy:<Cluster>:<ID>
	Dial       DialFunc // opens connections to nodes, for TLS; nil means plain TCP

	// Follow leaves the roles of nodes to others (Sentinel, an operator, a platform): the leader only records what it
	// sees, and no node is sent a command.
	Follow bool

	NoFailover       []string // addresses that are never promoted
	NodeStrategy     Strategy // how the members' views are combined
	RequiredMonitors int      // members that must publish a view before any node counts as down, at least 1

	// MaxFailures is how many fresh connections in a row must be refused before a node is down (1 to 100).
	MaxFailures int
	// DownAfter is how long connecting must time out before a node is down (10 ms to 1 h).
	DownAfter time.Duration
	// StallAfter is how long a node that accepts connections may answer nothing before it is down (10 ms to 1 h, not
	// below DownAfter). Below Redis's busy-reply-threshold of 5 s a long script looks like a dead server.
	StallAfter time.Duration
	// ProbeInterval is the time between two INFO of one node (5 ms to 1 min). While something is changing it is 10 ms at
	// most, and what has died is noticed without it.
	ProbeInterval time.Duration

	// MaxLagBytes is how far a replica may be behind the master to serve reads and to be promoted (at least 1; the offsets
	// of two nodes are never read in the same instant, so a small bound takes replicas off a busy master).
	MaxLagBytes int64
	// MaxLagTime is how long ago the master may have been where a replica is now, for it to serve reads (at least 10 ms).
	MaxLagTime time.Duration
	// MaxLinkDown is how long before the master's failure a replica may have lost its link to be promoted still.
	MaxLinkDown time.Duration

	// MaxFailovers is how many unplanned changes of master may take place within FailoverPeriod (1 s to 30 days) without
	// an operator's word; 0: any number.
	MaxFailovers   int
	FailoverPeriod time.Duration
	// FailbackDelay is how long after an unplanned change of master the node that was given up comes after others with as
	// much data, and does not take over from a master that is merely silent (0: no time, up to 1 day).
	FailbackDelay time.Duration

	// WriteAcks is how many replicas must have a write before it is answered as durable, by any member: whoever is promoted
	// has all of those (0: none is answered so; up to 100).
	WriteAcks int

	// FenceTimeout is how long the leader waits for a member to acknowledge a fence. After that the member's lease
	// has run out, so it must not be below 1.05 times the coordinator's lease (10 ms to 1 h).
	FenceTimeout time.Duration
	// SwitchoverTimeout is after how long a planned change of master is given up, measured from its fence, unless the
	// request says otherwise (10 ms to 1 h). Clients wait meanwhile.
	SwitchoverTimeout time.Duration
	// CommandTimeout bounds one command to a node, and connecting to it for that (10 ms to 1 min).
	CommandTimeout time.Duration
	// ForgetAfter is how long a node that is not among Nodes may be down before it is forgotten (0: never).
	ForgetAfter time.Duration
	// RetryInterval is the least time between two attempts at the same action on a node (1 ms to 1 min).
	RetryInterval time.Duration
}

// Defaults returns the Config that a user gets who sets nothing; Cluster, ID and Nodes remain to be filled in.
func Defaults() Config {
	return Config{
		NodeStrategy:     Majority,
		RequiredMonitors: 1,
		MaxFailures:      3,
		DownAfter:        time.Second,
		StallAfter:       6 * time.Second,
		ProbeInterval:    time.Second,
		MaxLagBytes:      64 << 20,
		MaxLagTime:       10 * time.Second,
		MaxLinkDown:      10 * time.Second,
		MaxFailovers:     10,
		FailoverPeriod:   time.Hour,
		FailbackDelay:    time.Minute,
		FenceTimeout:     5 * time.Second,
		CommandTimeout:   time.Second,

		SwitchoverTimeout: 5 * time.Second,

		ForgetAfter:   time.Hour,
		RetryInterval: time.Second,
	}
}

// Validate returns an error that names every setting that is out of its range, with its value and the range.
func (c *Config) Validate() error {
	var errs []error
	name := func(option, value string) {
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("%s is %q: it must be one or more printable ASCII characters without spaces", option, value))
		}
	}
	duration := func(option string, value, low, high time.Duration) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s is %v: it must be from %v to %v", option, value, low, high))
		}
	}
	address := func(option, value string) {
		if !port.Reachable(value) {
			errs = append(errs, fmt.Errorf("%s is %q: it must be host:port, with a port from 1 to 65535", option, value))
		}
	}
	name("cluster", c.Cluster)
	name("id", c.ID)
	if c.ClientName != "" {
		name("client-name", c.ClientName)
	}
	if c.Identity != "" {
		name("the identity of the cluster", c.Identity)
	}
	if len(c.Nodes) == 0 {
		errs = append(errs, errors.New("nodes is empty: give the address (host:port) of at least one node with --nodes, UNDERSTUDY_NODES or nodes in the file of --config"))
	}
	for _, n := range c.Nodes {
		address("nodes", n)
	}
	for _, n := range c.NoFailover {
		address("no-failover", n)
	}
	for announced, reachable := range c.NodeMap {
		address("node-map", announced)
		address("node-map", reachable)
	}
	if !slices.Contains([]Strategy{Majority, Consensus, Single}, c.NodeStrategy) {
		errs = append(errs, fmt.Errorf("node-strategy is %q: it must be majority, consensus or single", c.NodeStrategy))
	}
	if c.RequiredMonitors < 1 {
		errs = append(errs, fmt.Errorf("required-monitors is %d: it must be at least 1", c.RequiredMonitors))
	}
	if c.MaxFailures < 1 || c.MaxFailures > 100 {
		errs = append(errs, fmt.Errorf("max-failures is %d: it must be from 1 to 100", c.MaxFailures))
	}
	if c.MaxLagBytes < 1 {
		errs = append(errs, fmt.Errorf("max-lag is %d bytes: it must be at least 1", c.MaxLagBytes))
	}
	if c.MaxFailovers < 0 {
		errs = append(errs, fmt.Errorf("max-failovers is %d: it must be at least 1, or 0 for any number", c.MaxFailovers))
	}
	if c.WriteAcks < 0 || c.WriteAcks > 100 {
		errs = append(errs, fmt.Errorf("write-acks is %d: it must be from 0 to 100", c.WriteAcks))
	}
	duration("failover-period", c.FailoverPeriod, time.Second, 30*24*time.Hour)
	duration("failback-delay", c.FailbackDelay, 0, 24*time.Hour)
	duration("down-after", c.DownAfter, 10*time.Millisecond, time.Hour)
	duration("stall-after", c.StallAfter, max(c.DownAfter, 10*time.Millisecond), time.Hour)
	duration("probe-interval", c.ProbeInterval, 5*time.Millisecond, time.Minute)
	duration("max-lag-time", c.MaxLagTime, 10*time.Millisecond, 24*time.Hour)
	duration("max-link-down", c.MaxLinkDown, 0, 24*time.Hour)
	duration("fence-timeout", c.FenceTimeout, 10*time.Millisecond, time.Hour)
	duration("switchover-timeout", c.SwitchoverTimeout, 10*time.Millisecond, time.Hour)
	duration("command-timeout", c.CommandTimeout, 10*time.Millisecond, time.Minute)
	duration("forget-after", c.ForgetAfter, 0, 365*24*time.Hour)
	duration("retry-interval", c.RetryInterval, time.Millisecond, time.Minute)
	return errors.Join(errs...)
}

// clientName is what CLIENT SETNAME is given on every connection.
func (c *Config) clientName() string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return "understudy:" + c.Cluster + ":" + c.ID
}

// leaderName is what CLIENT SETNAME is given on connections for commands: by it the next leader finds those of this one.
func (c *Config) leaderName() string {
	name := leaderPrefix(c.Cluster) + c.ID
	if c.Identity != "" {
		name += ":" + c.Identity
	}
	return name + LeaderSuffix
}

// channels are the pub/sub channels that this member's watch connections subscribe to. The first is its own, by which
// others find it. One who follows is nobody's rival, and is not looked for.
func (c *Config) channels() []any {
	name := c.Cluster + ":" + c.ID
	switch {
	case c.Follow:
		return []any{followingPrefix + name}
	case c.Identity != "":
		return []any{channelPrefix + name + " " + c.Identity, commonChannel}
	}
	return []any{channelPrefix + name, commonChannel}
}

// reachable returns the address by which this member reaches what the nodes call announced.
func (c *Config) reachable(announced string) string {
	if r, ok := c.NodeMap[announced]; ok {
		return r
	}
	return announced
}
