package eventloop

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readSize  = 128 << 10            // of the one buffer that a loop reads into
	rawWait   = 3 * time.Millisecond // how long to wait with the processor held; then through the runtime
	maxEvents = 512
	maxIovecs = 64
	// acceptBatch bounds how many connections one turn accepts, so that a storm of them does not starve the others.
	acceptBatch = 64
	// acceptPause is how long accepting rests when the process has no descriptors left.
	acceptPause = 100 * time.Millisecond
)

// epoll is the Linux driver: readiness by epoll, sockets in non-blocking mode, system calls made without telling the
// Go scheduler. A non-blocking call returns in microseconds, and telling the scheduler lets it hand the processor to
// another thread meanwhile, which costs more than the call. Only a wait that turns out long goes through the runtime.
type epoll struct {
	fd, wake int // the epoll instance; an eventfd that Post and Stop write to

	mu     sync.Mutex // guards posted, woken and stopped: all that other goroutines touch
	posted []func()
	woken  bool
	stop   bool

	now     time.Time
	timers  timers
	files   []registered // by descriptor
	gen     int32
	dirty   []*epollConn
	buf     []byte
	events  [maxEvents]unix.EpollEvent
	iovecs  [maxIovecs]unix.Iovec
	dialing sync.WaitGroup
	ctx     context.Context // ends with the loop
	cancel  context.CancelFunc
}

// registered is what a descriptor in the epoll set stands for. The generation tells an event of the present holder
// of a descriptor from one that was fetched for an earlier holder in the same turn.
type registered struct {
	gen   int32
	ready func(events uint32)
}

// NewEpoll returns a loop driven by epoll. It fails when the process has no descriptors left.
func NewEpoll() (Loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventloop: epoll_create1: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventloop: eventfd: %w", err)
	}
	l := &epoll{fd: fd, wake: wake, buf: make([]byte, readSize), now: time.Now()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.register(wake, unix.EPOLLIN, func(uint32) { l.drainWake() }); err != nil {
		unix.Close(fd)
		unix.Close(wake)
		return nil, err
	}
	return l, nil
}

// New returns the fastest loop of this system.
func New() (Loop, error) { return NewEpoll() }

func (l *epoll) Now() time.Time { return l.now }

func (l *epoll) Post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.signal()
	l.mu.Unlock()
}

func (l *epoll) Stop() {
	l.mu.Lock()
	l.stop = true
	l.signal()
	l.mu.Unlock()
}

// signal wakes the loop. The caller holds mu.
func (l *epoll) signal() {
	if !l.woken {
		l.woken = true
		one := [8]byte{1}
		unix.Write(l.wake, one[:]) // fails only when the counter is full, and then the loop is awake
	}
}

func (l *epoll) drainWake() {
	var b [8]byte
	unix.Read(l.wake, b[:])
	l.mu.Lock()
	l.woken = false
	l.mu.Unlock()
}

func (l *epoll) After(d time.Duration, f func()) Timer { return l.timers.add(time.Now().Add(d), f) }

func (l *epoll) register(fd int, events uint32, ready func(uint32)) error {
	for fd >= len(l.files) {
		l.files = append(l.files, registered{})
	}
	l.gen++
	l.files[fd] = registered{l.gen, ready}
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.gen}
	if err := unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		l.files[fd] = registered{}
		return fmt.Errorf("eventloop: epoll_ctl: %w", err)
	}
	return nil
}

func (l *epoll) modify(fd int, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.files[fd].gen}
	unix.EpollCtl(l.fd, unix.EPOLL_CTL_MOD, fd, &ev) // cannot fail for a registered descriptor
}

func (l *epoll) closeFD(fd int) {
	if fd < len(l.files) { // else it was never registered
		l.files[fd] = registered{}
	}
	unix.Close(fd) // leaves the epoll set by itself
}

func (l *epoll) Run() error {
	defer l.shutdown()
	for {
		n, err := l.wait()
		if err != nil {
			return err
		}
		l.now = time.Now()
		stop := l.runPosted()
		for i := range n {
			ev := &l.events[i]
			if f := &l.files[ev.Fd]; f.ready != nil && f.gen == ev.Pad {
				f.ready(ev.Events)
			}
		}
		l.timers.run(l.now)
		l.flush()
		if stop {
			return nil
		}
	}
}

