package eventloop

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readSize  = 128 << 10            // of the one buffer that a loop reads into
	rawWait   = 3 * time.Millisecond // how long to wait with the processor held; then through the runtime
	maxWait   = time.Hour            // so that the milliseconds fit the system call's int
	maxEvents = 512
	maxIovecs = 64
)

// epoll is the Linux driver: readiness by epoll, sockets in non-blocking mode, system calls made without telling the
// Go scheduler. A non-blocking call returns in microseconds, and telling the scheduler lets it hand the processor to
// another thread meanwhile, which costs more than the call. Only a wait that turns out long goes through the runtime.
type epoll struct {
	base
	fd, eventfd int

	files     []registered // by descriptor
	gen       int32
	acceptors map[*acceptor]struct{} // those that accept
	lingering int                    // closed connections whose peers are waited for
	buf       []byte
	events    [maxEvents]unix.EpollEvent
	iovecs    [maxIovecs]unix.Iovec
}

// registered is what a descriptor in the epoll set stands for. The generation tells an event of the present holder
// of a descriptor from one that was fetched for an earlier holder in the same turn.
type registered struct {
	gen    int32
	source source
}

// source is the owner of a descriptor in the epoll set.
type source interface {
	ready(events uint32)
	// drop closes the descriptor without a word: the loop has ended.
	drop()
}

// NewEpoll returns a loop driven by epoll. It serves connections and listeners that have a descriptor: those of package
// net. It fails when the process has no descriptors left.
func NewEpoll() (Loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventloop: epoll_create1: %w", err)
	}
	efd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventloop: eventfd: %w", err)
	}
	l := &epoll{fd: fd, eventfd: efd, buf: make([]byte, readSize), acceptors: map[*acceptor]struct{}{}}
	l.init(l.interrupt)
	// Edge-triggered: each write is an event of its own, and nobody needs to read the counter back. No source: waking
	// up is all there is to it.
	if err := l.register(efd, unix.EPOLLIN|unix.EPOLLET, nil); err != nil {
		unix.Close(fd)
		unix.Close(efd)
		return nil, err
	}
	return l, nil
}

// interrupt ends the loop's wait.
func (l *epoll) interrupt() {
	one := [8]byte{1}
	unix.Write(l.eventfd, one[:]) // fails only when the counter is full, after 2^64 calls
}

func (l *epoll) register(fd int, events uint32, s source) error {
	for fd >= len(l.files) {
		l.files = append(l.files, registered{})
	}
	l.gen++
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.gen}
	if err := unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("eventloop: epoll_ctl: %w", err)
	}
	l.files[fd] = registered{l.gen, s}
	return nil
}

// unregister takes a descriptor out of the epoll set. Closing it would not do: the kernel drops it from the set only
// when nobody holds the socket any more, and a listener has another holder, as has any socket while a child process
// is being started. Its events would then keep the loop turning.
func (l *epoll) unregister(fd int) {
	if fd < len(l.files) && l.files[fd].source != nil {
		l.files[fd] = registered{}
		unix.EpollCtl(l.fd, unix.EPOLL_CTL_DEL, fd, nil) // cannot fail for a registered descriptor
	}
}

func (l *epoll) modify(fd int, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.files[fd].gen}
	unix.EpollCtl(l.fd, unix.EPOLL_CTL_MOD, fd, &ev) // cannot fail for a registered descriptor
}

func (l *epoll) closeFD(fd int) {
	l.unregister(fd)
	unix.Close(fd)
}

// Run implements Loop.
func (l *epoll) Run() error {
	if !l.begin() {
		return ErrClosed
	}
	stop, err := false, error(nil)
	for !stop && err == nil {
		stop, err = l.turn()
	}
	l.shutdown()
	return err
}

// turn waits for events and deals with all of them. It reports whether it shall be the last.
func (l *epoll) turn() (stop bool, err error) {
	n, err := l.wait()
	if err != nil {
		return false, err
	}
	l.now = time.Now()
	stop = l.runPosted()
	l.dispatch(l.events[:n])
	l.timers.run(l.now)
	l.flush()
	return stop, nil
}

// dispatch hands events to the owners of their descriptors, unless they have been closed since.
func (l *epoll) dispatch(events []unix.EpollEvent) {
	for i := range events {
		ev := &events[i]
		if f := &l.files[ev.Fd]; f.source != nil && f.gen == ev.Pad {
			f.source.ready(ev.Events)
		}
	}
}

// wait fetches events. It polls with the processor held for a few milliseconds, since under load the next event is
// nearer than that, and then blocks through the runtime, so that an idle loop costs nothing.
func (l *epoll) wait() (int, error) {
	timeout := maxWait
	if d, ok := l.timers.next(time.Now()); ok {
		timeout = min(timeout, d)
	}
	raw := min(timeout, rawWait)
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.fd), uintptr(unsafe.Pointer(&l.events)), maxEvents,
		uintptr(millis(raw)), 0, 0)
	switch {
	case e == 0 && n > 0:
		return int(n), nil
	case e == unix.EINTR || e == 0 && raw == timeout:
		return 0, nil
	case e != 0:
		return 0, fmt.Errorf("eventloop: epoll_wait: %w", e)
	}
	got, err := unix.EpollWait(l.fd, l.events[:], millis(timeout-raw))
	if err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("eventloop: epoll_wait: %w", err)
	}
	return got, nil
}

// millis rounds up, so that a timer is due when the wait for it has ended.
func millis(d time.Duration) int { return int((d + time.Millisecond - 1) / time.Millisecond) }

// shutdown closes everything. The order matters: attempts to connect are waited for while their results can still be
// taken and closed, and the eventfd is closed when Post can no longer write to it.
func (l *epoll) shutdown() {
	l.settle()
	l.kill()
	for a := range l.acceptors {
		a.stop()
	}
	for _, f := range l.files {
		if f.source != nil {
			f.source.drop()
		}
	}
	unix.Close(l.fd)
	unix.Close(l.eventfd)
}

// Dial implements Loop.
func (l *epoll) Dial(ctx context.Context, dial DialFunc, network, addr string, done func(Conn, error) Handler) {
	l.dial(ctx, dial, network, addr, func(nc net.Conn, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		fd, err := duplicate(nc)
		remote, local := nc.RemoteAddr(), nc.LocalAddr()
		nc.Close() // the socket lives on in the duplicate
		if err != nil {
			done(nil, err)
			return
		}
		c := l.adopt(fd, remote, local)
		c.attach(done(c, nil))
	})
}

// duplicate returns a non-blocking descriptor of its own for the socket of v, a net.Conn or net.Listener.
func duplicate(v any) (int, error) {
	sc, ok := v.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("eventloop: a %T has no descriptor to poll", v)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("eventloop: duplicating a descriptor: %w", err)
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, fmt.Errorf("eventloop: duplicating a descriptor: %w", err)
	}
	if dupErr != nil {
		return -1, fmt.Errorf("eventloop: duplicating a descriptor: %w", dupErr)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("eventloop: setting a socket non-blocking: %w", err)
	}
	return fd, nil
}
