package eventloop

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// netLoop is the portable driver. One goroutine runs the handlers, as in the epoll driver; the waiting is done by two
// more for each connection (see netConn), one for each listener and one for each attempt to connect. They reach the
// handlers by Post only.
type netLoop struct {
	base
	wakeup     chan struct{} // holds one: that there is something to do
	conns      map[*netConn]struct{}
	acceptors  map[*netAcceptor]struct{}
	lingering  atomic.Int32   // closed connections whose goroutines have not ended
	gone       chan struct{}  // closed when no handler will be called any more
	goroutines sync.WaitGroup // readers, writers, acceptors
}

// NewNet returns a loop that works with every kind of net.Conn and net.Listener, on every system. It does not fail.
func NewNet() (Loop, error) {
	l := &netLoop{
		wakeup:    make(chan struct{}, 1),
		conns:     map[*netConn]struct{}{},
		acceptors: map[*netAcceptor]struct{}{},
		gone:      make(chan struct{}),
	}
	l.init(l.interrupt)
	return l, nil
}

// interrupt ends the loop's wait.
func (l *netLoop) interrupt() {
	select {
	case l.wakeup <- struct{}{}:
	default: // it is going to end anyway
	}
}

// Run implements Loop.
func (l *netLoop) Run() error {
	if !l.begin() {
		return ErrClosed
	}
	l.serve()
	l.shutdown()
	return nil
}

func (l *netLoop) serve() {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		if d, ok := l.timers.next(time.Now()); ok {
			alarm.Reset(d)
			select {
			case <-l.wakeup:
			case <-alarm.C:
			}
		} else {
			<-l.wakeup
		}
		l.now = time.Now()
		stop := l.runPosted()
		l.timers.run(l.now)
		l.flush()
		if stop {
			return
		}
	}
}

// shutdown closes everything and waits for every goroutine. What was written is delivered first, within closeTimeout.
func (l *netLoop) shutdown() {
	l.settle()
	for a := range l.acceptors {
		a.stop()
	}
	for c := range l.conns {
		c.Close()
	}
	l.kill()
	close(l.gone)
	l.goroutines.Wait()
}

// Dial implements Loop.
func (l *netLoop) Dial(ctx context.Context, dial DialFunc, network, addr string, done func(Conn, error) Handler) {
	l.dial(ctx, dial, network, addr, func(nc net.Conn, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		c := l.adopt(nc)
		c.attach(done(c, nil))
	})
}

// netAcceptor accepts the connections of one listener.
type netAcceptor struct {
	loop    *netLoop
	ln      net.Listener
	open    func(Conn) Handler
	quit    chan struct{} // closed when the accepting shall end
	stopped bool
}

// Listen implements Loop.
func (l *netLoop) Listen(ln net.Listener, open func(Conn) Handler) (func(), error) {
	if l.stopping() {
		return nil, ErrClosed
	}
	own, err := ownListener(ln)
	if err != nil {
		return nil, err
	}
	a := &netAcceptor{loop: l, ln: own, open: open, quit: make(chan struct{})}
	l.acceptors[a] = struct{}{}
	l.goroutines.Go(a.acceptAll)
	return a.stop, nil
}

// ownListener duplicates ln, so that closing the duplicate, which is the way to end an Accept, leaves ln to its owner
// and to other loops. A listener that cannot be duplicated (one that wraps another, such as that of crypto/tls, or
// any on a system without duplicates) is used itself.
func ownListener(ln net.Listener) (net.Listener, error) {
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return ln, nil
	}
	f, err := filer.File()
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return ln, nil
		}
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

func (a *netAcceptor) stop() {
	if !a.stopped {
		a.stopped = true
		delete(a.loop.acceptors, a)
		close(a.quit)
		a.ln.Close()
	}
}

// acceptAll is the acceptor's goroutine. It accepts one connection at a time and waits until the loop has taken it, so
// that a storm of connections waits in the kernel's queue.
func (a *netAcceptor) acceptAll() {
	taken := make(chan struct{}, 1)
	for {
		nc, err := a.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !a.rest() {
				return
			}
			continue
		}
		a.loop.Post(func() {
			a.take(nc)
			taken <- struct{}{}
		})
		select {
		case <-taken:
			continue
		case <-a.loop.gone:
		}
		select {
		case <-taken: // before the loop ended
		default:
			nc.Close()
		}
		return
	}
}

// rest waits a moment after a failure to accept: most likely the process has no descriptors left. It returns false
// when the accepting ends.
func (a *netAcceptor) rest() bool {
	pause := time.NewTimer(acceptPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-a.quit:
		return false
	}
}

func (a *netAcceptor) take(nc net.Conn) {
	if a.stopped || a.loop.stopping() {
		nc.Close()
		return
	}
	c := a.loop.adopt(nc)
	c.attach(a.open(c))
}
