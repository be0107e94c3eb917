// Package bytelog is the queue of bytes between a parser and a socket: appended at the back, sent from the middle,
// released at the front. A connection to a node keeps a request in its log after sending it, until the reply has
// come, so that a request can be sent again elsewhere when the connection dies; a connection to a client releases
// what it has sent.
//
//	front          sent            back
//	  | unanswered   | not yet sent  |
package bytelog

const (
	smallChunk = 4 << 10
	largeChunk = 64 << 10
	// keepSmall and keepLarge bound what a pool holds on to, about 4 MB.
	keepSmall = 256
	keepLarge = 48
)

// Pool recycles the memory of logs. It belongs to one goroutine, like the logs that use it.
type Pool struct {
	small, large []*chunk
}

type chunk struct {
	buf    []byte // len: filled
	next   *chunk
	shared bool // the buffer is others' as well, and is not recycled
}

func (p *Pool) get(size int) *chunk {
	switch {
	case size <= smallChunk:
		if n := len(p.small); n > 0 {
			c := p.small[n-1]
			p.small = p.small[:n-1]
			return c
		}
		return &chunk{buf: make([]byte, 0, smallChunk)}
	case size <= largeChunk:
		if n := len(p.large); n > 0 {
			c := p.large[n-1]
			p.large = p.large[:n-1]
			return c
		}
		return &chunk{buf: make([]byte, 0, largeChunk)}
	}
	return &chunk{buf: make([]byte, 0, size)}
}

func (p *Pool) put(c *chunk) {
	c.next = nil
	if c.shared {
		return
	}
	switch cap(c.buf) {
	case smallChunk:
		if len(p.small) < keepSmall {
			c.buf = c.buf[:0]
			p.small = append(p.small, c)
		}
	case largeChunk:
		if len(p.large) < keepLarge {
			c.buf = c.buf[:0]
			p.large = append(p.large, c)
		}
	}
}

// Log is one queue. The zero value with Pool set is empty and ready.
type Log struct {
	Pool *Pool

	head, tail *chunk
	off        int    // of the front in head
	mark       *chunk // where the unsent part begins
	markOff    int
	size       int // front to back
	unsent     int // mark to back
}

// Len returns how many bytes lie between front and back.
func (l *Log) Len() int { return l.size }

// Unsent returns how many bytes have not been sent.
func (l *Log) Unsent() int { return l.unsent }

// Append copies p to the back.
func (l *Log) Append(p []byte) {
	if len(p) == 0 {
		return
	}
	l.size += len(p)
	l.unsent += len(p)
	if l.tail != nil {
		n := min(len(p), cap(l.tail.buf)-len(l.tail.buf))
		l.tail.buf = append(l.tail.buf, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
	size := len(p)
	if l.tail != nil && size < largeChunk {
		size = largeChunk // the log is growing
	}
	c := l.Pool.get(size)
	c.buf = append(c.buf, p...)
	l.push(c)
}

// AppendShared puts p at the back without copying it. It must not be changed any more.
func (l *Log) AppendShared(p []byte) {
	if len(p) == 0 {
		return
	}
	l.size += len(p)
	l.unsent += len(p)
	l.push(&chunk{buf: p[:len(p):len(p)], shared: true})
}

// push puts a chunk at the back.
func (l *Log) push(c *chunk) {
	if l.tail == nil {
		l.head, l.mark, l.off, l.markOff = c, c, 0, 0
	} else {
		l.tail.next = c
	}
	l.tail = c
}

// Next appends the unsent part to bufs, in pieces, at most max of them.
func (l *Log) Next(bufs [][]byte, max int) [][]byte {
	off := l.markOff
	for c := l.mark; c != nil && max > 0; c = c.next {
		if off < len(c.buf) {
			bufs = append(bufs, c.buf[off:])
			max--
		}
		off = 0
	}
	return bufs
}

// Sent moves the mark n bytes on, n at most Unsent.
func (l *Log) Sent(n int) {
	l.unsent -= n
	for n > 0 {
		if k := len(l.mark.buf) - l.markOff; n > k {
			n -= k
			l.mark, l.markOff = l.mark.next, 0
			continue
		}
		l.markOff += n
		return
	}
}

// Rewind makes everything between front and back unsent.
func (l *Log) Rewind() {
	l.mark, l.markOff, l.unsent = l.head, l.off, l.size
}

// Release drops n bytes at the front, n at most Len. Bytes that were not sent count as sent.
func (l *Log) Release(n int) {
	if sent := l.size - l.unsent; n > sent {
		l.Sent(n - sent)
	}
	l.size -= n
	if l.size == 0 {
		l.Clear()
		return
	}
	l.off += n
	for l.off >= len(l.head.buf) {
		c := l.head
		l.off -= len(c.buf)
		l.head = c.next
		if l.mark == c { // everything in it was sent
			l.mark, l.markOff = l.head, 0
		}
		l.Pool.put(c)
	}
}

// Clear drops everything.
func (l *Log) Clear() {
	for c := l.head; c != nil; {
		next := c.next
		l.Pool.put(c)
		c = next
	}
	*l = Log{Pool: l.Pool}
}

// Peek returns the first n bytes, n at most Len, where they lie, or nil if they do not lie together. They must not be
// changed, and are valid until they are released.
func (l *Log) Peek(n int) []byte {
	if n == 0 || l.off+n > len(l.head.buf) {
		return nil
	}
	return l.head.buf[l.off : l.off+n : l.off+n]
}

// Front appends the first n bytes to dst, n at most Len.
func (l *Log) Front(dst []byte, n int) []byte { return l.Range(dst, 0, n) }

// Range appends n bytes to dst that begin skip bytes behind the front; skip + n is at most Len.
func (l *Log) Range(dst []byte, skip, n int) []byte {
	off := l.off + skip
	for c := l.head; n > 0; c = c.next {
		if off >= len(c.buf) {
			off -= len(c.buf)
			continue
		}
		k := min(n, len(c.buf)-off)
		dst = append(dst, c.buf[off:off+k]...)
		n -= k
		off = 0
	}
	return dst
}
