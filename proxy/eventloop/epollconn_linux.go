package eventloop

import (
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollConn is one socket.
type epollConn struct {
	endpoint
	loop          *epoll
	fd            int
	remote, local net.Addr
	events        uint32        // what is polled for
	failure       syscall.Errno // of a write
	ended         bool          // the peer sends nothing more, and all it sent was read
	parked        bool          // not in the epoll set: see park
}

// adopt makes a connection of a connected non-blocking socket. It is read from once a handler is attached.
func (l *epoll) adopt(fd int, remote, local net.Addr) *epollConn {
	if isTCP(remote) {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // a refusal would only cost latency
	}
	return &epollConn{endpoint: endpoint{base: &l.base}, loop: l, fd: fd, remote: remote, local: local,
		events: unix.EPOLLIN | unix.EPOLLRDHUP}
}

func isTCP(a net.Addr) bool {
	_, ok := a.(*net.TCPAddr)
	return ok
}

func (c *epollConn) attach(h Handler) {
	if c.closed { // by the code that was asked for the handler
		return
	}
	if h == nil {
		c.Close()
		return
	}
	c.handler = h
	if err := c.loop.register(c.fd, c.events, c); err != nil {
		c.fail(err)
	}
}

func (c *epollConn) ready(events uint32) {
	switch {
	case events&c.events&unix.EPOLLIN != 0:
		c.read()
	case events&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		c.hungUp()
	case events&c.events&unix.EPOLLRDHUP != 0:
		c.halfClosed()
	}
	if events&unix.EPOLLOUT != 0 && !c.closed {
		c.poll(c.events &^ unix.EPOLLOUT)
		c.Flush()
	}
}

func (c *epollConn) read() {
	// Receiving spares the kernel what reading does for files: some percent of the two calls that a request costs.
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&c.loop.buf[0])), readSize, 0, 0, 0)
	switch {
	case e == 0 && n > 0:
		c.handler.Data(c.loop.buf[:n])
	case e == 0:
		c.end()
	case e != unix.EAGAIN && e != unix.EINTR:
		c.fail(e)
	}
}

// end notes that the peer sends nothing more and has been heard to the end.
func (c *epollConn) end() {
	c.poll(c.events &^ (unix.EPOLLIN | unix.EPOLLRDHUP))
	c.ended = true
	c.handler.HalfClosed(false)
}

// halfClosed handles the peer's end of stream while reading is paused.
func (c *epollConn) halfClosed() {
	if c.unread() == 0 {
		c.end()
		return
	}
	c.poll(c.events &^ unix.EPOLLRDHUP) // it would be reported for ever
	c.handler.HalfClosed(true)
}

// hungUp handles the end of both directions, or an error, of a connection that is not being read from.
func (c *epollConn) hungUp() {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err == nil && code != 0:
		c.fail(syscall.Errno(code))
	case c.failure != 0: // the write has taken the socket's error
		c.fail(c.failure)
	case c.ended:
		c.fail(io.EOF)
	case c.unread() == 0:
		c.end()
	case c.events&unix.EPOLLIN == 0:
		c.park()
	}
}

// park keeps what a peer sent before it closed its Unix socket altogether until reading is resumed. Such a socket
// counts as hung up, which epoll cannot be asked not to report, so it leaves the epoll set meanwhile.
func (c *epollConn) park() {
	c.loop.unregister(c.fd)
	c.parked = true
	told := c.events&unix.EPOLLRDHUP == 0
	c.events &^= unix.EPOLLRDHUP | unix.EPOLLOUT // there is nobody to write to
	if !told {
		c.handler.HalfClosed(true)
	}
}

// unread returns how many bytes have arrived and were not read.
func (c *epollConn) unread() int {
	n, err := unix.IoctlGetInt(c.fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

func (c *epollConn) fail(err error) {
	if !c.closed {
		c.closed = true
		c.loop.closeFD(c.fd)
		c.handler.Closed(err)
	}
}

// poll changes what is polled for.
func (c *epollConn) poll(events uint32) {
	if events == c.events {
		return
	}
	c.events = events
	switch {
	case c.handler == nil: // attach will register it
	case !c.parked:
		c.loop.modify(c.fd, events)
	case events&unix.EPOLLIN != 0:
		c.parked = false
		if err := c.loop.register(c.fd, events, c); err != nil {
			c.parked = true
			c.base.Post(func() { c.fail(err) }) // not in the middle of the handler's work
		}
	}
}

func (c *epollConn) Write(p []byte) (int, error) {
	if c.closed {
		return 0, ErrClosed
	}
	for len(p) > 0 {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		switch e {
		case 0:
			if int(n) < len(p) {
				c.poll(c.events | unix.EPOLLOUT)
			}
			return int(n), nil
		case unix.EAGAIN:
			c.poll(c.events | unix.EPOLLOUT)
			return 0, nil
		case unix.EINTR:
		default:
			c.failure = e
			return 0, e
		}
	}
	return 0, nil
}

func (c *epollConn) Writev(bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return c.Write(bufs[0])
	}
	if c.closed {
		return 0, ErrClosed
	}
	total := 0
	for len(bufs) > 0 {
		n, want, e := c.sendmsg(bufs[:min(len(bufs), maxIovecs)])
		if e == unix.EINTR {
			continue
		}
		if e != 0 && e != unix.EAGAIN {
			c.failure = e
			return total, e
		}
		if e == unix.EAGAIN {
			n = 0
		}
		total += n
		if n < want {
			c.poll(c.events | unix.EPOLLOUT)
			return total, nil
		}
		bufs = bufs[min(len(bufs), maxIovecs):]
	}
	return total, nil
}

// sendmsg makes one system call for at most maxIovecs buffers and returns how much it took of how much it was given.
func (c *epollConn) sendmsg(bufs [][]byte) (n, want int, e syscall.Errno) {
	iovecs, k := &c.loop.iovecs, 0
	for _, b := range bufs {
		if len(b) > 0 {
			iovecs[k].Base = &b[0]
			iovecs[k].SetLen(len(b))
			want += len(b)
			k++
		}
	}
	if k == 0 {
		return 0, 0, 0
	}
	msg := unix.Msghdr{Iov: &iovecs[0]}
	msg.SetIovlen(k)
	r, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
	clear(iovecs[:k])
	return int(r), want, e
}

func (c *epollConn) PauseRead() {
	if !c.closed {
		c.poll(c.events &^ unix.EPOLLIN)
	}
}

func (c *epollConn) ResumeRead() {
	if !c.closed && !c.ended {
		c.poll(c.events | unix.EPOLLIN)
	}
}

func (c *epollConn) Close() {
	if !c.closed {
		c.closed = true
		if !c.linger() {
			c.loop.closeFD(c.fd)
		}
	}
}

func (c *epollConn) Reset() {
	if !c.closed {
		c.closed = true
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // best effort: the close follows
		c.loop.closeFD(c.fd)
	}
}

func (c *epollConn) drop() {
	c.closed = true
	c.loop.closeFD(c.fd)
}

func (c *epollConn) RemoteAddr() net.Addr { return c.remote }
func (c *epollConn) LocalAddr() net.Addr  { return c.local }
