package upstream

import (
	"fmt"
	"math"
)

// streamAt is the size from which a reply is passed on in parts instead of being held until it is whole. A smaller
// reply that breaks off can be asked for again elsewhere, because nothing of it was delivered.
const streamAt = 1 << 20

// Data implements eventloop.Handler.
func (c *Conn) Data(p []byte) {
	pool := c.group.pool
	pool.Refresh() // a State that fences this node counts before the replies that came after it
	if c.ended {
		return
	}
	start, pos := 0, 0
	for pos < len(p) && !c.ended {
		if n := c.joint(p[pos:]); n > 0 {
			pos += n
			start = pos
			continue
		}
		n, done, err := c.scanner.Scan(p[pos:])
		pos += n
		if err != nil {
			c.end(fmt.Errorf("malformed reply: %w", err), true)
			return
		}
		if !done {
			break
		}
		frame := p[start:pos]
		start = pos
		if len(c.partial) > 0 {
			c.partial = append(c.partial, frame...)
			frame = c.partial
			c.frame(frame)
			c.partial = c.partial[:0]
			if cap(c.partial) > 256<<10 {
				c.partial = nil
			}
			continue
		}
		c.frame(frame)
	}
	if c.ended || start == len(p) {
		return
	}
	rest := p[start:]
	if c.streaming || c.mustStream(rest) {
		c.stream(rest, false)
		return
	}
	if c.Keeps(len(c.partial) + len(rest) + min(c.scanner.Pending(), maxPending)) {
		c.partial = append(c.partial, rest...)
	}
}

// maxPending keeps what a server announces from overflowing a sum.
const maxPending = math.MaxInt / 2

// Keeps reports whether that many bytes of a frame are kept until it is whole: of what is pushed to clients, as many as they
// may leave unread, and otherwise no more than of a reply. If not, the connection ends: it is no server that pushes on a lane,
// and a message without an end would take all memory.
func (c *Conn) Keeps(size int) bool {
	limit := streamAt
	if c.ready && c.Listener != nil {
		limit = max(limit, c.group.pool.cfg.PushLimit)
	}
	if size <= limit {
		return true
	}
	c.group.pool.log.Warn("a connection to a node was given up: a message that is pushed on it is larger than may be kept",
		"node", c.node.addr, "bytes", size, "limit", limit)
	c.end(errOversize, true)
	return false
}

// mustStream reports whether the reply at the front, which goes on with more, is to be passed on in parts from now on.
// What is pushed between replies is not.
func (c *Conn) mustStream(more []byte) bool {
	return c.ready && (c.queue.n > 0 && c.begins(more) != '>' || c.Passthrough) && len(c.partial)+len(more)+c.scanner.Pending() > streamAt
}

// begins returns the first byte of the frame that is arriving.
func (c *Conn) begins(more []byte) byte {
	if len(c.partial) > 0 {
		return c.partial[0]
	}
	return more[0]
}

// stream passes on a part of a reply. Strangers do not wait behind it.
func (c *Conn) stream(part []byte, last bool) {
	if !c.streaming {
		c.streaming = true
		if !c.Passthrough {
			c.stamp(1)
		}
		c.Isolate()
		if len(c.partial) > 0 {
			c.streamOn(c.partial, false)
			c.partial = nil
		}
		if c.ended {
			return
		}
	}
	c.streaming = !last
	c.streamOn(part, last)
}

func (c *Conn) streamOn(part []byte, last bool) {
	if c.Passthrough {
		if c.Listener != nil {
			c.Listener.PushPart(c, part, last)
		}
		return
	}
	e := c.queue.front()
	if last {
		e.Replies--
	}
	e.Owner.Stream(c, e, part, last)
	if last {
		c.afterReply(e)
	}
}

// frame handles one whole reply.
func (c *Conn) frame(frame []byte) {
	switch {
	case c.streaming:
		c.stream(frame, true)
	case !c.ready:
		c.introduced(frame)
	case c.Passthrough, frame[0] == '>' && c.Listener != nil:
		c.Listener.Push(c, frame)
	case frame[0] == '>': // a push that nobody asked for
	case c.queue.n == 0:
		c.end(errNoReply, true)
	default:
		e := c.queue.front()
		if e.Replies--; e.Replies == 0 {
			c.stamp(1)
		}
		e.Owner.Reply(c, e, frame)
		c.afterReply(e)
	}
}

// afterReply takes the front entry off if it was answered in full.
func (c *Conn) afterReply(e *Entry) {
	if !c.ended && e.Replies == 0 {
		c.answer(1, e.Size)
		c.settle()
	}
}

// answer takes the n entries at the front off, which are all alike. size is that of their requests.
func (c *Conn) answer(n, size int) {
	c.log.Release(size)
	e := c.queue.front()
	if e.Kind != Repeatable {
		c.writes -= n
	}
	if e.Tag == tagGiven {
		c.given -= n
	}
	c.queue.pop(n)
	c.answered += int64(n)
	if c.sample != 0 && c.answered >= c.sample {
		now := c.group.pool.loop.Now()
		c.node.observe(now.Sub(c.sentAt), now)
		c.sample = 0
	}
}
