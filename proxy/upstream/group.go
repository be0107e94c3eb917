package upstream

import (
	"bytes"
	"slices"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
)

// Key names a kind of conversation: requests of sessions with the same Key may share a connection.
type Key struct {
	DB       int
	Proto    int // 2 or 3
	User     string
	Password string
	NoTouch  bool // reads leave no trace in when and how often keys were used
}

// anonymous reports whether clients with this key have not authenticated.
func (k Key) anonymous() bool { return k.User == "" && k.Password == "" }

// Group is the connections of one Key: a lane to each node, another one to the master for what only reads, and a stock of
// pins to the master. What only reads can always be asked again on another connection, so nobody has to wait behind it;
// a write cannot.
type Group struct {
	pool     *Pool
	key      Key
	master   *Conn
	reads    *Conn               // to the master
	replicas []*Conn             // as pool.replicas; nil where none is open
	idle     []*Conn             // pins that are clean and lent to nobody
	refused  map[*node]time.Time // replicas that do not take this key, until when they are not asked again
	sessions int
}

const (
	// maxIdlePins is the stock of pins that a group keeps. More are given up when nobody has wanted them for surplusTime:
	// a crowd of clients that were served together blocks again together, and would need them all anew.
	maxIdlePins = 64
	surplusTime = 2 * time.Second
	// idleTime is how long a connection that nobody uses stays open.
	idleTime = time.Minute
	// refusedFor is how long a replica that has refused a key is left alone with it.
	refusedFor = 5 * time.Second
)

// maxIdleGroups is how many groups that no session uses keep their connections until these have been idle for long. A
// client can make as many groups as it likes: a user without a password takes any, and each is another Key.
const maxIdleGroups = 16

// Release says that a session no longer uses the group.
func (g *Group) Release() {
	g.sessions--
	if p := g.pool; g.sessions == 0 && !g.key.anonymous() && g.key != p.ownKey() {
		p.unused = append(slices.DeleteFunc(p.unused, func(u *Group) bool { return u == g }), g)
		if len(p.unused) > maxIdleGroups {
			p.unused[0].empty()
			p.unused = append(p.unused[:0], p.unused[1:]...)
		}
	}
}

// empty ends the connections of a group that nobody has come back to.
func (g *Group) empty() {
	if g.sessions > 0 {
		return
	}
	for _, c := range append([]*Conn{g.master, g.reads}, g.replicas...) {
		if c != nil {
			c.Retire()
		}
	}
	for len(g.idle) > 0 {
		g.idle[len(g.idle)-1].end(errRetired, false) // which takes it off the list
	}
}

// Master returns the lane to the master, or nil when there is none to be had now: no stable State, no grant, or the
// master does not accept connections. Then the session waits (Pool.Hold).
func (g *Group) Master() *Conn {
	if !g.pool.writable() {
		return nil
	}
	return g.masterLane()
}

// masterLane returns the lane to the master, open or being opened; nil if none can be.
func (g *Group) masterLane() *Conn {
	p := g.pool
	if c := g.master; c != nil && c.Usable() {
		return c
	}
	if !p.master.available(p.loop.Now()) {
		return nil
	}
	g.master = p.open(g, p.master, false)
	return g.master
}

// MasterReads is Master for what only reads.
func (g *Group) MasterReads() *Conn {
	if !g.pool.writable() {
		return nil
	}
	return g.readsLane()
}

// readsLane is masterLane for what only reads.
func (g *Group) readsLane() *Conn {
	p := g.pool
	if c := g.reads; c != nil && c.Usable() {
		return c
	}
	if !p.master.available(p.loop.Now()) {
		return nil
	}
	g.reads = p.open(g, p.master, false)
	g.reads.reads = true
	return g.reads
}

// tooSlow is how long a replica may leave a request unanswered. After that the master is asked.
const tooSlow = 50 * time.Millisecond

