package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/understudy/understudy/internal/bytelog"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/resp"
)

var (
	errRetired  = errors.New("the connection was retired")
	errFenced   = errors.New("the node is being deposed")
	errNoReply  = errors.New("a reply came that nothing was waiting for")
	errOversize = errors.New("a message is larger than may be kept")
	errSilent   = errors.New("the server does not answer the handshake")
	errIdentity = errors.New("the server is not the run that the state names")
)

// Conn is one connection to a node: a lane, shared by sessions, or a pin, lent to one. It takes requests while it is
// still connecting. It belongs to its pool's loop.
type Conn struct {
	group *Group
	node  *node
	pin   bool
	apart bool // a pin for the ordinary requests of a session with large replies
	reads bool // a lane to the master on which there are no writes
	// Listener, on a pin, takes pushed frames and hears of the pin's end. With Passthrough set, every frame is one.
	Listener    Listener
	Passthrough bool
	// Up, if set, is called once when the node has answered the handshake, before anything else is sent.
	Up func()
	// subscriber says that nothing but subscriptions goes over it: see PinSubscriber.
	subscriber bool
	// Blocking says that the command under way on a pin may wait at the server for as long as it likes. A fence ends
	// that with an error; Interrupted tells whether it did.
	Blocking bool

	gathered    []freshness.Mark // what the next EXEC on a pin changes
	id          string           // CLIENT ID of a pin; "" while unknown
	interrupted bool
	inLine      bool // what was appended waits for its turn: see InTurn

	net      eventloop.Conn     // nil until connected
	cancel   context.CancelFunc // nil until there is an attempt to connect
	opening  bool               // the node has yet to answer: it counts as one that is being opened
	shake    handshake
	patience eventloop.Timer // ends a handshake that is not answered
	patient  time.Duration   // how long that takes; 0: handshakeTimeout
	ready    bool
	probe    bool // ends when it is ready: it was opened to hear what the server says to strangers
	frank    bool // a wrong password is an answer, whichever server says so
	own      bool // the proxy's own questions go over it: they do not count as traffic
	retired  bool // takes no more requests; ends when the last is answered
	rejected bool // the master refuses the credentials
	ended    bool

	log       bytelog.Log
	queue     entries
	writes    int // entries in it that are not Repeatable
	given     int // of a lane that is retired: entries in it that were given back; it ends when there are no others
	scanner   resp.ReplyScanner
	partial   []byte // of a reply that is not whole yet
	streaming bool   // the reply at the front is being passed on in parts
	paused    bool   // nothing is read: the one session that this connection serves does not drain

	sample   int64 // number of the request whose round trip is being measured; 0: none
	sentAt   time.Time
	answered int64
	lastUse  time.Time
	bufs     [8][]byte
}

// Usable reports whether the connection takes requests.
func (c *Conn) Usable() bool { return !c.ended && !c.retired }

// Ready reports whether the node has answered the handshake.
func (c *Conn) Ready() bool { return c.ready }

// Master reports whether the node is the master.
func (c *Conn) Master() bool { return c.node.master }

// Addr returns the address of the node.
func (c *Conn) Addr() string { return c.node.addr }

// Send queues one request, whole and encoded as multibulk, for the end of this turn. replies is 1, or for a Block the
// number of commands in it. The connection must be Usable.
func (c *Conn) Send(owner Owner, kind Kind, tag uint8, request []byte, replies int) {
	c.Append(request)
	c.Expect(Entry{Owner: owner, Size: len(request), Replies: int32(replies), Nature: Nature{Kind: kind, Tag: tag}})
}

// SharedFrom is the size in bytes from which Append, and whatever uses it, keeps requests where they are.
const SharedFrom = 1 << 20

// Append adds the bytes of one or more requests to the log; Expect must follow for each of them. If they are SharedFrom or
// longer they are not copied, and must not be changed any more: a copy of a large value would take as much memory again, and
// as long as it takes everybody else on the loop would wait.
func (c *Conn) Append(requests []byte) {
	if len(requests) >= SharedFrom {
		c.log.AppendShared(requests)
	} else {
		c.log.Append(requests)
	}
	if c.ready {
		c.net.Flush()
	}
}

// Expect queues the entries of the next requests whose bytes were appended.
func (c *Conn) Expect(es ...Entry) {
	c.queue.push(es)
	for i := range es {
		if es[i].Kind != Repeatable {
			c.writes++
		}
	}
	if c.own {
		return
	}
	c.node.stats.Requests += uint64(len(es))
	if c.sample == 0 {
		c.sample = c.answered + int64(c.queue.n-len(es)+1)
		c.sentAt = c.group.pool.loop.Now()
	}
}

// Untimed says that the request sent last may wait at the server for as long as it likes: the time until its reply says nothing
// of how quick the node is.
func (c *Conn) Untimed() {
	if c.sample == c.answered+int64(c.queue.n) {
		c.sample = 0
	}
}

// Raw sends bytes for which no reply is counted: a Passthrough pin's requests.
func (c *Conn) Raw(request []byte) { c.Append(request) }

// Unsent returns how many bytes of requests the node has not taken yet.
func (c *Conn) Unsent() int { return c.log.Unsent() }

// Request appends to dst the bytes of the entry at the front: inside Reply, the request that is being answered.
func (c *Conn) Request(dst []byte) []byte { return c.log.Front(dst, c.queue.front().Size) }

