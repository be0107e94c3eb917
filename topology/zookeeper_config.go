package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// DefaultSessionTimeout is asked of ZooKeeper when nothing else is configured.
	DefaultSessionTimeout = 10 * time.Second
	// DefaultHeartbeat is how often a member renews its lease when nothing else is configured.
	DefaultHeartbeat = time.Second
	// DefaultTick is the tickTime of a ZooKeeper server that is configured as its documentation shows.
	DefaultTick = 2 * time.Second

	// DefaultFailsafeLimit is how long writes go on without ZooKeeper when nothing else is configured.
	DefaultFailsafeLimit = time.Hour

	defaultZooKeeperPort = "2181"
	// defaultRoot holds the clusters when the address of ZooKeeper names no chroot.
	defaultRoot = "/understudy"
	// ownRoot holds what ZooKeeper keeps for itself: quotas and its configuration.
	ownRoot = "/zookeeper"
	// handshakeLimit is how long a server may take to begin or to resume a session, at first. The library would wait
	// for 6.7 session timeouts, in which the session is lost although a majority is well.
	handshakeLimit = 500 * time.Millisecond
	// connectLimit is how long a TCP connection (and TLS, where Dial does it) may take.
	connectLimit = time.Second
)

// ZooKeeperConfig says where ZooKeeper is, who this member is, and how often it proves that it lives. Servers, Cluster
// and ID are required; zero values of the others mean their defaults.
type ZooKeeperConfig struct {
	// Servers is "host:port[,host:port...][/chroot]". The port is 2181 if absent. Without a chroot the clusters lie
	// under /understudy. A chroot that is not there is created.
	Servers string
	Cluster string // names the folder under the root, and must be the one that the State there carries
	ID      string // this member's name, different from all others'
	// Addr is where other members, and clients, reach this one. It may be empty, or one that others cannot reach (no
	// host, port 0, a socket's path); while such a member is present, no member writes without ZooKeeper.
	Addr string

	// SessionTimeout is asked of the servers, which allow 2 to 20 of their ticks unless configured otherwise. It
	// decides how long the loss of a member goes unnoticed, and bounds the lease. Default 10 s.
	SessionTimeout time.Duration
	Heartbeat      time.Duration // between renewals of the lease; default 1 s, at most a fifth of SessionTimeout
	// Tick is the servers' tickTime, half of which they may keep to themselves that they have heard of a session. It counts where
	// they grant sessions of less than two ticks, and then too small a value makes leases too long. Default 2 s, as ZooKeeper's
	// documentation has it.
	Tick time.Duration
	// Lease is how long a grant lasts after the heartbeat that confirmed it was sent. Default: 60 % of the session
	// timeout, or less where tick and heartbeat leave less.
	Lease time.Duration

	// Auth is "user:password" for digest authentication. Znodes created with it are for that user alone; without it
	// they are open to everybody.
	Auth string
	// Identity, where it is not empty, is the Fingerprint that the cluster's identity must have. A member that has it
	// founds no cluster.
	Identity string
	// MayFound, where it is not nil, is asked before this member founds a cluster, and may say in its error why not: there is
	// another one in front of the same nodes. That error is one of a clause: it follows upon "there is none at ..., and".
	MayFound func(ctx context.Context) error
	// Dial opens connections to servers, by the names given in Servers; TLSFiles.Dial is one for TLS. It resolves names
	// anew at every call. Default: TCP, to one of the addresses of the name, chosen at random.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// LegacyRoot, where it is not empty, is the folder (an absolute path, outside of the chroot) in which the leader keeps
	// the znodes of the Ruby gem redis_failover 1.x, for its clients: nodes and manual_failover.
	LegacyRoot string
	// Promisers, where it is not nil, lets this member write while ZooKeeper is away, if all electors promise not to lead.
	Promisers Promisers
	// FailsafeLimit is how long after its last contact with ZooKeeper this member promises not to lead, and writes on
	// such promises. Members that are no electors take the lead when no elector was present for as long. Default 1 h.
	FailsafeLimit time.Duration

	// WriteAcks is how many replicas this member wants to have a write before it answers it; see Durable.
	WriteAcks int
	// NodeMap is told to the others, who compare it with theirs.
	NodeMap map[string]string
	// ForgetAfter is how long the leader keeps a member that is gone in the registry. Default 10 min.
	ForgetAfter time.Duration
	Log         *slog.Logger // default: none
}

