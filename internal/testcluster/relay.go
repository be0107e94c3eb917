package testcluster

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Direction names the ways through a [Relay].
type Direction uint8

// The two ways through a relay, and both of them.
const (
	Upward   Direction = 1 << iota // from those who connect to the target
	Downward                       // from the target to those who connect
	BothWays = Upward | Downward
)

// ways has one index for each direction: 0 upward, 1 downward.
const ways = 2

// Relay is a TCP relay on a free loopback port that hands everything on to its target, and breaks in the ways that
// networks break. Faults apply to all connections, open ones and new ones, until Heal. The methods may be called by
// several goroutines.
//
// The faults, from loud to silent: Reset ends connections; Cut also refuses new ones, as a crashed process does;
// Freeze loses packets that TCP will send again, as a partition does: what is under way arrives late; Blackhole loses
// bytes for good: nothing of what was sent meanwhile ever arrives. Delay makes the way longer.
type Relay struct {
	// Addr is the address to connect to.
	Addr string

	target   string
	listener net.Listener
	release  func()
	ended    sync.WaitGroup // everything that runs for this relay

	mu      sync.Mutex
	state   relayState
	changed chan struct{} // closed when state changes, and replaced
	conns   map[*relayed]struct{}
	closed  bool
}

// relayState is what the relay does to bytes and connections.
type relayState struct {
	cut       bool
	frozen    Direction
	blackhole Direction
	delay     [ways]time.Duration
}

// StartRelay starts a relay to a TCP address, host:port. It need not be listening yet.
func StartRelay(target string) (*Relay, error) {
	port, release, err := ReservePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address(port))
	if err != nil {
		release()
		return nil, err
	}
	r := &Relay{
		Addr: listener.Addr().String(), target: target, listener: listener, release: release,
		changed: make(chan struct{}), conns: map[*relayed]struct{}{},
	}
	r.ended.Go(r.accept)
	return r, nil
}

// Reset ends every open connection with a TCP reset on both sides. New ones are served.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetAll()
}

func (r *Relay) resetAll() {
	for c := range r.conns {
		c.reset()
	}
}

// Cut ends every open connection with a TCP reset, and every new one as soon as it is made.
func (r *Relay) Cut() {
	r.change(func(s *relayState) { s.cut = true })
	r.Reset()
}

// Freeze holds back all bytes of a direction, as if their packets were lost: connections stay open, and what was sent
// arrives after Heal, in order. While the upward direction is frozen, a new connection is accepted but not made to
// the target.
func (r *Relay) Freeze(d Direction) { r.change(func(s *relayState) { s.frozen |= d }) }

// Blackhole swallows all bytes of a direction: the sender can send on, the receiver hears nothing, connections stay
// open. Those that lost bytes are useless and end with a reset at Heal. For new connections it is as Freeze.
func (r *Relay) Blackhole(d Direction) { r.change(func(s *relayState) { s.blackhole |= d }) }

// Delay makes every byte of a direction arrive that much later than it was sent, without limiting the throughput. It
// applies to bytes that are under way, too, and lasts until it is set to 0 or Heal.
func (r *Relay) Delay(d Direction, by time.Duration) {
	r.change(func(s *relayState) {
		for way := range ways {
			if d&(1<<way) != 0 {
				s.delay[way] = by
			}
		}
	})
}

// Heal ends all faults.
func (r *Relay) Heal() {
	r.change(func(s *relayState) { *s = relayState{} })
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if c.lossy() {
			c.reset()
		}
	}
}

// Connections is the number of connections that are open.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// Close stops listening, resets all connections and waits until everything that ran for them has ended.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.closed = true
	r.resetAll()
	r.mu.Unlock()
	r.ended.Wait()
	r.release()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (r *Relay) change(edit func(*relayState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit(&r.state)
	close(r.changed)
	r.changed = make(chan struct{})
}

// now is the state and a channel that is closed when it changes.
func (r *Relay) now() (relayState, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.changed
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Descriptors have run out: the next attempt would fail as fast.
			time.Sleep(longestPause)
			continue
		}
		c := &relayed{relay: r, gone: make(chan struct{})}
		c.ends[0] = client.(*net.TCPConn)
		if !r.enter(c) {
			c.reset()
			continue
		}
		r.ended.Go(func() {
			if c.serve() {
				c.end((*net.TCPConn).Close)
			} else {
				c.reset()
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.conns, c)
		})
	}
}

