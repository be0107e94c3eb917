package upstream

import (
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/understudy/understudy/internal/bytelog"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/topology"
)

// Config is what a Pool is made with.
type Config struct {
	ClientName string             // CLIENT SETNAME of every connection
	Dial       eventloop.DialFunc // connects to an announced address
	// Username and Password are for the pool's own commands to the master; "" is the default user, without a password.
	Username, Password string
	// DrainTimeout bounds how long an unplanned fence waits for a living master to answer what is in flight. A planned
	// one waits until it is answered, or until the leader gives up.
	DrainTimeout time.Duration
	// Freshness is told of every write that was answered, and of every State. The replicas serve reads by it.
	Freshness *freshness.Loop
	// Weights, by address, is how many of the reads replicas get, in comparison with DefaultWeight; 0 is none.
	Weights map[string]int
	// Near are the addresses of the nodes in this process's own zone, whose replicas come first; nil: all of them.
	Near map[string]bool
	// WriteAcks is how many replicas must have a write for it to be durable; 0: nobody asks.
	WriteAcks int
	// PushLimit bounds the bytes of one message that is pushed to clients and has to be kept until it is whole; at least 1 MB.
	PushLimit int
	// MaxApart bounds the connections that are for one session alone because its replies are large; 0: 512.
	MaxApart int
	// Suspect is told of addresses whose connection died. It must not block.
	Suspect func(addr string)
	// Fenced is told once per epoch that nothing is in flight to the master which that epoch deposes. It must not block.
	Fenced func(epoch uint64)
	// Lease returns how long a grant lasts at most after it was confirmed, 0 for one without end. Nil: 0.
	Lease func() time.Duration
	// Gate is shared by the pools of the process; nil: this one is alone.
	Gate *Gate
}

// Pool is all connections of one event loop, and the State it routes under.
type Pool struct {
	cfg   Config
	loop  eventloop.Loop
	coord topology.Agreement
	log   *slog.Logger
	bytes *bytelog.Pool

	reign    freshness.Reign // of the last stable State
	state    *topology.State
	master   *node // nil before the first State
	replicas []*node
	near     int              // how many of them are
	nodes    map[string]*node // by address

	groups    map[Key]*Group
	unused    []*Group // those that no session uses, by the time when the last one left; some are used again
	conns     map[*Conn]struct{}
	aparts    int                   // of them that are apart
	held      line                  // wait for a master
	arrived   uint64                // numbers given to those who wait, or block
	turns     []*Conn               // see InTurn
	unready   int                   // of them that are not ready
	calming   bool                  // the answer to a PING is waited for until they send
	claimants map[Claimant]struct{} // wait for writes to be durable
	awaits    atomic.Bool           // somebody waits for a replica to become fresher
	// onProgress is called then.
	onProgress func()
	// verifying connections ask about credentials; verifiers wait to.
	verifying int
	verifiers line
	// expecting says that a grant is looked for; see expectGrant.
	expecting bool

	tenure   topology.Tenure
	since    time.Time // when the State's epoch became stable here
	passed   uint64    // the epoch whose master may be asked: all subscriptions are there, or nobody waits for them any more
	gate     *passage
	vanguard Vanguard
	doubted  int64 // the version of a State that the master itself has contradicted
	fence    uint64
	draining eventloop.Timer
	settling bool // the fence is about to be acknowledged
	// interrupting says that blocked pins are being unblocked; it is asked again after a moment.
	interrupting bool

	askedAuth    time.Time
	authRequired bool // a connection without credentials was told to authenticate first
	authHeard    bool // the master has said whether it is so
	rng          *rand.PCG
	scratch      []byte // a request that is being looked at
	marks        []freshness.Mark
	catching     []catching // wait for a replica
	enrolled     func()     // called after the nodes have changed; nil: nobody wants to know
}

// NewPool returns a pool without connections. bytes is shared with the loop's other logs.
func NewPool(cfg Config, loop eventloop.Loop, coord topology.Agreement, bytes *bytelog.Pool, log *slog.Logger) *Pool {
	p := &Pool{
		cfg: cfg, loop: loop, coord: coord, log: log, bytes: bytes,
		tenure: topology.NewTenure(coord, loop), doubted: -1,
		nodes: map[string]*node{}, groups: map[Key]*Group{}, conns: map[*Conn]struct{}{}, claimants: map[Claimant]struct{}{},
		rng: rand.NewPCG(rand.Uint64(), rand.Uint64()),
	}
	p.onProgress = func() {
		p.honour()
		p.caughtUp()
	}
	gate := cfg.Gate
	if gate == nil {
		gate = &Gate{}
	}
	p.gate = gate.join(func(epoch uint64) { loop.Post(func() { p.pass(epoch) }) })
	cfg.Freshness.OnProgress(p.progressed)
	return p
}

