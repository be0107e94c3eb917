package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// firstPause and longestPause bound the wait between rounds over all servers that gave no session; waits double,
	// and each is drawn at random from half of it to one and a half, so that many members do not come back in step.
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// dialer opens the connections of one session and is the library's zk.HostProvider. It exists because the library's
// own ways are not good enough: names are resolved once, a server that accepts and does not answer is waited for
// longer than the session lives, rounds are a fixed second apart, and after the end of a session the next one begins by
// itself and gets the requests that were meant for the old one.
type dialer struct {
	ctx     context.Context // ends with the session: after it the library must not begin another one
	servers []string        // in random order
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	auth    string // sent with every handshake, unless empty: user:password
	// greeted is called when a server has begun or resumed the session, with the timeout that it grants.
	greeted func(session int64, timeout time.Duration)

	mu        sync.Mutex
	next      int // index of the server for the next attempt
	attempts  int // without success since the last connection that lasted
	connected time.Time
	attempted time.Time // when the last attempt began
	current   *conn
	watching  bool  // the library has a watch, for good
	lastErr   error // why the last attempt failed
}

func newDialer(ctx context.Context, servers []string, cfg *ZooKeeperConfig) *dialer {
	d := &dialer{ctx: ctx, servers: slices.Clone(servers), dial: cfg.Dial, auth: cfg.Auth, attempted: time.Now()}
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
	c := &conn{Conn: tcp, dialer: d, addr: addr, rewatched: make(chan struct{})}
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over() {
		return nil, errors.Join(errSessionOver, tcp.Close())
	}
	d.current, c.watches = c, d.watching
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

// watches is called when the library has a watch that stays, so that it asks for it on every further connection.
func (d *dialer) watches() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watching = true
}
