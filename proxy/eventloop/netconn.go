package eventloop

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	netReadSize = 16 << 10 // of a connection's reading buffer: the largest TLS record
	// readAhead is how much is read of a connection whose reading is paused, so that its end is noticed. An end that
	// lies further behind is noticed when reading goes on.
	readAhead = 64 << 10
	// writeBuffer is how much a connection takes before it has been sent.
	writeBuffer = 256 << 10
	// keepBuffer is the largest buffer that a connection keeps when it is empty.
	keepBuffer = 64 << 10
)

// netConn is one net.Conn with its two goroutines. The reader reads into its own buffer, hands that to the loop and
// waits until it has been consumed. The writer sends what Write has gathered, and closes the net.Conn at the end.
type netConn struct {
	endpoint
	loop    *netLoop
	nc, raw net.Conn // raw: below TLS, if there is TLS; else nc

	// Posted again and again: made once.
	onRead, onPump, onRoom, onBroken func()

	// The loop's only.
	paused  bool
	unread  []byte // read ahead
	holding bool   // the reader waits for its buffer
	eof     bool   // the peer sends nothing more
	ended   bool   // the same, and all it sent was passed on

	// The reader's, and the loop's while the reader waits.
	got        []byte
	gotErr     error
	release    chan struct{} // the reader's buffer is its own again
	readerDone chan struct{}

	mu       sync.Mutex // guards what follows
	work     sync.Cond  // something to write, or closing
	out      []byte     // to be written
	spare    []byte     // the memory of what was written
	inFlight int        // bytes being written now
	short    bool       // Write took less than it was given
	err      error      // of writing
	closing  bool       // the writer ends when out is empty
	patient  bool       // then it waits until the peer has closed, too
	written  bool       // the writer has ended
	cut      *time.Timer
}

// adopt makes a connection of nc and starts its goroutines. What they find waits until a handler is attached.
func (l *netLoop) adopt(nc net.Conn) *netConn {
	c := &netConn{
		endpoint:   endpoint{base: &l.base},
		loop:       l,
		nc:         nc,
		raw:        nc,
		release:    make(chan struct{}, 1),
		readerDone: make(chan struct{}),
	}
	if wrapper, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.raw = wrapper.NetConn()
	}
	c.work.L = &c.mu
	c.onRead, c.onPump, c.onRoom, c.onBroken = c.arrived, c.pump, c.Flush, c.broken
	l.conns[c] = struct{}{}
	l.goroutines.Go(c.readAll)
	l.goroutines.Go(c.writeAll)
	return c
}

func (c *netConn) attach(h Handler) {
	if c.closed { // by the code that was asked for the handler
		return
	}
	if h == nil {
		c.Close()
		return
	}
	c.handler = h
}

// readAll is the reader. After Close it goes on, and the loop discards what it reads (a connection that is closed while bytes
// arrive is reset, which destroys what was written), until the peer has closed or the writer has closed the connection.
func (c *netConn) readAll() {
	defer close(c.readerDone)
	buf := make([]byte, netReadSize)
	for {
		n, err := c.nc.Read(buf)
		c.got, c.gotErr = buf[:n], err
		c.loop.Post(c.onRead)
		select {
		case <-c.release:
		case <-c.loop.gone:
		}
		if err != nil {
			return
		}
	}
}

// arrived takes what the reader has read.
func (c *netConn) arrived() {
	c.holding = true
	c.pump()
}

// pump passes on what was read, as far as the handler wants it.
func (c *netConn) pump() {
	for !c.closed && !c.paused && len(c.unread) > 0 {
		p := c.unread
		c.unread = nil
		c.handler.Data(p)
	}
	if c.holding {
		c.consume()
	}
	if c.eof && !c.ended && !c.closed && len(c.unread) == 0 {
		c.ended = true
		c.handler.HalfClosed(false)
	}
}

// consume empties the reader's buffer and gives it back, if there is room for what is in it.
func (c *netConn) consume() {
	switch {
	case c.closed:
	case !c.paused:
		if len(c.got) > 0 {
			c.handler.Data(c.got)
		}
	case len(c.unread)+len(c.got) <= readAhead || c.gotErr != nil:
		c.unread = append(c.unread, c.got...)
	default:
		return // until ResumeRead
	}
	err := c.gotErr
	c.holding = false
	c.release <- struct{}{}
	switch {
	case err == nil || c.closed:
	case err != io.EOF:
		c.fail(err)
	default:
		c.eof = true
		if len(c.unread) > 0 {
			c.handler.HalfClosed(true)
		}
	}
}