func (p *Pool) random() uint64 { return p.rng.Uint64() >> 1 }

// Group returns the group of key, and counts the caller among its users until Release.
func (p *Pool) Group(key Key) *Group {
	g := p.groups[key]
	if g == nil {
		g = &Group{pool: p, key: key, replicas: make([]*Conn, len(p.replicas))}
		p.groups[key] = g
	}
	g.sessions++
	return g
}

// State returns the State that the loop routes under; nil before the first.
func (p *Pool) State() *topology.State { return p.state }

// Hold makes w wait until the State changes, the master may be tried again, or a grant that was missing has come.
// It waits at at, and counts as Held.
func (p *Pool) Hold(at *Place, w Waiter) { p.HoldAs(at, w, p.Arrive()) }

// HoldAs is Hold for one that has its number already: it is told before all who arrived later, whenever they began to wait.
func (p *Pool) HoldAs(at *Place, w Waiter, number uint64) {
	p.held.add(at, w)
	at.number = number
	p.expectGrant()
}

// Arrive returns the number of one that begins to wait or to block now; the first is 1.
func (p *Pool) Arrive() uint64 {
	p.arrived++
	return p.arrived
}

// Attend is Hold for what is no client: it does not count.
func (p *Pool) Attend(at *Place, w Waiter) {
	p.Hold(at, w)
	at.Lapse()
}

// grantPoll is how often a loop with sessions that wait looks for a grant. A grant comes without a new State when the
// coordinator can be reached again, and a moment after one when this member has yet to confirm it.
const grantPoll = 2 * time.Millisecond

// expectGrant wakes the sessions that wait when the grant comes that is missing.
func (p *Pool) expectGrant() {
	if p.expecting || p.state == nil || p.state.Phase != topology.Stable || p.state.Outage != nil || p.Granted() {
		return // they are woken by something else
	}
	p.expecting = true
	p.loop.After(grantPoll, func() {
		p.expecting = false
		switch {
		case p.held.empty():
		case p.Granted():
			p.wake()
		default:
			p.expectGrant()
		}
	})
}

// Distrust says that the master of this State has answered as a replica does. Nothing more is sent to it under this
// State, or for a moment if the State proves right after all.
func (p *Pool) Distrust() {
	if p.doubted == p.tenure.Version {
		return
	}
	version := p.tenure.Version
	p.doubted = version
	p.suspect(p.master.addr)
	p.loop.After(masterDoubt, func() {
		if p.doubted == version { // or else another one is doubted by now, for a time of its own
			p.doubted = -1
			p.wake()
		}
	})
}

// Granted reports whether this member holds the grant of the State's epoch now, for long enough that the reply to what
// is sent now can be expected within it, and the master is not held down: what is sent to a server that hangs would hang
// with it. It is asked before a write is sent. What was sent before a master went down is answered when it comes back, or
// lost with its connection.
func (p *Pool) Granted() bool {
	return p.state != nil && p.state.Outage == nil && p.tenure.Granted(p.reserve())
}

// Unconfirmed reports whether all that is missing is the grant: nothing speaks against the master, and the coordinator does not
// confirm that it is still the one.
func (p *Pool) Unconfirmed() bool {
	return p.state != nil && p.state.Phase == topology.Stable && p.state.Outage == nil && !p.tenure.Granted(p.reserve())
}

// reserve is how long before the end of its grant this member sends no more: a write that is answered after the end has
// an unknown outcome, and every client has one in flight then.
func (p *Pool) reserve() time.Duration {
	if p.cfg.Lease == nil {
		return 0
	}
	return p.cfg.Lease() / 10
}

// Answerable reports whether the reply to a write on c may be delivered as it is: nobody can have been promoted yet
// in place of c's node.
func (p *Pool) Answerable(c *Conn) bool {
	return !c.node.left && c.node.master && p.tenure.Answerable()
}

// Fresh reports whether the epoch became stable less than d ago.
func (p *Pool) Fresh(d time.Duration) bool { return p.loop.Now().Sub(p.since) < d }

// Doubt keeps reads away from a replica for a moment: it has answered that it cannot serve them.
func (p *Pool) Doubt(c *Conn) {
	c.node.doubtedUntil = p.loop.Now().Add(replicaDoubt)
	if c.node.fresh != nil {
		c.node.fresh.Void() // it loads other data
	}
	p.suspect(c.node.addr)
	p.loop.After(replicaDoubt, p.wake) // those who wait for this very replica
}

