package topology

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstPause and longestPause bound the wait between rounds over all servers that gave no session; waits double,
	// and each is drawn at random from half of it to one and a half, so that many members do not come back in step.
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second

	// greetingLimit is more than a server's first answer can have; other protocols read as lengths beyond it.
	greetingLimit = 1 << 10
)

// dialer opens the connections of one session and is the library's zk.HostProvider. It exists because the library's
// own ways are not good enough: names are resolved once, a server that accepts and does not answer is waited for
// longer than the session lives, rounds are a fixed second apart, and after the end of a session the next one begins by
// itself and gets the requests that were meant for the old one.
type dialer struct {
	ctx     context.Context // ends with the session: after it the library must not begin another one
	servers []string        // in random order
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	// greeted is called when a server has begun or resumed the session, with the timeout that it grants.
	greeted func(session int64, timeout time.Duration)

	mu        sync.Mutex
	next      int // index of the server for the next attempt
	attempts  int // without success since the last connection that lasted
	connected time.Time
	attempted time.Time // when the last attempt began
	current   *conn
	lastErr   error // why the last attempt failed
}

func newDialer(ctx context.Context, servers []string, cfg *ZooKeeperConfig) *dialer {
	d := &dialer{ctx: ctx, servers: slices.Clone(servers), dial: cfg.Dial, attempted: time.Now()}
	rand.Shuffle(len(d.servers), func(i, j int) { d.servers[i], d.servers[j] = d.servers[j], d.servers[i] })
	if d.dial == nil {
		d.dial = dialAny
	}
	return d
}

// dialAny connects to one of the addresses that addr's name has now, in random order: the first address of a name is
// not better than the others, and a server that accepts but does not answer must not be the only one that is tried.
func dialAny(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(ips), func(i, j int) { ips[i], ips[j] = ips[j], ips[i] })
	var failures []error
	for _, ip := range ips {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(ip, port))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// Init implements zk.HostProvider. The servers are known already.
func (d *dialer) Init([]string) error { return nil }

// Len implements zk.HostProvider.
func (d *dialer) Len() int { return len(d.servers) }

// Next implements zk.HostProvider. The library looks whether it was closed only when a round begins, and sleeps for a
// second then; so a round begins when there is nothing more to do, and never otherwise.
func (d *dialer) Next() (server string, retryStart bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	server = d.servers[d.next]
	d.next = (d.next + 1) % len(d.servers)
	return server, d.over()
}

// Connected implements zk.HostProvider.
func (d *dialer) Connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.connected = time.Now()
}

func (d *dialer) over() bool { return d.ctx.Err() != nil }

// Dial is a zk.Dialer.
func (d *dialer) Dial(network, addr string, _ time.Duration) (net.Conn, error) {
	patience, err := d.pause()
	if err != nil {
		return nil, err
	}
	// A server that has just been started may need long for its first TLS handshake.
	ctx, cancel := context.WithTimeout(d.ctx, max(connectLimit, patience))
	defer cancel()
	tcp, err := d.dial(ctx, network, addr)
	if err != nil {
		d.failed(fmt.Errorf("%s: %w", addr, err))
		return nil, err
	}
	c := &conn{Conn: tcp, dialer: d, addr: addr}
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over() {
		return nil, errors.Join(errSessionOver, tcp.Close())
	}
	d.current = c
	return c, nil
}

// pause waits until the next attempt is due and returns how long the server may take to answer it. Each server is
// tried once without waiting; after that the attempts become rarer and more patient.
func (d *dialer) pause() (patience time.Duration, err error) {
	d.mu.Lock()
	if !d.connected.IsZero() && time.Since(d.connected) > longestPause {
		d.attempts = 0
	}
	d.connected = time.Time{}
	round := d.attempts / len(d.servers)
	newRound := d.attempts%len(d.servers) == 0
	d.attempts++
	d.mu.Unlock()

	var wait time.Duration
	if round > 0 && newRound {
		longest := min(firstPause<<min(round-1, 10), longestPause)
		wait = longest/2 + rand.N(longest)
	}
	due := time.NewTimer(wait)
	defer due.Stop()
	select {
	case <-due.C:
	case <-d.ctx.Done():
	}
	if d.over() {
		return 0, errSessionOver
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attempted = time.Now()
	return min(handshakeLimit<<min(round, 10), 4*time.Second), nil
}

func (d *dialer) failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastErr = err
}

