package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/bytelog"
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// world is everything around a session, without sockets and with a clock of its own: a test plays client, nodes,
// coordinator and time. It is the eventloop.Loop of all of them.
type world struct {
	onGrant  func() // called once, when the grant is asked for next
	onLook   func() // called whenever somebody is about to look at the State
	t        *testing.T
	now      time.Time
	stopped  time.Duration // how long the process stood still in the present turn
	posted   []func()
	timers   []*fakeTimer
	dirty    []*fakeConn
	dials    []dialling
	links    []*fakeConn // to nodes, in the order of connecting
	snapshot topology.Snapshot
	grant    topology.Grant
	lease    time.Duration
	tracker  *freshness.Tracker
	samples  *freshness.Samples
	reign    freshness.Reign
	offset   int64
	lagging  bool // no replica gets what is written
	acks     int  // that a write needs
	planned  bool // a change of master that follows is
	alive    bool // its old master is
	suspects []string
	fenced   []uint64
	env      *Env
	gone     int    // clients closed
	version  string // of the servers
	table    *command.Table
}

type dialling struct {
	addr string
	done func(eventloop.Conn, error) eventloop.Handler
}

type fakeTimer struct {
	world *world
	at    time.Time
	due   bool
	f     func()
}

func (ft *fakeTimer) Stop() { ft.due = false }

func (ft *fakeTimer) Reset(d time.Duration) { ft.at, ft.due = ft.world.now.Add(d), true }

// newWorld has a master m and replicas r1 and r2, to which nothing is connected yet.
func newWorld(t *testing.T) *world { return newDurableWorld(t, 0) }

// newDurableWorld is one in which a write is answered when acks replicas have it; 0: when the master has.
func newDurableWorld(t *testing.T, acks int) *world {
	return newWorldWith(t, acks, func(*upstream.Config) {})
}

// newWorldWith is newDurableWorld with a change of the pool's configuration.
func newWorldWith(t *testing.T, acks int, change func(*upstream.Config)) *world {
	w := &world{t: t, now: time.Unix(1000, 0), acks: acks, version: "7.0.15", table: command.Builtin()}
	w.grant = topology.Grant{Epoch: 1}
	w.state(1, topology.Stable, "m", "r1", "r2")
	pool := &bytelog.Pool{}
	w.tracker = freshness.NewTracker()
	fresh := w.tracker.NewLoop(command.Builtin)
	cfg := w.poolConfig(fresh)
	change(&cfg)
	w.env = &Env{
		Loop:      w,
		Pool:      upstream.NewPool(cfg, w, w, pool, slog.New(slog.NewTextHandler(io.Discard, nil))),
		Bytes:     pool,
		Config:    &Config{HoldTimeout: 10 * time.Second, Policy: Causal, InputLimit: 4 << 20, OutputLimit: 64 << 20, WriteAcks: acks, WriteAcksTimeout: time.Second},
		Freshness: fresh,
		Commands:  func() *command.Table { return w.table },
		Learn: func(name, reply []byte) (bool, error) {
			learned, err := w.table.Learn(name, reply)
			if learned != nil {
				w.table = learned
			}
			return learned != nil, err
		},
		Scripts:  &Scripts{},
		Pause:    &Pause{},
		Sessions: map[*Session]struct{}{},
		Closed:   func(*Session, CloseReason) { w.gone++ },
	}
	w.env.Hubs = pubsub.NewHubs(w.env.Pool, w.Now)
	w.look()
	w.acceptAll()
	return w
}

// replicate lets every replica have all that was written and answered by now.
func (w *world) replicate() {
	s := w.snapshot.State
	if s.Phase == topology.Stable && w.reign.Epoch != s.Epoch {
		w.reign = freshness.Reign{Epoch: s.Epoch, Master: freshness.Node{Addr: s.Master.Addr, RunID: s.Master.RunID}, ReplID: s.Master.ReplID}
		w.samples = w.tracker.NewSamples()
	}
	var nodes []freshness.Node
	for _, r := range s.Replicas {
		nodes = append(nodes, freshness.Node{Addr: r.Addr, RunID: r.RunID})
	}
	w.offset++
	w.samples.Answered(w.samples.Begin(w.now.Add(-time.Millisecond)), w.offset)
	for _, r := range w.tracker.Enroll(w.snapshot.Version, w.reign, nodes) {
		w.samples.Reached(r, w.offset, w.now)
	}
}