const (
	// authInterval is how long a password that is set while clients are served may go unnoticed by those who come
	// without one.
	authInterval = 2 * time.Second
	replicaDoubt = 200 * time.Millisecond
	masterDoubt  = 50 * time.Millisecond
)

// requireAuth takes in whether the master wants credentials. When it begins to, connections that it let in without
// any are used no more.
func (p *Pool) requireAuth(required bool) {
	was := p.authRequired
	p.authRequired, p.authHeard = required, true
	if !required || was {
		return
	}
	for c := range p.conns {
		if c.group.key.anonymous() && c.ready && !c.Passthrough && (!c.pin || c.Listener == nil) {
			c.retire()
		}
	}
}

// askAuth opens a connection without credentials, to learn whether the master still lets strangers in.
func (p *Pool) askAuth() {
	if !p.writable() || !p.master.available(p.loop.Now()) {
		return
	}
	g := p.Group(Key{Proto: 2})
	g.Release()
	p.open(g, p.master, true).probe = true
}

// AuthRequired reports whether a connection without credentials was last told to authenticate first.
func (p *Pool) AuthRequired() bool { return p.authRequired }

// writable reports whether requests may be sent to the master now.
func (p *Pool) writable() bool { return p.reachable() && p.passed == p.state.Epoch && p.Granted() }

// reachable reports whether there is a master, of which nothing bad is known. There is none while there is a newer State: see
// Refresh.
func (p *Pool) reachable() bool { return !p.tenure.Behind() && p.steady() }

// steady is reachable under the State that the loop has, though there may be a newer one.
func (p *Pool) steady() bool {
	return p.state != nil && p.state.Phase == topology.Stable && p.state.Outage == nil && p.tenure.Version != p.doubted
}

func (p *Pool) suspect(addr string) { p.cfg.Suspect(addr) }

// wake lets the sessions that wait try again, in the order in which they came.
func (p *Pool) wake() {
	p.held.resume()
}

// Tend closes what has been idle for long and keeps the rest alive. The loop calls it every few seconds.
func (p *Pool) Tend() {
	now := p.loop.Now()
	if now.Sub(p.askedAuth) >= authInterval {
		p.askedAuth = now
		p.askAuth()
	}
	for c := range p.conns {
		idle := now.Sub(c.lastUse)
		if !c.ready || c.queue.n > 0 || c.Passthrough {
			continue
		}
		if c.pin && c.Listener != nil {
			continue // lent
		}
		if idle > idleTime {
			c.end(errRetired, false)
		} else if !c.pin && idle > heartbeat && (c.group.sessions > 0 || c.group.key == Key{Proto: 2}) {
			c.Send(discard{}, Repeatable, 0, pingRequest, 1)
		}
	}
	for key, g := range p.groups {
		g.trim(now)
		if g.sessions == 0 && !p.serving(g) {
			delete(p.groups, key)
		}
	}
}

func (p *Pool) serving(g *Group) bool {
	for c := range p.conns {
		if c.group == g {
			return true
		}
	}
	return false
}

// Nodes tells what this loop sends to whom.
func (p *Pool) Nodes() []NodeStats {
	stats := make([]NodeStats, 0, len(p.nodes))
	for _, n := range p.nodes {
		s := n.stats
		s.Addr, s.Master, s.Latency = n.addr, n.master, n.latency
		for c := range p.conns {
			if c.node == n && !c.own {
				s.Conns++
			}
		}
		stats = append(stats, s)
	}
	return stats
}

// Held returns how many sessions wait for a master.
func (p *Pool) Held() int { return p.held.n }

// heartbeat is how long a lane rests before it is used for a PING, so that neither a server's timeout nor a
// middlebox forgets it.
const heartbeat = 10 * time.Second

var pingRequest = []byte("*1\r\n$4\r\nPING\r\n")

// discard owns requests whose replies interest nobody.
type discard struct{}

func (discard) Reply(*Conn, *Entry, []byte)            {}
func (discard) Stream(*Conn, *Entry, []byte, bool)     {}
func (discard) Lost(*Conn, *Entry, []byte, bool, bool) {}
func (discard) Yields(*Entry) bool                     { return false }
func (discard) Yield(*Conn, *Entry, []byte)            {}

// Close ends all connections.
func (p *Pool) Close() {
	for c := range p.conns {
		c.end(errRetired, false)
	}
}