// writeAll is the writer.
func (c *netConn) writeAll() {
	if c.send() {
		if w, ok := c.nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
			select {
			case <-c.readerDone:
			case <-c.loop.gone:
			}
		}
	}
	c.nc.Close() // an error would say that it is closed already
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = true
	if c.cut != nil {
		c.cut.Stop()
		c.loop.lingering.Add(-1)
	}
}

// send sends until the connection is closed or fails. It reports whether the peer should be waited for.
func (c *netConn) send() (patient bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.out) == 0 && !c.closing {
			c.work.Wait()
		}
		if len(c.out) == 0 {
			return c.patient
		}
		p := c.out
		c.out, c.inFlight = c.spare, len(p)
		c.mu.Unlock()
		_, err := c.nc.Write(p)
		c.mu.Lock()
		c.spare, c.inFlight = nil, 0
		if cap(p) <= keepBuffer {
			c.spare = p[:0]
		}
		if err != nil {
			c.err = err
			c.loop.Post(c.onBroken)
			return false
		}
		if c.short && len(c.out) <= writeBuffer/2 {
			c.short = false
			c.loop.Post(c.onRoom)
		}
	}
}

// broken tells the handler that writing has failed.
func (c *netConn) broken() {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	c.fail(err)
}

func (c *netConn) fail(err error) {
	if !c.closed {
		c.abort()
		c.handler.Closed(err)
	}
}

// abort closes the connection and discards what is still to be written. Closing the raw connection wakes whoever reads
// or writes, and never waits, as closing a TLS connection may.
func (c *netConn) abort() {
	c.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing, c.out = true, nil
	c.raw.Close() // the writer closes once more
	c.work.Signal()
}

// forget makes the loop let go of the connection.
func (c *netConn) forget() {
	c.closed = true
	c.unread = nil
	delete(c.loop.conns, c)
	c.loop.Post(c.onPump) // releases a reader that waits; not here, since the handler may be looking at its buffer
}

// Write implements Conn.
func (c *netConn) Write(p []byte) (int, error) {
	if c.closed {
		return 0, ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue(p), c.err
}

// Writev implements Conn.
func (c *netConn) Writev(bufs [][]byte) (int, error) {
	if c.closed {
		return 0, ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	for _, b := range bufs {
		n := c.queue(b)
		total += n
		if n < len(b) {
			break
		}
	}
	return total, c.err
}

// queue takes what there is room for. The caller holds mu.
func (c *netConn) queue(p []byte) int {
	if c.err != nil {
		return 0
	}
	n := min(len(p), writeBuffer-len(c.out)-c.inFlight)
	if n < len(p) {
		c.short = true
	}
	if n > 0 {
		c.out = append(c.out, p[:n]...)
		c.work.Signal()
	}
	return n
}

// PauseRead implements Conn.
func (c *netConn) PauseRead() { c.paused = true }

// ResumeRead implements Conn.
func (c *netConn) ResumeRead() {
	if c.paused && !c.closed {
		c.paused = false
		c.loop.Post(c.onPump) // not here: the handler is in the middle of something
	}
}

// Close implements Conn. The writer delivers what it has, within closeTimeout.
func (c *netConn) Close() {
	if c.closed {
		return
	}
	c.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.written {
		return
	}
	c.closing = true
	c.patient = c.loop.lingering.Add(1) <= maxLingering && !c.eof && !c.loop.stopping()
	c.cut = time.AfterFunc(closeTimeout, func() { c.raw.Close() })
	c.work.Signal()
}

// Reset implements Conn.
func (c *netConn) Reset() {
	if !c.closed {
		if t, ok := c.raw.(interface{ SetLinger(sec int) error }); ok {
			t.SetLinger(0) // best effort: the close follows
		}
		c.abort()
	}
}

// RemoteAddr implements Conn.
func (c *netConn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr implements Conn.
func (c *netConn) LocalAddr() net.Addr { return c.nc.LocalAddr() }