func (w *world) poolConfig(fresh *freshness.Loop) upstream.Config {
	return upstream.Config{
		Freshness:    fresh,
		WriteAcks:    w.acks,
		PushLimit:    8 << 20,
		ClientName:   "test",
		DrainTimeout: time.Second,
		Lease:        func() time.Duration { return w.lease },
		Suspect:      func(addr string) { w.suspects = append(w.suspects, addr) },
		Fenced:       func(epoch uint64) { w.fenced = append(w.fenced, epoch) },
	}
}

// runs are the numbers of the nodes' runs.
var runs = map[string]uint32{"m": 1, "r1": 2, "r2": 3}

// state publishes a State; the loop hears of it in the next turn.
func (w *world) state(epoch uint64, phase topology.Phase, master string, replicas ...string) {
	s := &topology.State{Format: topology.Format, Epoch: epoch, Phase: phase, Master: topology.Node{Addr: master, Run: runs[master]}}
	for _, r := range replicas {
		s.Replicas = append(s.Replicas, topology.Replica{Node: topology.Node{Addr: r, Run: runs[r]}, Health: topology.Online})
	}
	if phase != topology.Stable {
		s.Failover = &topology.Failover{MasterDown: !w.planned && !w.alive, Planned: w.planned}
	}
	if w.acks > 0 {
		s.Durable = &topology.Durable{Acks: w.acks}
		for i := range s.Replicas {
			r := &s.Replicas[i]
			r.RunID = r.Addr + "-run"
			s.Durable.Holders = append(s.Durable.Holders, topology.Holder{Addr: r.Addr, RunID: r.RunID})
		}
	}
	w.snapshot = topology.Snapshot{State: s, Version: w.snapshot.Version + 1}
	if w.env != nil {
		w.look()
	}
}

// amend publishes the State with a change of its replicas, in the same epoch.
func (w *world) amend(change func(*topology.State)) {
	w.t.Helper()
	s := w.snapshot.State.Clone()
	change(s)
	w.snapshot = topology.Snapshot{State: s, Version: w.snapshot.Version + 1}
	w.look()
}

// look has the loop take in the State that is published.
func (w *world) look() {
	w.t.Helper()
	w.env.Pool.Refresh()
	w.turn()
}

// inherits makes a replica the master, with the other replicas behind it, and returns the connection to it.
func (w *world) inherits(addr string, replicas ...string) *fakeConn {
	w.t.Helper()
	w.grant = topology.Grant{Epoch: 2}
	w.state(2, topology.Stable, addr, replicas...)
	return w.accept(addr)
}

func (w *world) Snapshot() topology.Snapshot {
	if w.onLook != nil {
		w.onLook()
	}
	return w.snapshot
}

func (w *world) Grant() topology.Grant {
	if f := w.onGrant; f != nil {
		w.onGrant = nil
		f()
	}
	return w.grant
}

func (w *world) Run() error       { return nil }
func (w *world) Stop()            {}
func (w *world) Post(f func())    { w.posted = append(w.posted, f) }
func (w *world) Now() time.Time   { return w.now }
func (w *world) Clock() time.Time { return w.now.Add(w.stopped) }
func (w *world) Listen(net.Listener, func(eventloop.Conn) eventloop.Handler) (func(), error) {
	return nil, errors.New("nobody listens here")
}

func (w *world) After(d time.Duration, f func()) eventloop.Timer {
	timer := &fakeTimer{w, w.now.Add(d), true, f}
	w.timers = append(w.timers, timer)
	return timer
}

func (w *world) Dial(_ context.Context, _ eventloop.DialFunc, _, addr string, done func(eventloop.Conn, error) eventloop.Handler) {
	w.dials = append(w.dials, dialling{addr, done})
}