// Pause stops reading replies when everything that is still to come belongs to the session at the front, which does
// not drain its own; Resume goes on. A lane takes no more requests then, and strangers' reads that wait on it are given
// back. It is not paused, and Pause returns false, while a write of a stranger waits, or a fence for any write.
func (c *Conn) Pause() bool {
	if !c.pin {
		c.retire()
		c.evict()
	}
	if c.urgent() {
		return false
	}
	for i := 1; i < c.queue.n; i++ {
		if o := c.queue.at(i).Owner; o != c.queue.front().Owner && o != (discard{}) {
			return false
		}
	}
	if c.net != nil && !c.paused && !c.ended {
		c.paused = true
		c.net.PauseRead()
	}
	return true
}

// evict gives back what waits behind a client that does not read, as far as it may be asked again elsewhere.
func (c *Conn) evict() {
	front := c.queue.front()
	at := front.Size
	for i := 1; i < c.queue.n; i++ {
		e := c.queue.at(i)
		if e.Owner != front.Owner && e.Kind == Repeatable && e.Owner.Yields(e) {
			taken := *e
			c.giveBack(e)
			taken.Owner.Yield(c, &taken, c.log.Range(make([]byte, 0, e.Size), at, e.Size))
		}
		at += e.Size
	}
}

// giveBack has nobody wait for the reply to a request any more.
func (c *Conn) giveBack(e *Entry) {
	e.Owner, e.Nature = discard{}, Nature{Kind: Repeatable, Tag: tagGiven}
	c.given++
}

// tagGiven marks an entry that was given back.
const tagGiven = 255

// Resume undoes Pause.
func (c *Conn) Resume() {
	if c.paused && !c.ended {
		c.paused = false
		c.net.ResumeRead()
	}
}

// Close ends the connection; requests that are not answered are reported Lost.
func (c *Conn) Close() { c.end(errRetired, false) }

// Interrupted reports whether the pool has asked the server to end what blocks on this pin: an -UNBLOCKED is the answer
// to that, and nothing was applied.
func (c *Conn) Interrupted() bool { return c.interrupted }

// settle ends a retired connection that has nothing more to do, and tells a pool that waits for the fence.
func (c *Conn) settle() {
	if c.ended {
		return
	}
	if c.queue.n > c.given {
		if c.writes == 0 {
			c.group.pool.settled()
		}
		return
	}
	c.lastUse = c.group.pool.loop.Now()
	if c.retired {
		c.end(errRetired, false)
		return
	}
	c.group.pool.settled()
}

// Retire makes the connection take no more requests, and end when those it has are answered.
func (c *Conn) Retire() { c.retire() }

func (c *Conn) retire() {
	if !c.retired {
		c.retired = true
		c.group.forget(c)
		if c.queue.n == 0 {
			c.settle()
		}
	}
}

// Flush implements eventloop.Handler.
func (c *Conn) Flush() {
	if !c.ready || c.inLine {
		return
	}
	for c.log.Unsent() > 0 {
		bufs := c.log.Next(c.bufs[:0], len(c.bufs))
		want := 0
		for _, b := range bufs {
			want += len(b)
		}
		n, err := c.net.Writev(bufs)
		clear(bufs)
		c.log.Sent(n)
		if c.Passthrough && c.queue.n == 0 {
			c.log.Release(c.log.Len() - c.log.Unsent()) // nothing of it can be sent again
		}
		if err != nil {
			c.end(fmt.Errorf("writing: %w", err), true)
			return
		}
		if n < want {
			return
		}
	}
}

// HalfClosed implements eventloop.Handler: a node that stops sending has closed.
func (c *Conn) HalfClosed(bool) { c.end(io.EOF, true) }

// Closed implements eventloop.Handler.
func (c *Conn) Closed(err error) { c.end(err, true) }

// end closes the connection and reports what was not answered. failed says that it was the node's doing.
func (c *Conn) end(err error, failed bool) {
	if c.ended {
		return
	}
	c.ended = true
	pool := c.group.pool
	if c.patience != nil {
		c.patience.Stop()
	}
	switch {
	case c.net != nil:
		c.net.Reset() // what the kernel has not sent must not arrive later
	case c.cancel != nil:
		c.cancel()
	}
	c.opened()
	c.group.forget(c)
	delete(pool.conns, c)
	if c.apart {
		pool.aparts--
	}
	busy := c.queue.n > 0 || !c.ready
	switch lost := failed || c.net == nil && !errors.Is(err, errRetired) && !errors.Is(err, errFenced); {
	case lost && c.own:
		pool.suspect(c.node.addr)
	case lost:
		c.node.failed(pool, err, busy)
	}
	sent := c.log.Len() - c.log.Unsent()
	partial := c.streaming && !c.Passthrough
	for end := 0; c.queue.n > 0; partial = false {
		e := *c.queue.front()
		end += e.Size
		if end <= sent {
			c.stamp(1)
		}
		request := c.log.Front(make([]byte, 0, e.Size), e.Size)
		c.log.Release(e.Size)
		c.queue.pop(1)
		if e.Kind != Repeatable {
			c.writes--
		}
		e.Owner.Lost(c, &e, request, end <= sent, partial)
	}
	c.log.Clear()
	c.partial = nil
	if c.Listener != nil {
		c.Listener.PinLost(c)
	}
	if !c.ready {
		c.arrive()
	}
	pool.settled()
}