// wait fetches events. It polls with the processor held for a few milliseconds, since under load the next event is
// nearer than that, and then blocks through the runtime, so that an idle loop costs nothing.
func (l *epoll) wait() (int, error) {
	timeout := time.Duration(-1)
	if d, ok := l.timers.next(time.Now()); ok {
		timeout = d
	}
	raw := rawWait
	if timeout >= 0 && timeout < raw {
		raw = timeout
	}
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.fd), uintptr(unsafe.Pointer(&l.events)), maxEvents, millis(raw), 0, 0)
	if e == 0 && n > 0 {
		return int(n), nil
	}
	if e != 0 && e != unix.EINTR {
		return 0, fmt.Errorf("eventloop: epoll_wait: %w", e)
	}
	if e == unix.EINTR || raw == timeout {
		return 0, nil
	}
	ms := -1
	if timeout >= 0 {
		ms = int(millis(timeout))
	}
	got, err := unix.EpollWait(l.fd, l.events[:], ms)
	if err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("eventloop: epoll_wait: %w", err)
	}
	return got, nil
}

// millis rounds up, so that a timer is due when the wait for it has ended.
func millis(d time.Duration) uintptr { return uintptr((d + time.Millisecond - 1) / time.Millisecond) }

func (l *epoll) runPosted() (stop bool) {
	l.mu.Lock()
	fs := l.posted
	l.posted = nil
	stop = l.stop
	l.mu.Unlock()
	for _, f := range fs {
		f()
	}
	return stop
}

// flush lets everybody write who asked to. Writing may make others ask: those come in the same turn.
func (l *epoll) flush() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.dirty = false
		if !c.closed {
			c.handler.Flush()
		}
	}
	l.dirty = l.dirty[:0]
}

func (l *epoll) shutdown() {
	l.cancel()
	l.dialing.Wait()
	l.runPosted() // connections dialled meanwhile are closed by their callbacks
	for fd, f := range l.files {
		if f.ready != nil {
			l.closeFD(fd)
		}
	}
	unix.Close(l.fd)
}

func (l *epoll) Listen(ln net.Listener, open func(Conn) Handler) (func(), error) {
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("eventloop: a %T has no descriptor to poll", ln)
	}
	fd, err := duplicate(filer)
	if err != nil {
		return nil, err
	}
	a := &acceptor{loop: l, fd: fd, open: open}
	// Exclusive: with several loops on one listener, a connection wakes one of them.
	if err := l.register(fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, a.ready); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return a.stop, nil
}

// duplicate returns a non-blocking descriptor of its own for f's socket.
func duplicate(f interface{ File() (*os.File, error) }) (int, error) {
	file, err := f.File()
	if err != nil {
		return -1, fmt.Errorf("eventloop: duplicating a descriptor: %w", err)
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	if dupErr != nil {
		return -1, fmt.Errorf("eventloop: duplicating a descriptor: %w", dupErr)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// acceptor accepts the connections of one listener.
type acceptor struct {
	loop    *epoll
	fd      int
	open    func(Conn) Handler
	stopped bool
}

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
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			a.rest()
			return
		case unix.EINTR, unix.ECONNABORTED:
		default: // the network's errors of the connection that was to be accepted (accept(2)): the next may be well
		}
	}
}

// rest leaves waiting connections in the kernel's queue for a moment: without descriptors, accepting would spin.
func (a *acceptor) rest() {
	unix.EpollCtl(a.loop.fd, unix.EPOLL_CTL_DEL, a.fd, nil)
	ready := a.loop.files[a.fd].ready
	a.loop.After(acceptPause, func() {
		if !a.stopped && a.loop.register(a.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, ready) != nil {
			a.rest()
		}
	})
}

func (a *acceptor) accepted(fd int, sa unix.Sockaddr) {
	c := a.loop.adopt(fd, sockaddr(sa))
	c.attach(a.open(c))
}

func (a *acceptor) stop() {
	if !a.stopped {
		a.stopped = true
		a.loop.closeFD(a.fd)
	}
}

