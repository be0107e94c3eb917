package eventloop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// lingering is a socket whose connection was closed while something was still on its way. Closing a socket that holds
// unread bytes, or a TCP socket that receives some later, makes the kernel reset the connection, and a reset discards
// what was written and has not arrived yet. So only the writing half is closed at first, and what the peer sends is
// discarded until it has closed, too, or closeTimeout has passed.
type lingering struct {
	loop    *epoll
	fd      int
	timeout *timer
}

// linger keeps the socket of a connection that is being closed for as long as lingering explains. It returns false
// when there is no need to, or no way.
func (c *epollConn) linger() bool {
	l := c.loop
	if c.ended || l.lingering >= maxLingering || l.stopping() || c.unread() == 0 && !c.unsent() {
		return false
	}
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil { // it is broken: nothing will arrive
		return false
	}
	l.unregister(c.fd)
	g := &lingering{loop: l, fd: c.fd}
	if l.register(c.fd, unix.EPOLLIN, g) != nil {
		return false
	}
	l.lingering++
	g.timeout = l.after(closeTimeout, g.drop)
	return true
}

// unsent reports whether TCP has something that the peer has not acknowledged. What was written to a Unix socket has
// arrived.
func (c *epollConn) unsent() bool {
	n, err := unix.IoctlGetInt(c.fd, unix.SIOCOUTQ)
	return isTCP(c.remote) && err == nil && n > 0
}

func (g *lingering) ready(uint32) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(g.fd), uintptr(unsafe.Pointer(&g.loop.buf[0])), readSize)
	if e == 0 && n == 0 || e != 0 && e != unix.EAGAIN && e != unix.EINTR {
		g.drop()
	}
}

func (g *lingering) drop() {
	g.timeout.Stop()
	g.loop.lingering--
	g.loop.closeFD(g.fd)
}