// Replica returns a lane to a replica that is allowed to answer a read, or nil and the reason why there is none. Replicas
// of the own zone come first. Of two of them the one is taken that promises to answer sooner: the one where the session was
// last, if there is such, and another, by weight.
func (g *Group) Replica(w *freshness.Want) (*Conn, freshness.Reason) {
	p := g.pool
	if len(p.replicas) == 0 || p.tenure.Behind() || p.authRequired && g.key.anonymous() {
		return nil, freshness.NoReplica // the master tells them so, even if a replica would let them in
	}
	now := p.loop.Now()
	c := g.best(w, now, true)
	if c == nil && p.near < len(p.replicas) {
		c = g.best(w, now, false)
	}
	return g.quick(w, c, now)
}

// best returns a lane to one of the replicas that are near, or of those that are not; nil if none may answer.
func (g *Group) best(w *freshness.Want, now time.Time, near bool) *Conn {
	first := g.last(w, near)
	if first < 0 {
		first = g.draw(near, -1)
	}
	if first < 0 {
		return nil
	}
	a := g.allowed(w, first, now)
	second := g.draw(near, first)
	if second < 0 {
		return a
	}
	b := g.allowed(w, second, now)
	for i, r := range g.pool.replicas {
		if a == nil && b == nil && r.near == near && r.weight > 0 {
			a = g.allowed(w, i, now)
		}
	}
	if a == nil || b != nil && b.cost() < a.cost() {
		return b
	}
	return a
}

// last returns where the session was last, -1 if that is none of these replicas.
func (g *Group) last(w *freshness.Want, near bool) int {
	if w.At != nil {
		for i, r := range g.pool.replicas {
			if r.fresh == w.At && r.near == near && r.weight > 0 {
				return i
			}
		}
	}
	return -1
}

// draw returns a random replica other than one, by weight; -1 if there is none.
func (g *Group) draw(near bool, other int) int {
	p := g.pool
	total := 0
	for i, r := range p.replicas {
		if r.near == near && i != other {
			total += r.weight
		}
	}
	if total == 0 {
		return -1
	}
	at := int(p.random() % uint64(total))
	for i, r := range p.replicas {
		if r.near == near && i != other {
			if at -= r.weight; at < 0 {
				return i
			}
		}
	}
	return -1
}

// allowed returns the lane to a replica if it may answer.
func (g *Group) allowed(w *freshness.Want, i int, now time.Time) *Conn {
	if f := g.pool.replicas[i].fresh; f == nil || !w.Allows(f) {
		return nil
	}
	return g.replica(i, now)
}

// quick returns the lane that was chosen, unless it is nil, or slow while there is a master to be asked instead: then the
// reason.
func (g *Group) quick(w *freshness.Want, c *Conn, now time.Time) (*Conn, freshness.Reason) {
	if c != nil {
		slow := c.sample != 0 && now.Sub(c.sentAt) > tooSlow && c.ready
		if slow && g.pool.writable() && g.pool.master.available(now) {
			return nil, freshness.NoReplica
		}
		return c, 0
	}
	best, any := uint64(0), false
	for i, r := range g.pool.replicas {
		if r.fresh != nil && r.weight > 0 && !r.fresh.Apart() && g.replica(i, now) != nil {
			best, any = max(best, r.fresh.AsOf()), true
		}
	}
	if !any || w.Eventual {
		return nil, freshness.NoReplica
	}
	f := g.pool.cfg.Freshness
	f.Need(max(w.Keys, w.Floor))
	return nil, f.Refusal(w, best)
}

// cost is what a further request is expected to wait, by weight: a replica with twice the weight may take half as long for
// the same cost. A lane that is still connecting costs so much that reads go
// to another as long as there is one, and so does one whose node has stopped answering.
func (c *Conn) cost() time.Duration {
	if !c.ready {
		return dialTimeout
	}
	now := c.group.pool.loop.Now()
	each := c.node.expected(now)
	if c.sample != 0 {
		each = max(each, now.Sub(c.sentAt))
	}
	return time.Duration(c.queue.n+1) * each * DefaultWeight / time.Duration(max(c.node.weight, 1))
}