// problem says why there is no connection, as far as that is known.
func (d *dialer) problem() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lastErr == nil {
		return errors.New("no answer yet")
	}
	return d.lastErr
}

// began is when the newest attempt to connect began.
func (d *dialer) began() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.attempted
}

// drop ends the connection, if there is one, so that a call that is stuck on it returns and another server is tried.
func (d *dialer) drop() {
	d.mu.Lock()
	c := d.current
	d.mu.Unlock()
	if c != nil {
		c.drop()
	}
}

// conn is a connection whose handshake has one limit as a whole, and which can be dropped from outside.
type conn struct {
	net.Conn
	dialer  *dialer
	addr    string
	dropped atomic.Bool

	// Until the handshake is over there is one goroutine; after it nothing of this changes.
	greeting []byte // of the server's first answer
	greeted  bool
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.greeted {
		return n, err
	}
	c.greeting = append(c.greeting, b[:n]...)
	if greetErr := c.greet(); greetErr != nil {
		err = greetErr
	}
	if err != nil {
		reason := err
		if _, secure := c.Conn.(*tls.Conn); secure && !errors.Is(err, io.EOF) {
			reason = explainTLS(err, "") // with TLS 1.3 what a server thinks of our certificate is read here
		}
		if errors.Is(err, io.EOF) {
			reason = errors.New("it ended the connection instead of beginning a session; it may be without a quorum, or expect TLS or a certificate")
		}
		c.dialer.failed(fmt.Errorf("%s: %w", c.addr, reason))
	}
	return n, err
}

// Write implements net.Conn. A failure is told by the next Read only: the library, when a write fails while it sends its
// password again, waits for itself for ever.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.greeted {
		c.drop()
		return len(b), nil
	}
	return n, err
}

// greet looks at what has arrived of the server's first answer: its length, the version of the protocol, the timeout
// of the session in milliseconds, the session, a password. The library keeps the timeout to itself.
func (c *conn) greet() error {
	const head = 4 + 4 + 4 + 8
	if len(c.greeting) < 4 {
		return nil
	}
	size := binary.BigEndian.Uint32(c.greeting)
	if size > greetingLimit || size < head-4 {
		return errors.New("it answers, but not as a ZooKeeper server does")
	}
	if len(c.greeting) < 4+int(size) {
		return nil
	}
	timeout := time.Duration(binary.BigEndian.Uint32(c.greeting[8:])) * time.Millisecond
	session := int64(binary.BigEndian.Uint64(c.greeting[12:]))
	c.greeted, c.greeting = true, nil
	if err := c.Conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if c.dropped.Load() { // meanwhile
		return c.Conn.SetDeadline(longAgo)
	}
	if session != 0 { // 0: the session has expired
		c.dialer.greeted(session, timeout)
	}
	return nil
}

// SetReadDeadline implements net.Conn. The limit of the handshake stands against the library's.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.greeted || c.dropped.Load() {
		return nil
	}
	err := c.Conn.SetReadDeadline(t)
	if c.dropped.Load() { // meanwhile
		return c.Conn.SetReadDeadline(longAgo)
	}
	return err
}

// SetWriteDeadline implements net.Conn, as SetReadDeadline.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if !c.greeted || c.dropped.Load() {
		return nil
	}
	err := c.Conn.SetWriteDeadline(t)
	if c.dropped.Load() {
		return c.Conn.SetWriteDeadline(longAgo)
	}
	return err
}

var longAgo = time.Unix(1, 0)

// drop makes every read and write fail at once. The library closes the connection then; closing it here could wait for
// the peer, where it is TLS.
func (c *conn) drop() {
	c.dropped.Store(true)
	// It fails only if the connection is closed already.
	_ = c.Conn.SetDeadline(longAgo)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.dialer.mu.Lock()
	if c.dialer.current == c {
		c.dialer.current = nil
	}
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