// Validate fills in the defaults and returns an error that names the first setting that cannot be, its value, and what
// can be.
func (c *ZooKeeperConfig) Validate() error {
	if c.SessionTimeout == 0 {
		c.SessionTimeout = DefaultSessionTimeout
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = min(DefaultHeartbeat, c.SessionTimeout/10)
	}
	if c.Tick == 0 {
		c.Tick = DefaultTick
	}
	if c.ForgetAfter == 0 {
		c.ForgetAfter = 10 * time.Minute
	}
	if c.FailsafeLimit == 0 {
		c.FailsafeLimit = DefaultFailsafeLimit
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if _, _, err := ParseZooKeeper(c.Servers); err != nil {
		return err
	}
	for _, name := range []struct{ what, value string }{{"cluster", c.Cluster}, {"id", c.ID}} {
		if err := validName(name.value); err != nil {
			return fmt.Errorf("topology: the %s %q %w", name.what, name.value, err)
		}
	}
	if c.LegacyRoot != "" {
		if err := validLegacyRoot(c.LegacyRoot); err != nil {
			return err
		}
	}
	switch {
	case c.SessionTimeout < 100*time.Millisecond || c.SessionTimeout > 10*time.Minute:
		return fmt.Errorf("topology: zookeeper-session-timeout is %v; it must be between 100ms and 10m", c.SessionTimeout)
	case c.Heartbeat < time.Millisecond || c.Heartbeat > c.SessionTimeout/5:
		return fmt.Errorf("topology: zookeeper-heartbeat is %v; it must be between 1ms and a fifth of the session timeout (%v)", c.Heartbeat, c.SessionTimeout/5)
	case c.Tick < time.Millisecond:
		return fmt.Errorf("topology: zookeeper-tick is %v; it must be the tickTime of the ZooKeeper servers, at least 1ms", c.Tick)
	case c.Lease < 0:
		return fmt.Errorf("topology: the lease is %v; it must not be negative", c.Lease)
	case c.Identity != "" && !IsFingerprint(c.Identity):
		return fmt.Errorf("topology: cluster-identity is %q; it must be the %d hexadecimal digits that the status of a member shows", c.Identity, fingerprintLength)
	case c.FailsafeLimit < c.SessionTimeout || c.FailsafeLimit > 7*24*time.Hour:
		return fmt.Errorf("topology: failsafe-limit is %v; it must be between the session timeout (%v) and 168h", c.FailsafeLimit, c.SessionTimeout)
	case c.ForgetAfter < c.SessionTimeout:
		return fmt.Errorf("topology: members that are gone are forgotten after %v; it must be at least the session timeout (%v)", c.ForgetAfter, c.SessionTimeout)
	}
	if user, password, found := strings.Cut(c.Auth, ":"); c.Auth != "" && (!found || user == "" || password == "") {
		return errors.New("topology: zookeeper-auth cannot be read: it must be user:password")
	}
	return nil
}

// validName says why name cannot be the name of a znode.
func validName(name string) error {
	switch {
	case name == "":
		return errors.New("is missing; every member needs one")
	case name == "." || name == "..":
		return errors.New("is not possible as the name of a znode")
	case len(name) > 200:
		return errors.New("is longer than 200 bytes")
	}
	for _, r := range name {
		// What ZooKeeper refuses in names, and more of what nobody can read.
		if r == '/' || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return fmt.Errorf("contains %q, which is not possible in the name of a znode", r)
		}
	}
	return nil
}

// ParseZooKeeper reads "host:port[,host:port...][/chroot]", the usual way to name a ZooKeeper ensemble. Ports default
// to 2181; chroot is "" or begins with a slash and does not end with one. The error is one sentence for a user.
func ParseZooKeeper(s string) (servers []string, chroot string, err error) {
	refuse := func(format string, args ...any) ([]string, string, error) {
		return nil, "", fmt.Errorf("topology: the address of ZooKeeper, %q, %s; write host:port[,host:port...][/chroot]", s, fmt.Sprintf(format, args...))
	}
	if strings.Contains(s, "://") {
		return refuse("looks like a URL")
	}
	hosts, rest, found := strings.Cut(strings.TrimSpace(s), "/")
	if found && rest != "" {
		chroot = "/" + strings.TrimSuffix(rest, "/")
		if strings.Contains(chroot, ":") {
			return refuse("has more servers behind the chroot, which is written once, at the end")
		}
		if chroot == ownRoot || strings.HasPrefix(chroot, ownRoot+"/") {
			return refuse("has a chroot in %s, which ZooKeeper keeps for itself: choose another one", ownRoot)
		}
		for name := range strings.SplitSeq(chroot[1:], "/") {
			if name == "" {
				return refuse("has a bad chroot: there is a slash too many in it")
			}
			if err := validName(name); err != nil {
				return refuse("has a bad chroot: %q %v", name, err)
			}
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, problem := serverAddress(strings.TrimSpace(host))
		if problem != "" {
			return refuse("%s", problem)
		}
		servers = append(servers, addr)
	}
	return servers, chroot, nil
}

// serverAddress completes one host:port, or says what is wrong with it.
func serverAddress(s string) (addr, problem string) {
	if s == "" {
		return "", "names no server, or has a comma too many"
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil && !strings.Contains(strings.TrimPrefix(s, "["), ":") {
		host, port, err = s, defaultZooKeeperPort, nil
	} else if err != nil && strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		host, port, err = s[1:len(s)-1], defaultZooKeeperPort, nil
	}
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return "", fmt.Sprintf("has a server that cannot be read, %q (an IPv6 address needs brackets)", s)
	case host == "" || strings.ContainsFunc(host, unicode.IsSpace):
		return "", fmt.Sprintf("has a server without a proper host, %q", s)
	case portErr != nil || number == 0:
		return "", fmt.Sprintf("has a server with a bad port, %q", s)
	}
	return net.JoinHostPort(host, port), ""
}
