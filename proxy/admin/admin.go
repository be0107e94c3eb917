package admin

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// Cluster is the agreement: what the members agree on, and the way to ask for something. Only Members and Submit may
// block.
type Cluster interface {
	Snapshot() topology.Snapshot
	Watch(f func(topology.Snapshot)) (stop func())
	Members(ctx context.Context) ([]topology.Member, error)
	Submit(ctx context.Context, r topology.Request) (id string, err error)
	Requests() []topology.Request
	WatchRequests(f func([]topology.Request)) (stop func())
	Authority() topology.Authority
	WatchAuthority(f func(topology.Authority)) (stop func())
	Promise(r topology.PromiseRequest) error
	Raised() topology.Alarms
}

// Watcher tells what this member's monitor knows. Report must not block.
type Watcher interface {
	Report() Report
}

// Counter tells what the proxy has counted. Traffic must not block.
type Counter interface {
	Traffic() Traffic
}

// Asker asks members whether they are there, and tells why one is not, by id: nil for those that are. It may block for some
// hundred milliseconds.
type Asker interface {
	Answers(ctx context.Context, list []topology.Member) map[string]error
}

// Identity is who answers.
type Identity struct {
	Version string // of the program
	Cluster string
	ID      string // of this member
	// ClusterIdentity tells the cluster from others of the same name: a topology.Fingerprint; "" if it has none.
	ClusterIdentity string
	// WriteAcks is how many replicas this member wants to have a write before it is answered.
	WriteAcks int
}

// Report is what the monitor knows of the nodes and of the past.
type Report struct {
	Nodes     []Node
	Failovers []Failover // the latest ones, oldest first
	Alarms    []string   // what stands in the way and needs an operator
	// StallAfter is after how long a silence a node is held down whose host takes connections.
	StallAfter time.Duration
}

// Node is one node as the monitor sees it.
type Node struct {
	Addr     string
	Aliases  []string // further addresses of the same server
	RunID    string
	Version  string // of redis-server; "" while it was not heard
	Down     bool
	Reason   string        // why it is held down
	Since    time.Time     // since when it is down, or up
	Silent   time.Duration // for how long it has answered nothing without being held down yet; 0: it answers
	Error    string        // the error that it answers with instead of telling about itself
	Heard    time.Time     // when it last told about itself; zero: never
	Follows  string        // of a replica: host:port of its master
	Link     string        // of a replica, to its master: up or down
	Offset   int64         // of replication, in bytes
	LagBytes int64         // of a replica
	LagTime  time.Duration // of a replica
	Latency  time.Duration // of a probe, smoothed
	Priority int           // replica-priority
}

// Failover is one change of master.
type Failover struct {
	Epoch    uint64
	Cause    string
	From, To string
	Began    time.Time
	Duration time.Duration // 0 while it is under way
}

// Traffic is what the proxy has counted since it started.
type Traffic struct {
	Clients    int    // connected now
	MaxClients int    // the limit
	Refused    uint64 // clients that were told of the limit
	Held       int    // clients that wait for a master now
	Sessions   session.Stats
	Nodes      []upstream.NodeStats // sorted by address
}

// Admin implements session.Admin. Its methods may be called from any goroutine.
type Admin struct {
	who     Identity
	since   time.Time
	cluster Cluster
	watcher Watcher
	counter atomic.Pointer[Counter]
	asker   atomic.Pointer[Asker]
	journal *journal
	roster  roster
	unwatch func()

	ctx     context.Context
	mu      sync.Mutex // guards beginning to run against Close
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ session.Admin = (*Admin)(nil)

// New returns an Admin that counts nothing yet; see Count. It takes note of events, and of who the members are, from now until Close.
func New(who Identity, cluster Cluster, watcher Watcher) *Admin {
	a := &Admin{who: who, since: time.Now(), cluster: cluster, watcher: watcher, journal: newJournal()}
	a.ctx, a.stop = context.WithCancel(context.Background())
	states := cluster.Watch(a.journal.follow)
	requests := cluster.WatchRequests(a.journal.followRequests)
	authority := cluster.WatchAuthority(a.journal.followAuthority)
	a.unwatch = func() {
		states()
		requests()
		authority()
	}
	a.background(a.remember)
	return a
}

// Count gives the Admin the counters of the proxy. It is apart from New because a proxy is made with its Admin.
func (a *Admin) Count(c Counter) { a.counter.Store(&c) }

// Ask gives the Admin the way to other members. Without it nobody is known to answer but this one.
func (a *Admin) Ask(asker Asker) { a.asker.Store(&asker) }

func (a *Admin) traffic() Traffic {
	if c := a.counter.Load(); c != nil {
		return (*c).Traffic()
	}
	return Traffic{}
}