// turn does what is left to do now, as the end of a loop's turn does.
func (w *world) turn() {
	w.t.Helper()
	for round := 0; len(w.posted) > 0 || len(w.dirty) > 0; round++ {
		if round > 10_000 {
			w.t.Fatal("the loop never comes to rest")
		}
		posted, dirty := w.posted, w.dirty
		w.posted, w.dirty = nil, nil
		for _, f := range posted {
			f()
		}
		for _, c := range dirty {
			c.dirty = false
			if !c.closed {
				c.handler.Flush()
			}
		}
	}
	if w.env != nil && w.env.Pool.State() != nil && !w.lagging {
		w.replicate()
	}
}

// wait lets time pass.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	for until := w.now.Add(d); ; {
		var next *fakeTimer
		for _, timer := range w.timers {
			if timer.due && !timer.at.After(until) && (next == nil || timer.at.Before(next.at)) {
				next = timer
			}
		}
		if next == nil {
			w.now = until
			return
		}
		w.now = next.at
		next.due = false
		next.f()
		w.turn()
	}
}

// accept lets all attempts to connect to a node succeed, answers the handshakes, and returns the newest.
func (w *world) accept(addr string) *fakeConn {
	w.t.Helper()
	c := w.acceptOne(addr)
	for slices.ContainsFunc(w.dials, func(d dialling) bool { return d.addr == addr }) {
		c = w.acceptOne(addr)
	}
	return c
}

// acceptAll is accept for every node that somebody connects to.
func (w *world) acceptAll() {
	w.t.Helper()
	for len(w.dials) > 0 {
		w.accept(w.dials[0].addr)
	}
}

func (w *world) acceptOne(addr string) *fakeConn {
	w.t.Helper()
	c := w.connect(addr)
	if c.closed {
		return c
	}
	if !strings.Contains(c.received, "INFO\r\n$6\r\nserver\r\n") {
		w.t.Fatalf("the handshake ends with %q", c.received)
	}
	c.handshake()
	return c
}

// connect lets the oldest attempt to connect to a node succeed.
func (w *world) connect(addr string) *fakeConn {
	w.t.Helper()
	for i, d := range w.dials {
		if d.addr != addr {
			continue
		}
		w.dials = append(w.dials[:i:i], w.dials[i+1:]...)
		c := &fakeConn{world: w, addr: addr, room: 1 << 30}
		if c.handler = d.done(c, nil); c.handler == nil {
			c.closed = true
		}
		w.links = append(w.links, c)
		w.turn()
		return c
	}
	w.t.Fatalf("nobody connects to %s", addr)
	return nil
}

// link is the newest open connection to a node, of those on which something has arrived if there are such.
func (w *world) link(addr string) *fakeConn {
	w.t.Helper()
	for i := len(w.links) - 1; i >= 0; i-- {
		if c := w.links[i]; c.addr == addr && !c.closed && c.received != "" {
			return c
		}
	}
	for i := len(w.links) - 1; i >= 0; i-- {
		if c := w.links[i]; c.addr == addr && !c.closed {
			return c
		}
	}
	w.t.Fatalf("there is no connection to %s", addr)
	return nil
}

// asked is the connection on which requests have arrived, of those to replicas.
func (w *world) asked() *fakeConn {
	w.t.Helper()
	for _, c := range w.links {
		if !c.closed && !c.paused && c.addr != "m" && c.received != "" {
			return c
		}
	}
	w.t.Fatal("no replica was asked")
	return nil
}

// has returns the open connection on which a request has arrived and is not looked at.
func (w *world) has(request string) *fakeConn {
	w.t.Helper()
	for _, c := range w.links {
		if !c.closed && strings.Contains(c.received, encoded(request)) {
			return c
		}
	}
	w.t.Fatalf("nobody was asked %q", request)
	return nil
}

// client connects a client.
func (w *world) client() *fakeConn {
	c := &fakeConn{world: w, addr: "client", room: 1 << 30}
	s := New(w.env, c, uint64(100+len(w.env.Sessions)), Default)
	c.handler, c.session = s, s
	return c
}

// serve answers, as nodes that know no data, until nothing is asked any more. Each reply names its request.
func (w *world) serve() {
	w.t.Helper()
	for again := true; again; {
		again = false
		for len(w.dials) > 0 {
			w.accept(w.dials[0].addr)
			again = true
		}
		for _, link := range w.links {
			for !link.closed && link.received != "" {
				again = true
				link.answer()
			}
		}
	}
}