func (l *epoll) Dial(ctx context.Context, dial DialFunc, network, addr string, done func(Conn, error) Handler) {
	l.dialing.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(l.ctx, cancel)
	go func() {
		defer l.dialing.Done()
		defer cancel()
		defer unhook()
		nc, err := dial(ctx, network, addr)
		fd := -1
		var remote net.Addr
		if err == nil {
			remote = nc.RemoteAddr()
			if filer, ok := nc.(interface{ File() (*os.File, error) }); ok {
				fd, err = duplicate(filer)
			} else {
				err = fmt.Errorf("eventloop: a %T has no descriptor to poll", nc)
			}
			nc.Close()
		}
		l.Post(func() {
			if err == nil && l.ctx.Err() != nil {
				unix.Close(fd)
				err = ErrClosed
			}
			if err != nil {
				done(nil, err)
				return
			}
			c := l.adopt(fd, remote)
			c.attach(done(c, nil))
		})
	}()
}

// adopt makes a connection of a connected non-blocking socket. It is read from once a handler is attached.
func (l *epoll) adopt(fd int, remote net.Addr) *epollConn {
	if _, tcp := remote.(*net.TCPAddr); tcp {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // a refusal would only cost latency
	}
	return &epollConn{loop: l, fd: fd, remote: remote}
}

// epollConn is one socket.
type epollConn struct {
	loop    *epoll
	fd      int
	handler Handler
	remote  net.Addr
	events  uint32 // what is polled for
	dirty   bool   // in the loop's list of those to flush
	ended   bool   // the peer sends nothing more
	closed  bool
}

func (c *epollConn) attach(h Handler) {
	if c.closed { // by the code that was asked for the handler
		return
	}
	if h == nil {
		c.closed = true
		unix.Close(c.fd)
		return
	}
	c.handler = h
	c.events = unix.EPOLLIN | unix.EPOLLRDHUP
	if err := c.loop.register(c.fd, c.events, c.ready); err != nil {
		c.closed = true
		unix.Close(c.fd)
		h.Closed(err)
	}
}

func (c *epollConn) ready(events uint32) {
	switch {
	case events&unix.EPOLLIN != 0 && c.events&unix.EPOLLIN != 0:
		c.read()
	case events&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		c.fail(c.broken())
	case events&unix.EPOLLRDHUP != 0:
		c.poll(c.events &^ unix.EPOLLRDHUP) // once is enough
		c.handler.HalfClosed(true)
	}
	if events&unix.EPOLLOUT != 0 && !c.closed {
		c.poll(c.events &^ unix.EPOLLOUT)
		c.Flush()
	}
}

func (c *epollConn) read() {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&c.loop.buf[0])), readSize)
	switch {
	case e == 0 && n > 0:
		c.handler.Data(c.loop.buf[:n])
	case e == 0:
		c.poll(c.events &^ (unix.EPOLLIN | unix.EPOLLRDHUP))
		c.ended = true
		c.handler.HalfClosed(false)
	case e != unix.EAGAIN && e != unix.EINTR:
		c.fail(e)
	}
}

// broken tells why a connection that is not being read from has ended.
func (c *epollConn) broken() error {
	if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
		return syscall.Errno(code)
	}
	return io.EOF
}

func (c *epollConn) fail(err error) {
	if !c.closed {
		c.closed = true
		c.loop.closeFD(c.fd)
		c.handler.Closed(err)
	}
}

func (c *epollConn) poll(events uint32) {
	if events != c.events {
		c.events = events
		c.loop.modify(c.fd, events)
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

func (c *epollConn) Flush() {
	if !c.dirty {
		c.dirty = true
		c.loop.dirty = append(c.loop.dirty, c)
	}
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
		c.loop.closeFD(c.fd)
	}
}

func (c *epollConn) Reset() {
	if !c.closed {
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // best effort: Close follows
		c.Close()
	}
}

func (c *epollConn) RemoteAddr() net.Addr { return c.remote }

func (c *epollConn) LocalAddr() net.Addr {
	if c.closed {
		return nil
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return nil
	}
	return sockaddr(sa)
}

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
