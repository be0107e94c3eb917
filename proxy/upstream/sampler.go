package upstream

import (
	"bytes"
	"time"

	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/topology"
)

// judgeAnew has the replicas of a State judged under the reign of its master. While a master is being deposed the
// replicas have what they had.
func (p *Pool) judgeAnew(s topology.Snapshot) {
	m := s.State.Master
	if s.State.Phase == topology.Stable {
		p.reign = freshness.Reign{Epoch: s.State.Epoch, Master: freshness.Node{Addr: m.Addr, RunID: m.RunID}, ReplID: m.ReplID}
	}
	var nodes []freshness.Node
	for _, r := range p.replicas {
		if r.serves {
			nodes = append(nodes, freshness.Node{Addr: r.addr, RunID: r.runID})
		}
	}
	fresh := p.cfg.Freshness.Enroll(s.Version, p.reign, nodes)
	for _, r := range p.replicas {
		if r.fresh = nil; r.serves {
			r.fresh, fresh = fresh[0], fresh[1:]
		}
	}
	if p.enrolled != nil {
		p.enrolled()
	}
}

// Sampler takes the samples of a process, over connections of its own: one to the master, one to each replica that
// serves. It belongs to one pool, and to the loop of that pool; the Tracker is everybody's.
//
// While samples are needed it asks every Interval, or seldom if for some time there were only writes: the master, if what
// it answered last is too old for somebody, and each replica that is behind what is needed. As soon as the master has answered the replicas are asked, so that one
// which keeps up is known to do so within two round trips of the write.
type Sampler struct {
	pool     *Pool
	tracker  *freshness.Tracker
	interval time.Duration
	maxSkew  time.Duration // between the clocks of a replica that serves and the master; 0: any

	reign    freshness.Reign
	since    time.Time // the reign began
	samples  *freshness.Samples
	master   *probe
	replicas []*probe
	timer    eventloop.Timer // of the next look; nil: there was none yet
	resting  bool            // no look is due
	slow     bool            // one is, but late, because nobody reads
	readAt   time.Time       // something was read, or a rest ended
	look     func()
}

// NewSampler begins to take samples whenever they are needed, for as long as the loop runs. The loop need not run yet.
func NewSampler(p *Pool, interval, maxSkew time.Duration) *Sampler {
	s := &Sampler{pool: p, tracker: p.cfg.Freshness.Tracker, interval: interval, maxSkew: maxSkew}
	s.samples = s.tracker.NewSamples()
	s.resting = true
	s.look = func() {
		s.resting = true
		s.tick()
	}
	p.enrolled = s.enroll
	begin := s.begin
	s.tracker.OnNeed(func() { p.loop.Post(begin) })
	return s
}

// begin ends a rest, or has what is awaited looked after at once.
func (s *Sampler) begin() {
	if !s.resting {
		if !s.slow && !s.tracker.Hurried() {
			return
		}
		s.timer.Stop()
		s.resting = true
	}
	s.readAt = s.pool.loop.Now()
	s.tick()
}

// lookAfter has the next look taken after d. There is one timer for all of them: there are hundreds in a second.
func (s *Sampler) lookAfter(d time.Duration) {
	s.resting = false
	if s.timer == nil {
		s.timer = s.pool.loop.After(d, s.look)
		return
	}
	s.timer.Reset(d)
}

// pause is the time to the next look. Each costs two or three system calls for every node and the wake-ups that go with them:
// with 50 clients that pipeline writes, looks every 2 ms took a fifth of the process's time.
func (s *Sampler) pause(now time.Time) time.Duration {
	if s.tracker.WasRead() {
		s.readAt = now
	}
	s.slow = false
	switch {
	case s.tracker.Hurried():
		return min(s.interval, hurriedInterval)
	case now.Sub(s.readAt) > unreadFor:
		s.slow = true
		s.tracker.Slow()
		return s.interval * unreadFactor
	}
	return s.interval
}

// enroll follows a new State.
func (s *Sampler) enroll() {
	p := s.pool
	if s.reign != p.reign {
		s.reign, s.since = p.reign, p.loop.Now()
		s.samples = s.tracker.NewSamples()
		s.master.close()
		s.master = nil
	}
	if s.master == nil || s.master.node != p.master {
		s.master.close()
		s.master = &probe{sampler: s, node: p.master}
	}
	var next []*probe
	for _, n := range p.replicas {
		if !n.serves {
			continue
		}
		keep := &probe{sampler: s, node: n, fresh: n.fresh}
		for i, r := range s.replicas {
			if r != nil && r.node == n && r.fresh == n.fresh {
				keep, s.replicas[i] = r, nil
			}
		}
		next = append(next, keep)
	}
	for _, r := range s.replicas {
		r.close()
	}
	s.replicas = next
	if s.resting {
		p.loop.Post(s.begin)
	}
}

// tick asks whom there is to ask, or rests.
func (s *Sampler) tick() {
	s.pool.refresh()
	if s.master == nil || len(s.replicas) == 0 {
		return // nobody's freshness is needed; enroll begins anew
	}
	now := s.pool.loop.Now()
	needed := s.tracker.Needed()
	if s.samples.Last() == 0 && now.Sub(s.since) > firstPatience {
		for _, r := range s.replicas {
			r.fresh.Trust()
		}
	}
	settled, left := s.settled(needed, now)
	if settled && !left {
		s.tracker.Settled(needed)
	}
	if settled && s.tracker.Rest(needed) {
		if left {
			s.lookAfter(probeRetry)
		}
		return
	}
	s.lookAfter(s.pause(now))
	if s.master.verified && s.samples.Last() >= needed || !s.master.ask(now) {
		s.askReplicas(needed, now)
	}
}

// settled reports whether every replica has reached what is needed, or cannot be asked now: then some are left.
func (s *Sampler) settled(needed uint64, now time.Time) (settled, left bool) {
	for _, r := range s.replicas {
		if r.fresh.AsOf() < needed {
			if r.asked || r.mayAsk(now) {
				return false, false
			}
			left = true
		}
	}
	return true, left
}

func (s *Sampler) askReplicas(needed uint64, now time.Time) {
	for _, r := range s.replicas {
		if r.fresh.AsOf() < needed {
			r.ask(now)
		}
	}
}

// sampled takes in what the master answered.
func (s *Sampler) sampled(n uint64, offset int64) {
	s.samples.Answered(n, offset)
	for _, r := range s.replicas {
		if r.verified {
			s.samples.Reached(r.fresh, r.offset, s.pool.loop.Now())
		}
	}
	s.askReplicas(s.tracker.Needed(), s.pool.loop.Now())
}

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

// Where there were only writes for unreadFor, samples are taken at so many times the interval, until somebody reads what
// needs one.
const (
	unreadFor    = 100 * time.Millisecond
	unreadFactor = 5
)

// hurriedInterval is the time between two looks while somebody waits for a replica.
const hurriedInterval = time.Millisecond

// firstPatience is how long a process that begins without a master waits for its answer before replicas serve reads.
const firstPatience = 200 * time.Millisecond

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
