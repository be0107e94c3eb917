package eventloop

import (
	"context"
	"errors"
	"net"
	"time"
)

// ErrClosed is returned by Write on a connection that has ended, by Run and Listen of a loop that has ended, and to the
// caller of Dial whose connection came when the loop was ending.
var ErrClosed = errors.New("eventloop: closed")

// Handler is the owner of one connection. Its methods are called by the loop only.
type Handler interface {
	// Data is called with bytes that have just arrived. They are valid during the call only.
	Data(p []byte)
	// Flush is called at the end of a turn in which Conn.Flush was called, and when a connection whose Write was
	// short can take more. It writes what there is to write.
	Flush()
	// HalfClosed is called when the peer has said that it sends nothing more; it may still be reading, so writing
	// goes on until Close. With unread, bytes sent before that are waiting behind PauseRead: they follow after
	// ResumeRead, and then HalfClosed(false). The net driver cannot see an end that lies more than 64 KB behind
	// what the handler has taken.
	HalfClosed(unread bool)
	// Closed is called once when the connection has failed: not for Close, Reset or Stop.
	Closed(err error)
}

// Conn is one connection of a loop. Its methods may be called on the loop's goroutine only, except the addresses.
type Conn interface {
	// Write hands over as much of p as can be taken without blocking and returns how many bytes that was. After a
	// short write the handler's Flush is called when there is room again. An error means that the connection is
	// broken; the handler hears of it by Closed or closes it now.
	Write(p []byte) (int, error)
	// Writev is Write for several buffers.
	Writev(bufs [][]byte) (int, error)
	// Flush asks for a call of the handler's Flush at the end of this turn.
	Flush()
	// PauseRead stops calls of Data until ResumeRead. The end of the connection is still noticed; when it has failed,
	// what was not read is lost.
	PauseRead()
	// ResumeRead undoes PauseRead. Data is not called before it has returned.
	ResumeRead()
	// Close ends the connection; what was written is still delivered if the peer takes it within a second. The
	// handler hears no more of it.
	Close()
	// Reset ends the connection and discards what has not yet been sent. The handler hears no more of it.
	Reset()
	// RemoteAddr returns the peer's address, also after the end, on any goroutine.
	RemoteAddr() net.Addr
	// LocalAddr returns this end's address, also after the end, on any goroutine; nil if it is unknown.
	LocalAddr() net.Addr
}

// Timer is a call that is due later.
type Timer interface {
	// Stop prevents the call, if it has not happened yet. It is called on the loop's goroutine.
	Stop()
	// Reset has the call made after d, whether it has happened, was prevented or is still due; then it is not made twice.
	// What is called again and again costs no memory so. It is called on the loop's goroutine.
	Reset(d time.Duration)
}

// Loop runs handlers. Post and Stop may be called from any goroutine, everything else on the loop's own (or before
// Run). A loop that will not be needed is disposed of by Stop and then Run.
type Loop interface {
	// Run serves until Stop and then returns nil, with all connections closed as by Close and nothing left running.
	// It returns an error when the system refuses to wait for events, or ErrClosed when it is called again.
	Run() error
	// Stop makes Run return at the end of a turn; at the end of its first if it is called before Run.
	Stop()
	// Post runs f on the loop's goroutine soon, in the order of the calls. After Stop, f may never run.
	Post(f func())
	// Now is the time at which the current turn began.
	Now() time.Time
	// Clock reads the clock anew. It costs what time.Now does; Now is for everything that a turn's length does not spoil.
	Clock() time.Time
	// After calls f once, d from now or a little later: up to a millisecond, and as long as a turn lasts.
	After(d time.Duration, f func()) Timer
	// Listen accepts connections and asks open for the handler of each; a nil handler closes it. The function
	// returned stops the accepting. The loop uses a duplicate of the listener's descriptor, so that several loops can
	// serve one listener, and l is its owner's to close. A listener without a descriptor is refused by the epoll
	// driver; the net driver uses it as it is, and closes it when the accepting stops.
	Listen(l net.Listener, open func(Conn) Handler) (stop func(), err error)
	// Dial connects in the background and calls done on the loop: with the connection, for which done must return a
	// handler (nil closes it), or with the error and a nil connection. When ctx or the loop ends first, dial's context
	// ends, and the attempt fails with the error that dial then returns: dial must heed it, as Run waits for it. A
	// loop that has left its last turn makes no attempt and does not call done.
	Dial(ctx context.Context, dial DialFunc, network, addr string, done func(Conn, error) Handler)
}

// DialFunc is net.Dialer's DialContext or something like it.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)