// refusedBy remembers that a replica refuses credentials or a database that the master accepts: it is passed over.
func (g *Group) refusedBy(n *node, frame []byte) {
	g.passOver(n)
	g.pool.log.Warn("a replica refuses what the master accepts; its configuration differs", "node", n.addr, "user", g.key.User,
		"database", g.key.DB, "error", string(bytes.TrimSpace(frame[1:])))
}

// passOver keeps reads of this group away from a replica for a while.
func (g *Group) passOver(n *node) {
	if g.refused == nil {
		g.refused = map[*node]time.Time{}
	}
	g.refused[n] = g.pool.loop.Now().Add(refusedFor)
}

func (g *Group) replica(i int, now time.Time) *Conn {
	n := g.pool.replicas[i]
	if !n.serves || now.Before(n.doubtedUntil) || len(g.refused) > 0 && now.Before(g.refused[n]) {
		return nil
	}
	if c := g.replicas[i]; c != nil && c.Usable() {
		return c
	}
	if !n.available(now) {
		return nil
	}
	g.replicas[i] = g.pool.open(g, n, false)
	return g.replicas[i]
}

// Fresh returns what is known of how fresh the node of a lane is, or nil if it is the master.
func (c *Conn) Fresh() *freshness.Replica { return c.node.fresh }

// Writable reports whether requests may be sent to the master now.
func (g *Group) Writable() bool { return g.pool.writable() }

// Takes reports whether further requests may be sent behind those that a session has outstanding on a connection to the
// master, be it a lane or one that it has apart. writes says that there are writes among them.
func (g *Group) Takes(c *Conn, writes bool) bool {
	return g.pool.writable() && c.Usable() && (c.apart || c == g.master || c == g.reads && !writes)
}

// Pin lends a connection of its own to the master, or returns nil as Master does. borrower hears of its end.
func (g *Group) Pin(borrower Listener) *Conn {
	p := g.pool
	if !p.writable() {
		return nil
	}
	if n := len(g.idle); n > 0 {
		c := g.idle[n-1]
		g.idle = g.idle[:n-1]
		c.Listener = borrower
		return c
	}
	if !p.master.available(p.loop.Now()) {
		return nil
	}
	c := p.openInLine(g, p.master)
	c.Listener = borrower
	return c
}

// Unpin takes a pin back. clean says that it is as it was when it was lent: no transaction, no watched keys, no
// subscription, the same database. A pin that is not clean is closed.
func (g *Group) Unpin(c *Conn, clean bool) {
	c.Listener = nil
	c.gathered = c.gathered[:0]
	c.Blocking, c.interrupted = false, false
	if c.ended {
		return
	}
	if !clean || c.queue.n > 0 || c.Passthrough || !c.node.master || c.node.left {
		c.end(errRetired, false)
		return
	}
	c.Resume()
	c.lastUse = g.pool.loop.Now()
	g.idle = append(g.idle, c)
}

// trim ends the pins that are more than the stock, those first that were given back first.
func (g *Group) trim(now time.Time) {
	for len(g.idle) > maxIdlePins && now.Sub(g.idle[0].lastUse) > surplusTime {
		g.idle[0].end(errRetired, false)
	}
}

// forget takes a connection out of the places where it would be found for new requests.
func (g *Group) forget(c *Conn) {
	if g.master == c {
		g.master = nil
	}
	if g.reads == c {
		g.reads = nil
	}
	for i, r := range g.replicas {
		if r == c {
			g.replicas[i] = nil
		}
	}
	for i, r := range g.idle {
		if r == c {
			g.idle = append(g.idle[:i], g.idle[i+1:]...)
			break
		}
	}
}
