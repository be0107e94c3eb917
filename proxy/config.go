package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/understudy/understudy/internal/port"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// Coordinator is the part of topology.Coordinator that the proxy uses.
type Coordinator interface {
	Snapshot() topology.Snapshot
	Watch(f func(topology.Snapshot)) (stop func())
	Grant() topology.Grant
	Lease() time.Duration
	Acknowledge(ctx context.Context, epoch uint64) error
	Suspect(addr string)
}

// Listen is one address that clients connect to.
type Listen struct {
	Network string // "tcp" or "unix"
	Addr    string // host:port, or the path of a socket
	Policy  session.Policy
	Mode    fs.FileMode // permissions of a unix socket; 0 is what the umask leaves
}

// Config is what a Proxy is made with. Defaults returns one to start from.
type Config struct {
	Listen     []Listen
	Loops      int // event loops, 1 to 64. One has the least CPU per request; more serve more than one core can
	MaxClients int // clients at a time, at least 1; more are told so and closed

	ClientName         string // CLIENT SETNAME of the connections to nodes
	Username, Password string // of the proxy's own questions to nodes; clients' requests carry the clients' own
	// Dial opens connections to the addresses in State; nil means plain TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	HoldTimeout    time.Duration     // how long a request waits for a master, 0 to 1 h
	DrainTimeout   time.Duration     // how long a fence waits for a living master to answer, and SIGTERM for clients
	Consistency    session.Policy    // of reads on listeners whose policy is Default
	MaxStaleness   time.Duration     // how old what a Bounded read gets may be, 10 ms to 1 h
	Zone           string            // where this process is; "": nowhere in particular
	NodeZones      map[string]string // by address as in State, where nodes are
	Weights        map[string]int    // by address as in State: how many reads a replica gets, 0 to 1000; 100 where none is given
	MaxClockSkew   time.Duration     // between a replica that serves reads and the master, 0 to 1 h; 0: any
	MaxCatchUp     time.Duration     // how long a read may wait for a replica to have what its session has seen, 0 to 1 s
	TouchRate      int               // keys a second that each loop repeats to a master that evicts what is used least, 0 to 1000000
	SampleInterval time.Duration     // time between two looks at how far replicas are, while that matters, 1 ms to 1 s
	IdleTimeout    time.Duration     // after which a client without requests is closed; 0: never
	KeepAlive      time.Duration     // TCP keepalive of clients' connections; 0: off
	CloseAmbiguous bool              // close the client instead of answering -UNKNOWNRESULT
	InputLimit     int               // bytes of a client's request that are kept until it is whole, at least 1 MB
	OutputLimit    int               // bytes that a client may leave unread, at least 1 MB
	Push           session.PushLimit // the same of a client that has subscribed to something
	Users          session.Users     // of the proxy's own; nil: clients are users of the servers
	AllowDebug     bool              // let clients use what is harmless of DEBUG

	// CommandInterval is the time between two questions to the master whether it has loaded or unloaded modules, above 0.
	CommandInterval time.Duration
	Peers           session.Peers // the other members; nil: there are none

	// WriteAcks is how many replicas must have a write before it is answered, 0 to 100; all members must have the same, and
	// so must the monitor. WriteAcksTimeout is how long an answer waits for that, 1 ms to 1 h.
	WriteAcks        int
	WriteAcksTimeout time.Duration
}

// Defaults returns the Config that a user gets who sets nothing.
func Defaults() Config {
	return Config{
		Listen:         []Listen{{Network: "tcp", Addr: "127.0.0.1:6380"}},
		Loops:          1,
		MaxClients:     10000,
		ClientName:     "understudy",
		HoldTimeout:    15 * time.Second,
		DrainTimeout:   time.Second,
		Consistency:    session.Causal,
		MaxStaleness:   time.Second,
		MaxClockSkew:   time.Second,
		MaxCatchUp:     10 * time.Millisecond,
		SampleInterval: 2 * time.Millisecond,
		KeepAlive:      300 * time.Second,
		InputLimit:     1 << 30,
		OutputLimit:    256 << 20,
		Push:           session.PushLimit{Hard: 32 << 20, Soft: 8 << 20, Time: time.Minute},

		TouchRate:        1000,
		CommandInterval:  30 * time.Second,
		WriteAcksTimeout: time.Second,
	}
}

// near returns the nodes in this process's own zone, nil if zones play no part.
func (c *Config) near() map[string]bool {
	if c.Zone == "" {
		return nil
	}
	near := make(map[string]bool)
	for addr, zone := range c.NodeZones {
		if zone == c.Zone {
			near[addr] = true
		}
	}
	return near
}

// Validate returns an error that names every setting that is out of its range, with its value and the range.
func (c *Config) Validate() error {
	var errs []error
	number := func(option string, value, low, high int) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s is %d: it must be from %d to %d", option, value, low, high))
		}
	}
	duration := func(option string, value, low, high time.Duration) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s is %v: it must be from %v to %v", option, value, low, high))
		}
	}
	if len(c.Listen) == 0 {
		errs = append(errs, errors.New("listen is empty: it must be at least one address for clients"))
	}
	for _, l := range c.Listen {
		if _, ok := port.Of(l.Addr); l.Network != "unix" && !ok {
			errs = append(errs, fmt.Errorf("listen is %q: it must be host:port, :port or unix:/path, with a port up to 65535", l.Addr))
		}
	}
	number("loops", c.Loops, 1, 64)
	number("maxclients", c.MaxClients, 1, 1<<20)
	number("touch-rate", c.TouchRate, 0, 1_000_000)
	number("write-acks", c.WriteAcks, 0, 100)
	duration("write-acks-timeout", c.WriteAcksTimeout, time.Millisecond, time.Hour)
	number("input-limit", c.InputLimit, 1<<20, 1<<40)
	number("output-limit", c.OutputLimit, 1<<20, 1<<40)
	number("pubsub-limit", c.Push.Hard, 0, 1<<40)
	number("pubsub-soft-limit", c.Push.Soft, 0, 1<<40)
	duration("pubsub-soft-time", c.Push.Time, time.Second, time.Hour)
	duration("hold-timeout", c.HoldTimeout, 0, time.Hour)
	duration("drain-timeout", c.DrainTimeout, time.Millisecond, time.Hour)
	duration("max-staleness", c.MaxStaleness, 10*time.Millisecond, time.Hour)
	for addr, w := range c.Weights {
		number("replica-weights of "+addr, w, 0, 1000)
	}
	if len(c.NodeZones) > 0 && c.Zone == "" {
		errs = append(errs, errors.New("zone is empty: node-zones are of no use without it"))
	}
	duration("max-clock-skew", c.MaxClockSkew, 0, time.Hour)
	duration("max-catch-up", c.MaxCatchUp, 0, time.Second)
	duration("sample-interval", c.SampleInterval, time.Millisecond, time.Second)
	duration("timeout", c.IdleTimeout, 0, 365*24*time.Hour)
	duration("tcp-keepalive", c.KeepAlive, 0, 24*time.Hour)
	return errors.Join(errs...)
}
