package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/understudy/understudy/internal/port"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// options are all settings of a serving Understudy. The tags are their one description: flags, environment variables,
// keys of the file, help and the table in the README are made from them.
type options struct {
	Nodes      []string          `group:"nodes" placeholder:"HOST:PORT" help:"Nodes of the cluster. One suffices if it can be reached at start: the others are discovered from it."`
	Cluster    string            `group:"nodes" default:"default" help:"Name of the cluster."`
	Username   string            `group:"nodes" help:"User that Understudy itself is at the nodes. Clients authenticate as themselves."`
	Password   string            `group:"nodes" help:"Password of that user. Better given as the environment variable than as the flag, which other users of the machine can see."`
	NodeMap    map[string]string `group:"nodes" mapsep:"," placeholder:"ANNOUNCED=REACHABLE" help:"Where to reach nodes that announce an address which cannot be reached: the announced one on the left, as in 10.0.0.1:6379=redis-1.example.com:16379; several are separated by commas. The same for all Understudies of a cluster: the State names nodes by what it says."`
	NoFailover []string          `group:"nodes" placeholder:"HOST:PORT" help:"Nodes that are never made master. Of the others those with the most data come first, and of equal ones those with the smallest replica-priority."`

	Zookeeper               ensemble      `group:"coordination" placeholder:"HOST:PORT[,HOST:PORT...][/CHROOT]" help:"ZooKeeper ensemble through which all Understudies of a cluster agree. Without it this one must be alone."`
	ZookeeperAuth           string        `group:"coordination" placeholder:"USER:PASSWORD" help:"Digest authentication with ZooKeeper. What is created with it is for that user alone. Better given as the environment variable than as the flag."`
	ZookeeperTLS            bool          `group:"coordination" name:"zookeeper-tls" help:"Reach ZooKeeper through TLS, on the servers' secureClientPort."`
	ZookeeperCA             string        `group:"coordination" name:"zookeeper-ca" type:"path" placeholder:"FILE" help:"Certificates (PEM) of the authorities that sign those of the ZooKeeper servers; by default those that the system trusts."`
	ZookeeperCert           string        `group:"coordination" type:"path" placeholder:"FILE" help:"This process's own certificate (PEM), where the servers ask for one."`
	ZookeeperKey            string        `group:"coordination" type:"path" placeholder:"FILE" help:"The key of that certificate (PEM, without a passphrase)."`
	ZookeeperServerName     string        `group:"coordination" placeholder:"NAME" help:"Name that the certificate of every ZooKeeper server must have; by default the one by which it is addressed."`
	ZookeeperSessionTimeout time.Duration `group:"coordination" default:"${zookeeper_session_timeout}" help:"Session timeout asked of ZooKeeper. It decides how long the loss of a member goes unnoticed, and bounds its lease."`
	ZookeeperHeartbeat      time.Duration `group:"coordination" default:"${zookeeper_heartbeat}" help:"Time between two renewals of the lease; at most a fifth of the session timeout."`
	ZookeeperTick           time.Duration `group:"coordination" default:"${zookeeper_tick}" help:"tickTime of the ZooKeeper servers. Where their minSessionTimeout is below two ticks, a smaller value than theirs makes leases too long to be safe."`
	ClusterIdentity         string        `group:"coordination" placeholder:"DIGITS" help:"Identity of the cluster in ZooKeeper, as status shows it. With it this process joins no other cluster, and founds none."`
	PublishRedisFailover    legacyRoot    `group:"coordination" placeholder:"PATH" help:"Also keep the znodes of the Ruby gem redis_failover 1.x, so that its clients follow, and may ask for a manual failover. PATH is their znode_path, /redis_failover unless given (--publish-redis-failover, --publish-redis-failover=PATH)."`
	Advertise               string        `group:"coordination" placeholder:"HOST:PORT" help:"Address by which other members reach this one; by default the first address of --listen."`

	Failsafe      bool          `group:"coordination" default:"true" negatable:"" help:"While ZooKeeper is away, write as long as every member that may lead promises not to. With --no-failsafe writes end with the lease."`
	FailsafeLimit time.Duration `group:"coordination" default:"${failsafe_limit}" help:"How long writes go on without ZooKeeper, at most."`

	Listen          []listenOption `group:"clients" sep:";" default:"${listen}" placeholder:"ADDR[,policy=POLICY][,mode=MODE]" help:"Address for clients: host:port, :port or unix:/path. Repeat it for more (as a variable: separated by semicolons). POLICY says what its reads see: causal, bounded, eventual or strong as for --consistency, which counts where there is none (split). MODE are the permissions of a unix socket, as in mode=0660; without it the umask decides."`
	Users           string         `group:"clients" type:"path" placeholder:"FILE" help:"Users of Understudy's own (YAML): for each name the password's SHA-256, and as whom (as, as-password) its requests go to the nodes. Without it clients are users of the nodes."`
	AllowDebug      bool           `group:"clients" help:"Let clients use those parts of DEBUG that only look at something (OBJECT, DIGEST, HTSTATS and the like), as far as the nodes allow DEBUG at all."`
	Maxclients      int            `group:"clients" default:"${maxclients}" help:"Clients at a time; more are refused as Redis does."`
	Timeout         time.Duration  `group:"clients" default:"${timeout}" help:"After how long without a request a client is disconnected; 0s is never."`
	TCPKeepalive    time.Duration  `group:"clients" name:"tcp-keepalive" default:"${tcp_keepalive}" help:"Interval of TCP keepalive on clients' connections; 0s switches it off."`
	InputLimit      size           `group:"clients" default:"${input_limit}" help:"How large a request may be, as in 1gb: a client that sends more than that without coming to the end of one is disconnected, as by client-query-buffer-limit of Redis."`
	OutputLimit     size           `group:"clients" default:"${output_limit}" help:"Replies that a client may leave unread before it is disconnected, as in 256mb."`
	PubsubLimit     size           `group:"clients" default:"${pubsub_limit}" help:"Messages that a client with subscriptions may leave unread before it is disconnected; 0b is no limit but output-limit."`
	PubsubSoftLimit size           `group:"clients" default:"${pubsub_soft_limit}" help:"What such a client may leave unread for pubsub-soft-time, and no longer; 0b is no limit."`
	PubsubSoftTime  time.Duration  `group:"clients" default:"${pubsub_soft_time}" help:"See pubsub-soft-limit. The three are like client-output-buffer-limit pubsub of Redis."`
	Loops           int            `group:"clients" default:"${loops}" help:"Event loops. One has the least CPU per request; more serve more than one core can."`

	Admin         string `group:"operators" placeholder:"HOST:PORT" help:"Address where PROXY, INFO understudy and FAILOVER are answered even without a master. Whoever reaches it can change the master: an address of this machine alone, unless there is admin-password."`
	AdminPassword string `group:"operators" help:"What AUTH must say at the address of admin. Better given as the environment variable than as the flag."`
	HTTP          string `group:"operators" name:"http" placeholder:"HOST:PORT" help:"Address for HTTP: /metrics (Prometheus), /livez, /readyz and a status page. Nothing can be changed there."`

	Consistency    string            `group:"reads" enum:"causal,bounded,eventual,strong" default:"causal" help:"What reads see. causal: every write that was answered through this process before, whichever connection it came on, and all that their session can have learnt of; replicas answer that provably have it. bounded: what the master had at most max-staleness ago, or later. eventual: whatever a healthy replica has. strong: the master's data; replicas answer nothing."`
	SampleInterval time.Duration     `group:"reads" default:"${sample_interval}" help:"Time between two looks at how far the replicas are, while there are writes and reads. The shorter, the sooner replicas answer reads of what was written."`
	MaxStaleness   time.Duration     `group:"reads" default:"${max_staleness}" help:"How old what bounded reads get may be."`
	MaxClockSkew   time.Duration     `group:"reads" default:"${max_clock_skew}" help:"How much the clock of a replica may differ from the master's; beyond that keys expire there at other times, and it serves no reads. 0s is any."`
	Zone           string            `group:"reads" placeholder:"NAME" help:"Where this process runs, as in node-zones. Its reads go to replicas there as long as one may answer."`
	NodeZones      map[string]string `group:"reads" mapsep:"," placeholder:"HOST:PORT=ZONE" help:"Where the nodes are."`
	ReplicaWeights map[string]int    `group:"reads" mapsep:"," placeholder:"HOST:PORT=WEIGHT" help:"How many of the reads replicas get, in comparison with others, whose weight is 100. 0 is none: such a replica is for backups, or for a failover."`
	TouchRate      int               `group:"reads" default:"${touch_rate}" help:"How many keys a second of those that replicas are asked for are repeated to the master as TOUCH, where it has a maxmemory and evicts what is used least (LRU, LFU): it would else not know of reads on replicas. Each of loops repeats so many; 0 is none."`
	MaxCatchUp     time.Duration     `group:"reads" default:"${max_catch_up}" help:"How long a read may now and then wait for a replica to have what its session has seen, where the session would else read from the master again and again. 0s is never."`

	HoldTimeout       time.Duration `group:"failover" default:"${hold_timeout}" help:"How long a request waits for a master before it is answered with an error."`
	AmbiguousWrites   string        `group:"failover" enum:"error,close" default:"error" help:"What a client gets whose write was sent and not answered when its master was lost: error (-UNKNOWNRESULT) or close (of its connection)."`
	WriteAcks         int           `group:"failover" default:"${write_acks}" help:"How many replicas must have a write before it is answered, so that no failover loses an answered write; 0: it is answered as soon as the master has it. The same for all Understudies of a cluster."`
	WriteAcksTimeout  time.Duration `group:"failover" default:"${write_acks_timeout}" help:"After how long a write that too few replicas have is answered -UNREPLICATED instead."`
	DrainTimeout      time.Duration `group:"failover" default:"${drain_timeout}" help:"How long SIGTERM waits for clients to finish, and a change of master that nobody planned for answers of an old one that lives."`
	SwitchoverTimeout time.Duration `group:"failover" default:"${switchover_timeout}" help:"After how long a planned change of master is given up; clients wait meanwhile. No more than half of hold-timeout is used."`

	Failover         string        `group:"decision" enum:"on,off" default:"on" help:"on: this Understudy, or the one that leads, changes the roles of nodes. off: Sentinel, an operator or a platform does, and it follows; no node is ever sent a command that changes its role."`
	NodeStrategy     string        `group:"decision" enum:"majority,consensus,single" default:"majority" help:"How many of the Understudies that see a node must hold it down: majority (more than half), consensus (all) or single (any one)."`
	RequiredMonitors int           `group:"decision" default:"${required_monitors}" help:"Understudies that must have a view of a node before it can be down."`
	MaxFailovers     int           `group:"decision" default:"${max_failovers}" help:"Failovers within failover-period, after which further ones wait for an operator (PROXY RESUME, or PROXY FAILOVER NODE FORCE); 0 is any number."`
	FailoverPeriod   time.Duration `group:"decision" default:"${failover_period}" help:"See max-failovers."`
	FailbackDelay    time.Duration `group:"decision" default:"${failback_delay}" help:"How long after a failover the node that was given up comes after others that have as much data, and does not take over from a master that is merely silent, where all that could were given up within that time; 0s is no time."`

	MaxFailures   int           `group:"detection" default:"${max_failures}" help:"Refused connections in a row after which a node is down."`
	DownAfter     time.Duration `group:"detection" default:"${down_after}" help:"How long connecting must time out before a node is down."`
	StallAfter    time.Duration `group:"detection" default:"${stall_after}" help:"How long a node that accepts connections may answer nothing before it is down. Below Redis's busy-reply-threshold (5s) a long script looks like a dead server."`
	ProbeInterval time.Duration `group:"detection" default:"${probe_interval}" help:"Time between two looks at a node's replication."`
	MaxLag        size          `group:"detection" default:"${max_lag}" help:"Bytes that a replica may be behind the master to serve reads and to be promoted."`
	MaxLagTime    time.Duration `group:"detection" default:"${max_lag_time}" help:"Time that a replica may be behind the master to serve reads."`
	MaxLinkDown   time.Duration `group:"detection" default:"${max_link_down}" help:"How long before the master's failure a replica may have lost its link to it and still be promoted."`
	FenceTimeout  time.Duration `group:"detection" default:"${fence_timeout}" help:"How long a change of master waits until nothing is in flight to the old one; longer than drain-timeout."`

	Config    string `group:"general" type:"path" placeholder:"FILE" help:"YAML file with options under these names."`
	ID        string `group:"general" name:"id" help:"Name of this process among others of its cluster: by default host name and, with ZooKeeper, the port of the first address for clients, so that it keeps its name when it is restarted, else the process id."`
	State     string `group:"general" type:"path" placeholder:"FILE" help:"File that keeps who is master over a restart. By default CLUSTER.json in $$STATE_DIRECTORY (systemd), else in $$XDG_STATE_HOME/understudy, else in ~/.local/state/understudy."`
	LogLevel  string `group:"general" enum:"debug,info,warn,error" default:"info" help:"The least important events to log: debug, info, warn or error."`
	LogFormat string `group:"general" enum:"text,json" default:"text" help:"Form of the log on standard error: text or json."`
}