// enter makes a new connection known, so that faults reach it, unless connections are refused.
func (r *Relay) enter(c *relayed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.cut || r.closed {
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

// relayed is one connection through a relay.
type relayed struct {
	relay *Relay
	gone  chan struct{} // closed by reset

	mu   sync.Mutex
	ends [ways]*net.TCPConn // who sends upward, who sends downward (nil before the target is connected)
	lost bool               // bytes were swallowed
}

func (c *relayed) lossy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// reset ends the connection on both sides with a TCP reset.
func (c *relayed) reset() { c.end(closeWithReset) }

// end ends the connection on both sides, in the way of the first call; others do nothing.
func (c *relayed) end(closeEnd func(*net.TCPConn) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gone:
		return
	default:
	}
	close(c.gone)
	for _, end := range c.ends {
		if end != nil {
			_ = closeEnd(end) // fails only if it is gone already, which is what is wanted
		}
	}
}

func closeWithReset(conn *net.TCPConn) error {
	return errors.Join(conn.SetLinger(0), conn.Close())
}

// serve carries bytes until both directions have ended, and says whether they ended in order.
func (c *relayed) serve() bool {
	if !c.connect() {
		return false
	}
	var both sync.WaitGroup
	var inOrder [ways]bool
	for way := range ways {
		both.Go(func() { inOrder[way] = c.carry(way) })
	}
	both.Wait()
	return inOrder[0] && inOrder[1]
}

// connect connects to the target once the way there is open.
func (c *relayed) connect() bool {
	for {
		state, changed := c.relay.now()
		if (state.frozen|state.blackhole)&Upward == 0 {
			break
		}
		// What the client sends waits in its socket's buffer, which is nothing else than the network's.
		select {
		case <-changed:
		case <-c.gone:
			return false
		}
	}
	target, err := net.DialTimeout("tcp", c.relay.target, callLimit)
	if err != nil {
		return false // the client gets a reset, as it would get a refusal
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gone:
		_ = closeWithReset(target.(*net.TCPConn))
		return false
	default:
		c.ends[1] = target.(*net.TCPConn)
		return true
	}
}

// parcel is what one read gave, and when. An empty one is the end of the stream.
type parcel struct {
	bytes []byte
	sent  time.Time
}

// carry moves bytes in one direction until that ends, and says whether it ended in order: otherwise it has reset the
// connection. Reading and writing go separately, so that a delay makes the way longer, not narrower.
func (c *relayed) carry(way int) bool {
	const (
		readSize = 16 << 10
		inFlight = 1024 // parcels; a sender that is further ahead waits, as with a full window
	)
	parcels := make(chan parcel, inFlight)
	var writer sync.WaitGroup
	delivered := true
	writer.Go(func() {
		for p := range parcels {
			// After a failure it only takes parcels off: the reader must not wait for it.
			if delivered && !c.deliver(way, p) {
				delivered = false
				c.reset()
			}
		}
	})
	err := c.receive(way, make([]byte, readSize), parcels)
	if err != nil {
		c.reset()
	}
	close(parcels)
	writer.Wait()
	return delivered && err == nil
}

// receive turns what arrives into parcels until the end of the stream, for which it returns nil.
func (c *relayed) receive(way int, buffer []byte, parcels chan<- parcel) error {
	for {
		n, err := c.ends[way].Read(buffer)
		if n > 0 {
			parcels <- parcel{slices.Clone(buffer[:n]), time.Now()}
		}
		if errors.Is(err, io.EOF) {
			parcels <- parcel{sent: time.Now()}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// deliver hands a parcel on when it is due and the way is open, or swallows it. It says false when the connection is
// of no use any more.
func (c *relayed) deliver(way int, p parcel) bool {
	for {
		state, changed := c.relay.now()
		direction := Direction(1 << way)
		if state.blackhole&direction != 0 {
			c.mu.Lock()
			c.lost = true
			c.mu.Unlock()
			return true
		}
		wait := time.Until(p.sent.Add(state.delay[way]))
		if wait <= 0 && state.frozen&direction == 0 {
			break
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-changed:
		case <-c.gone:
			return false
		}
	}
	to := c.ends[1-way]
	if len(p.bytes) == 0 {
		return to.CloseWrite() == nil
	}
	_, err := to.Write(p.bytes)
	return err == nil
}
