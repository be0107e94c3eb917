package eventloop

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// closeTimeout is how long a connection that was closed may still take to deliver what was written to it.
	closeTimeout = time.Second
	// acceptPause is how long accepting rests when the process has no descriptors left.
	acceptPause = 100 * time.Millisecond
	// maxLingering bounds how many closed connections of a loop wait for their peers at a time. Beyond it they are
	// closed at once: clients that are turned away in a flood must not use up the descriptors.
	maxLingering = 256
)

// base is what the drivers share: the functions posted to a loop, its timers, the connections that asked to write,
// and the connections being dialled. Everything except the part under mu belongs to the loop's goroutine.
type base struct {
	mu      sync.Mutex
	posted  []func()
	woken   bool   // wake was called since the posted functions were last taken
	stopped bool   // Stop was called
	dead    bool   // Run has returned, or is about to: wake must not be called any more
	wake    func() // ends the driver's wait; called with mu held

	now     time.Time
	timers  timers
	taken   []func() // the posted functions that are being run; its memory alternates with that of posted
	dirty   []*endpoint
	ctx     context.Context // ends when the loop stops
	cancel  context.CancelFunc
	dialing sync.WaitGroup
}

// endpoint is what the drivers' connections share.
type endpoint struct {
	base    *base
	handler Handler // nil until it is attached
	dirty   bool    // in the loop's list of those to flush
	closed  bool    // the handler hears no more
}

func (b *base) init(wake func()) {
	b.wake = wake
	b.now = time.Now()
	b.ctx, b.cancel = context.WithCancel(context.Background())
}

// Now implements Loop.
func (b *base) Now() time.Time { return b.now }

// Clock implements Loop.
func (b *base) Clock() time.Time { return time.Now() }

// After implements Loop.
func (b *base) After(d time.Duration, f func()) Timer { return b.after(d, f) }

func (b *base) after(d time.Duration, f func()) *timer {
	return b.timers.add(time.Now().Add(max(0, d)), f)
}

// Post implements Loop.
func (b *base) Post(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dead {
		b.posted = append(b.posted, f)
		b.signal()
	}
}

// Stop implements Loop.
func (b *base) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.signal()
}

func (b *base) signal() {
	if !b.woken && !b.dead {
		b.woken = true
		b.wake()
	}
}

// runPosted runs what was posted before the turn and reports whether the loop shall stop. From the moment the
// functions are taken, Post wakes the loop again: what is posted meanwhile cannot be left lying.
func (b *base) runPosted() (stop bool) {
	b.mu.Lock()
	b.posted, b.taken = b.taken, b.posted
	b.woken = false
	stop = b.stopped
	b.mu.Unlock()
	for i, f := range b.taken {
		b.taken[i] = nil
		f()
	}
	b.taken = b.taken[:0]
	return stop
}

// flush lets everybody write who asked to. Writing may make others ask: those come in the same turn.
func (b *base) flush() {
	for i := 0; i < len(b.dirty); i++ {
		c := b.dirty[i]
		b.dirty[i] = nil
		c.dirty = false
		if !c.closed && c.handler != nil {
			c.handler.Flush()
		}
	}
	b.dirty = b.dirty[:0]
}

// Flush implements Conn.
func (c *endpoint) Flush() {
	if !c.dirty && !c.closed {
		c.dirty = true
		c.base.dirty = append(c.base.dirty, c)
	}
}

// begin reports whether Run may begin: it may once.
func (b *base) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.dead
}

// settle ends what was begun in the background: no connection is being dialled when it returns, and every caller of
// Dial has its answer.
func (b *base) settle() {
	b.cancel()
	b.dialing.Wait()
	b.runPosted()
}

// kill makes Post drop what it is given, and lets go of wake.
func (b *base) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = true
	b.posted = nil
}

// stopping reports whether the loop has left its last turn.
func (b *base) stopping() bool { return b.ctx.Err() != nil }

// dial calls dial in the background and done on the loop. A connection that comes when the loop is stopping is closed,
// and a loop that is stopping begins no attempt: a caller that tries again whenever it fails would never end.
func (b *base) dial(ctx context.Context, dial DialFunc, network, addr string, done func(net.Conn, error)) {
	if b.stopping() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(b.ctx, cancel)
	b.dialing.Go(func() {
		defer cancel()
		defer unhook()
		nc, err := dial(ctx, network, addr)
		b.Post(func() {
			if err == nil && b.stopping() {
				nc.Close() // nobody was told of it
				nc, err = nil, ErrClosed
			}
			done(nc, err)
		})
	})
}