// optionGroups are the headings of the help, in its order.
var optionGroups = []kong.Group{
	{Key: "nodes", Title: "Nodes:"},
	{Key: "coordination", Title: "Agreement with other Understudies:"},
	{Key: "clients", Title: "Clients:"},
	{Key: "operators", Title: "Operators:"},
	{Key: "reads", Title: "What reads see:"},
	{Key: "failover", Title: "What clients see of a failover:"},
	{Key: "decision", Title: "Who decides on failovers:"},
	{Key: "detection", Title: "When a node is down, and who may be promoted:"},
	{Key: "general", Title: "General:"},
}

// defaults are the values of the ${names} in the tags of options: those of the packages that the options are for.
func defaults() map[string]string {
	p, m := proxy.Defaults(), monitor.Defaults()
	return map[string]string{
		"listen":             p.Listen[0].Addr,
		"maxclients":         strconv.Itoa(p.MaxClients),
		"timeout":            p.IdleTimeout.String(),
		"tcp_keepalive":      p.KeepAlive.String(),
		"input_limit":        size(p.InputLimit).String(),
		"output_limit":       size(p.OutputLimit).String(),
		"pubsub_limit":       size(p.Push.Hard).String(),
		"pubsub_soft_limit":  size(p.Push.Soft).String(),
		"pubsub_soft_time":   p.Push.Time.String(),
		"loops":              strconv.Itoa(p.Loops),
		"hold_timeout":       p.HoldTimeout.String(),
		"write_acks":         strconv.Itoa(p.WriteAcks),
		"write_acks_timeout": p.WriteAcksTimeout.String(),
		"max_staleness":      p.MaxStaleness.String(),
		"max_clock_skew":     p.MaxClockSkew.String(),
		"touch_rate":         strconv.Itoa(p.TouchRate),
		"max_catch_up":       p.MaxCatchUp.String(),
		"sample_interval":    p.SampleInterval.String(),
		"drain_timeout":      p.DrainTimeout.String(),
		"max_failures":       strconv.Itoa(m.MaxFailures),
		"down_after":         m.DownAfter.String(),
		"stall_after":        m.StallAfter.String(),
		"probe_interval":     m.ProbeInterval.String(),
		"max_lag":            size(m.MaxLagBytes).String(),
		"max_lag_time":       m.MaxLagTime.String(),
		"max_link_down":      m.MaxLinkDown.String(),
		"fence_timeout":      m.FenceTimeout.String(),
		"required_monitors":  strconv.Itoa(m.RequiredMonitors),
		"max_failovers":      strconv.Itoa(m.MaxFailovers),
		"failover_period":    m.FailoverPeriod.String(),
		"failback_delay":     m.FailbackDelay.String(),
		"switchover_timeout": m.SwitchoverTimeout.String(),

		"zookeeper_session_timeout": topology.DefaultSessionTimeout.String(),
		"zookeeper_heartbeat":       topology.DefaultHeartbeat.String(),
		"zookeeper_tick":            topology.DefaultTick.String(),
		"failsafe_limit":            topology.DefaultFailsafeLimit.String(),
	}
}

