package upstream

import (
	"bytes"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
)

// probe is the sampler's connection to one node. At most one question is under way.
//
// A new one asks for INFO: it tells whose history the node has (master_replid). From then on ROLE is asked, which is
// small; a replica that follows another node than before, or whose link is not up, is asked for INFO again.
type probe struct {
	sampler   *Sampler
	node      *node
	fresh     *freshness.Replica // nil: the node is the master
	conn      *Conn              // nil until something is asked
	asked     bool
	refused   bool      // it was logged that it does not answer
	notBefore time.Time // the next question
	sample    uint64    // that the master is asked for

	verified bool      // a replica's: it has the history of the master. The master's: its history is known
	history  []byte    // master_replid
	informed time.Time // when the master told it
	follows  []byte    // whom a replica follows, as ROLE tells it; empty: not known yet
	offset   int64     // a replica's, processed
	clock    clock
}

var (
	askRole = []byte("*1\r\n$4\r\nROLE\r\n")
	askInfo = []byte("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n")
)

const (
	tagRole uint8 = iota
	tagInfo
	tagTime
)

// historyInterval is how often the master is asked again whose history it writes, while a replica has another.
const historyInterval = time.Second

// probeRetry is how long a node is left alone after it did not answer as it should.
const probeRetry = 50 * time.Millisecond

// mayAsk reports whether the node can be asked now.
func (p *probe) mayAsk(now time.Time) bool {
	return !p.asked && !now.Before(p.notBefore) && (p.conn != nil || p.node.available(now))
}

// ask sends the next question if the node can be asked now, and reports whether it did.
func (p *probe) ask(now time.Time) bool {
	if !p.mayAsk(now) {
		return false
	}
	pool := p.sampler.pool
	if p.conn == nil {
		g := pool.Group(pool.ownKey())
		g.Release()
		if until := g.refused[p.node]; now.Before(until) {
			p.notBefore = until
			return false
		}
		p.conn = pool.open(g, p.node, true)
		p.conn.own, p.conn.Listener = true, p
	}
	p.asked = true
	if !p.verified {
		p.conn.Send(p, Repeatable, tagInfo, askInfo, 1)
		return true
	}
	if p.askClock(now) {
		return true
	}
	if p.fresh == nil {
		p.sample = p.sampler.samples.Begin(now)
	}
	p.conn.Send(p, Repeatable, tagRole, askRole, 1)
	return true
}

// fails notes that the node did not answer as it should.
func (p *probe) fails(frame []byte) {
	p.verified = false
	p.notBefore = p.sampler.pool.loop.Now().Add(probeRetry)
	if frame[0] == '-' && !p.refused {
		p.refused = true
		p.sampler.pool.log.Warn("a node does not tell how far its data is; reads that must see writes go to the master", "node", p.node.addr,
			"error", string(bytes.TrimSpace(frame[1:])), "do", "allow the user of this process INFO and ROLE")
	}
}

// Asked reports whether a line of MONITOR, +time [database address] "COMMAND", shows a question that this pool asked for
// itself. They come every few milliseconds, and no client expects anything on a server that nobody uses.
func (p *Pool) Asked(line []byte) bool {
	_, rest, _ := bytes.Cut(line, []byte(" ["))
	_, rest, _ = bytes.Cut(rest, []byte(" "))
	addr, _, ok := bytes.Cut(rest, []byte("]"))
	if !ok {
		return false
	}
	for c := range p.conns {
		if c.own && c.net != nil && c.net.LocalAddr() != nil && c.net.LocalAddr().String() == string(addr) {
			return true
		}
	}
	return false
}

// close ends a probe for good; nil is none.
func (p *probe) close() {
	if p != nil && p.conn != nil {
		c := p.conn
		p.conn = nil
		c.Listener = nil
		c.Close()
	}
}

// Reply implements Owner.
func (p *probe) Reply(c *Conn, e *Entry, frame []byte) {
	if p.conn != c {
		return
	}
	p.asked = false
	switch {
	case e.Tag == tagTime:
		p.told(frame)
	case e.Tag == tagInfo && p.fresh == nil:
		p.masterInformed(frame)
	case e.Tag == tagInfo:
		p.replicaInformed(frame)
	case p.fresh == nil:
		if offset, ok := masterRole(frame); ok {
			p.sampler.sampled(p.sample, offset)
		} else {
			p.fails(frame)
		}
	default:
		p.reported(frame)
	}
}

// masterInformed takes in the master's answer to INFO replication.
func (p *probe) masterInformed(frame []byte) {
	id := field(frame, "master_replid:")
	if !bytes.Equal(field(frame, "role:"), []byte("master")) || len(id) == 0 {
		p.fails(frame)
		return
	}
	now := p.sampler.pool.loop.Now()
	p.history = append(p.history[:0], id...)
	p.verified, p.informed = true, now
	p.ask(now)
}

// replicaInformed takes in a replica's.
func (p *probe) replicaInformed(frame []byte) {
	master := p.sampler.master
	id := field(frame, "master_replid:")
	switch {
	case !master.verified: // it is asked first, and then this one
	case bytes.Equal(id, master.history) && bytes.Equal(field(frame, "master_link_status:"), []byte("up")):
		p.verified, p.follows, p.offset = true, p.follows[:0], -1
		p.ask(p.sampler.pool.loop.Now())
		return
	case !bytes.Equal(id, master.history) && p.sampler.pool.loop.Now().Sub(master.informed) > historyInterval:
		master.verified = false // it may have begun another history
	}
	p.fails(frame)
}

// reported takes in a replica's answer to ROLE. One whose link is down has what it had. One that copies everything anew,
// or follows another node, may have lost it.
func (p *probe) reported(frame []byte) {
	follows, state, offset, ok := replicaRole(frame)
	same := ok && (len(p.follows) == 0 || bytes.Equal(follows, p.follows))
	switch {
	case same && string(state) == "connected" && offset >= 0:
		p.follows, p.offset = append(p.follows[:0], follows...), offset
		p.sampler.samples.Reached(p.fresh, offset, p.sampler.pool.loop.Now())
		return
	case !same || string(state) == "sync":
		p.fresh.Void()
	}
	p.fails(frame) // see whose history it has
}

// Stream implements Owner: no such reply is large.
func (p *probe) Stream(c *Conn, _ *Entry, _ []byte, last bool) {
	if last && p.conn == c {
		p.asked, p.verified = false, false
	}
}

// Lost implements Owner.
func (p *probe) Lost(*Conn, *Entry, []byte, bool, bool) { p.asked = false }

// Yields implements Owner.
func (p *probe) Yields(*Entry) bool { return false }

// Yield implements Owner.
func (p *probe) Yield(*Conn, *Entry, []byte) {}

// Push implements Listener.
func (p *probe) Push(*Conn, []byte) {}

// PushPart implements Listener.
func (p *probe) PushPart(*Conn, []byte, bool) {}

// PinLost implements Listener. What the node had may be gone with its process.
func (p *probe) PinLost(c *Conn) {
	if p.conn != c {
		return
	}
	p.conn, p.asked, p.verified = nil, false, false
	p.notBefore = p.sampler.pool.loop.Now().Add(probeRetry / 10)
	if p.fresh != nil {
		p.fresh.Void()
	}
}
