package eventloop

import (
	"net"

	"golang.org/x/sys/unix"
)

// acceptBatch bounds how many connections one turn accepts, so that a storm of them does not starve the others.
const acceptBatch = 64

// acceptor accepts the connections of one listener.
type acceptor struct {
	loop    *epoll
	fd      int
	open    func(Conn) Handler
	resting Timer // until it ends, the listener is not polled
	stopped bool
}

// Listen implements Loop.
func (l *epoll) Listen(ln net.Listener, open func(Conn) Handler) (func(), error) {
	if l.stopping() {
		return nil, ErrClosed
	}
	fd, err := duplicate(ln)
	if err != nil {
		return nil, err
	}
	a := &acceptor{loop: l, fd: fd, open: open}
	if err := a.poll(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	l.acceptors[a] = struct{}{}
	return a.stop, nil
}

// poll waits for connections, exclusively: with several loops on one listener, a connection wakes one of them.
func (a *acceptor) poll() error { return a.loop.register(a.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, a) }

func (a *acceptor) ready(uint32) {
	for range acceptBatch {
		fd, sa, err := unix.Accept4(a.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			a.accepted(fd, sa)
			if a.stopped {
				return
			}
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED, unix.EPERM, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN,
			unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH:
			// accept(2) reports what had already gone wrong with the connection: the next one may be well.
		default: // no descriptors or no memory
			a.rest()
			return
		}
	}
}

// rest leaves waiting connections in the kernel's queue for a moment: without descriptors, accepting would spin.
func (a *acceptor) rest() {
	a.loop.unregister(a.fd)
	a.resting = a.loop.After(acceptPause, func() {
		if a.poll() != nil {
			a.rest()
		}
	})
}

func (a *acceptor) accepted(fd int, sa unix.Sockaddr) {
	var local net.Addr
	if sa, err := unix.Getsockname(fd); err == nil { // else it is unknown, which is no reason to turn a client away
		local = sockaddr(sa)
	}
	c := a.loop.adopt(fd, sockaddr(sa), local)
	c.attach(a.open(c))
}

func (a *acceptor) stop() {
	if !a.stopped {
		a.stopped = true
		if a.resting != nil {
			a.resting.Stop()
		}
		delete(a.loop.acceptors, a)
		a.loop.closeFD(a.fd)
	}
}

func (a *acceptor) drop() { a.stop() }

// sockaddr translates the kernel's form of an address.
func sockaddr(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: append(net.IP(nil), sa.Addr[:]...), Port: sa.Port}
	case *unix.SockaddrInet6:
		a := &net.TCPAddr{IP: append(net.IP(nil), sa.Addr[:]...), Port: sa.Port}
		if sa.ZoneId != 0 {
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				a.Zone = i.Name
			}
		}
		return a
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return &net.UnixAddr{Net: "unix"}
}