// AfterApply is called by the parser when it has filled in the options.
func (o *options) AfterApply() error {
	if o.ID == "" {
		o.ID = o.defaultID()
	}
	return nil
}

// defaultID names this process: unlike any other at the same time, and recognisable. With ZooKeeper, which notices two of
// the same name, it stays the same over a restart: others may be waiting for the one that was killed.
func (o *options) defaultID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "understudy"
	}
	if o.Zookeeper != "" {
		for _, l := range o.Listen {
			if _, port, err := net.SplitHostPort(l.Addr); l.Network == "tcp" && err == nil && port != "0" {
				return host + "-" + port
			}
		}
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

// proxy returns the part of the options that concerns the proxy.
func (o *options) proxy() proxy.Config {
	c := proxy.Defaults()
	c.Listen = nil
	for _, l := range o.Listen {
		c.Listen = append(c.Listen, proxy.Listen(l))
	}
	c.ClientName = o.clientName()
	c.Username, c.Password = o.Username, o.Password
	c.Loops, c.MaxClients, c.InputLimit, c.OutputLimit = o.Loops, o.Maxclients, int(o.InputLimit), int(o.OutputLimit)
	c.Push.Hard, c.Push.Soft, c.Push.Time = int(o.PubsubLimit), int(o.PubsubSoftLimit), o.PubsubSoftTime
	c.IdleTimeout, c.KeepAlive = o.Timeout, o.TCPKeepalive
	c.HoldTimeout, c.DrainTimeout = o.HoldTimeout, o.DrainTimeout
	c.WriteAcks, c.WriteAcksTimeout = o.WriteAcks, o.WriteAcksTimeout
	c.Consistency, _ = session.ParsePolicy(o.Consistency) // the parser admits known ones only
	c.TouchRate = o.TouchRate
	c.SampleInterval, c.MaxCatchUp, c.MaxStaleness = o.SampleInterval, o.MaxCatchUp, o.MaxStaleness
	c.MaxClockSkew, c.Zone, c.NodeZones, c.Weights = o.MaxClockSkew, o.Zone, maps.Clone(o.NodeZones), maps.Clone(o.ReplicaWeights)
	c.AllowDebug = o.AllowDebug
	c.CloseAmbiguous = o.AmbiguousWrites == "close"
	return c
}

// monitor returns the part of the options that concerns the monitor.
func (o *options) monitor() monitor.Config {
	c := monitor.Defaults()
	c.Cluster, c.ID, c.ClientName = o.Cluster, o.ID, o.clientName()
	c.Nodes, c.NodeMap, c.NoFailover = o.Nodes, maps.Clone(o.NodeMap), o.NoFailover
	c.Username, c.Password = o.Username, o.Password
	c.MaxFailures, c.DownAfter, c.StallAfter, c.ProbeInterval = o.MaxFailures, o.DownAfter, o.StallAfter, o.ProbeInterval
	c.MaxLagBytes, c.MaxLagTime, c.MaxLinkDown = int64(o.MaxLag), o.MaxLagTime, o.MaxLinkDown
	c.FenceTimeout, c.SwitchoverTimeout = o.FenceTimeout, o.SwitchoverTimeout
	c.Follow, c.NodeStrategy, c.RequiredMonitors = o.Failover == "off", monitor.Strategy(o.NodeStrategy), o.RequiredMonitors
	c.MaxFailovers, c.FailoverPeriod, c.FailbackDelay = o.MaxFailovers, o.FailoverPeriod, o.FailbackDelay
	c.WriteAcks = o.WriteAcks
	if half := o.HoldTimeout / 2; half >= 10*time.Millisecond {
		c.SwitchoverTimeout = min(c.SwitchoverTimeout, half) // a switchover that fails must not cost errors
	}
	return c
}

// zookeeper returns the part of the options that concerns ZooKeeper.
func (o *options) zookeeper(log *slog.Logger) topology.ZooKeeperConfig {
	advertise := o.Advertise
	if advertise == "" && len(o.Listen) > 0 {
		advertise = o.Listen[0].Addr
	}
	c := topology.ZooKeeperConfig{
		Servers: string(o.Zookeeper), Cluster: o.Cluster, ID: o.ID, Addr: advertise, Auth: o.ZookeeperAuth, Identity: o.ClusterIdentity, WriteAcks: o.WriteAcks, Log: log,
		SessionTimeout: o.ZookeeperSessionTimeout, Heartbeat: o.ZookeeperHeartbeat, Tick: o.ZookeeperTick,
		NodeMap:       maps.Clone(o.NodeMap),
		LegacyRoot:    string(o.PublishRedisFailover),
		FailsafeLimit: o.FailsafeLimit,
	}
	if o.ZookeeperTLS {
		c.Dial = o.zookeeperFiles().Dial
	}
	return c
}

// zookeeperFiles returns what TLS with ZooKeeper needs.
func (o *options) zookeeperFiles() topology.TLSFiles {
	return topology.TLSFiles{CA: o.ZookeeperCA, Cert: o.ZookeeperCert, Key: o.ZookeeperKey, ServerName: o.ZookeeperServerName}
}

// clientName is what the connections to nodes are called there.
func (o *options) clientName() string { return "understudy:" + o.Cluster + ":" + o.ID }

// Validate returns an error that names every option that is out of its range, with its value and the range. It is for
// serve and check and not called by the parser, so that "run --help" needs no valid options.
func (o *options) validate() error {
	p, m := o.proxy(), o.monitor()
	errs := []error{m.Validate(), p.Validate(), o.validateOperators()}
	if strings.ContainsAny(o.Cluster, `/\`) {
		errs = append(errs, fmt.Errorf("cluster is %q: it must not contain slashes", o.Cluster))
	}
	if o.Zookeeper != "" {
		z := o.zookeeper(slog.New(slog.DiscardHandler))
		errs = append(errs, o.zeroes(), z.Validate())
	} else {
		errs = append(errs, o.validateAlone())
	}
	switch files := o.zookeeperFiles(); {
	case o.ZookeeperTLS:
		errs = append(errs, files.Validate())
	case files != topology.TLSFiles{}:
		errs = append(errs, errors.New("zookeeper-tls is not given: zookeeper-ca, zookeeper-cert, zookeeper-key and zookeeper-server-name are of no use without it"))
	}
	if o.Advertise != "" && !port.Reachable(o.Advertise) {
		errs = append(errs, fmt.Errorf("advertise is %q: it must be host:port, with a port from 1 to 65535", o.Advertise))
	}
	if o.FenceTimeout <= o.DrainTimeout {
		errs = append(errs, fmt.Errorf("fence-timeout is %v: it must be longer than drain-timeout, which is %v", o.FenceTimeout, o.DrainTimeout))
	}
	if _, err := readUsers(o.Users); err != nil {
		errs = append(errs, err)
	}
	if o.Username != "" && o.Password == "" {
		errs = append(errs, fmt.Errorf("password is empty: username is %q and needs one", o.Username))
	}
	if err := errors.Join(errs...); err != nil {
		return badUsage{err}
	}
	return nil
}

// validateAlone refuses what speaks of ZooKeeper where zookeeper is not given: who gives it would have this process agree with
// others, and it would keep the State by itself, beside them.
func (o *options) validateAlone() error {
	var errs []error
	if o.ClusterIdentity != "" {
		errs = append(errs, fmt.Errorf("cluster-identity is %q: only a cluster in ZooKeeper has one, and zookeeper is empty", o.ClusterIdentity))
	}
	if o.PublishRedisFailover != "" {
		errs = append(errs, fmt.Errorf("publish-redis-failover is %s: it needs zookeeper, in which its clients look", o.PublishRedisFailover))
	}
	if o.RequiredMonitors > 1 {
		errs = append(errs, fmt.Errorf("required-monitors is %d: without zookeeper there is one, and nothing would ever be down", o.RequiredMonitors))
	}
	const missing = " is given and zookeeper is empty: name the servers, or leave it out if this process is to be alone"
	if o.ZookeeperAuth != "" {
		errs = append(errs, errors.New("zookeeper-auth"+missing))
	}
	if o.ZookeeperTLS {
		errs = append(errs, errors.New("zookeeper-tls"+missing))
	}
	return errors.Join(errs...)
}

// zeroes refuses durations of zero, which the package would take for its defaults. Who gives one means something else.
func (o *options) zeroes() error {
	var errs []error
	for _, d := range []struct {
		option string
		value  time.Duration
	}{
		{"zookeeper-session-timeout", o.ZookeeperSessionTimeout}, {"zookeeper-heartbeat", o.ZookeeperHeartbeat},
		{"zookeeper-tick", o.ZookeeperTick}, {"failsafe-limit", o.FailsafeLimit},
	} {
		if d.value == 0 {
			errs = append(errs, fmt.Errorf("%s is 0s: it must be longer; leave it out for the default", d.option))
		}
	}
	return errors.Join(errs...)
}

// idle lists the options that are given and most likely of no use, in sentences.
func (o *options) idle() (notes []string) {
	if !o.Failsafe && o.Zookeeper == "" {
		notes = append(notes, "no-failsafe is of no use without zookeeper: it is about writing while ZooKeeper is away")
	}
	if users, err := readUsers(o.Users); err == nil && o.Password != "" {
		if strangers := users.Strangers(); len(strangers) > 0 {
			notes = append(notes, fmt.Sprintf("users: %s have no as-password, so at the nodes they are nobody, who may do nothing there if the nodes ask for a password: "+
				"give them as and as-password", strings.Join(strangers, ", ")))
		}
	}
	return notes
}

// statePath returns where the State is kept, and makes the folder if it is a default one.
func (o *options) statePath() (string, error) {
	if o.State != "" {
		return o.State, nil
	}
	dir := os.Getenv("STATE_DIRECTORY") // systemd's StateDirectory=
	if dir, _, _ = strings.Cut(dir, ":"); dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if !filepath.IsAbs(base) {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", badUsage{errors.New("state is empty and there is no home directory to put it into: name a file with --state")}
			}
			base = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(base, "understudy")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for the state: %w; name a file elsewhere with --state", err)
	}
	return filepath.Join(dir, o.Cluster+".json"), nil
}

// logger returns the log that the options ask for.
func (o *options) logger(s *streams) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		level = slog.LevelInfo // not reached: the parser admits known levels only
	}
	opts := &slog.HandlerOptions{Level: level}
	if o.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(s.err, opts))
	}
	return slog.New(slog.NewTextHandler(s.err, opts))
}
