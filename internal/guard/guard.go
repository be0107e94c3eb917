// Package guard keeps nonsense from a client library that believes what it is told. redigo makes room for whatever length
// or count a server announces: one line from a node that has gone mad, or from something else at its address, was enough
// to end the process. A connection that is given to redigo passes through here first.
package guard

import (
	"context"
	"fmt"
	"net"

	"github.com/understudy/understudy/resp"
)

const (
	// maxReply bounds one reply in bytes, announced ones included. The largest that is asked for is CLIENT LIST: some 350
	// bytes for each of a server's clients.
	maxReply = 64 << 20
	// maxValues bounds the values that the arrays of one reply announce; redigo takes 16 bytes for each at once.
	maxValues = 1 << 20
	// maxDepth bounds how deep they nest; redigo calls itself for each level.
	maxDepth = 32
)

// Error says that what is connected does not speak as a Redis server does, or says more than one is ever asked for.
type Error struct {
	Addr string // of the other side
	Why  error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s sent what no Redis server sends: %v", e.Addr, e.Why)
}

// Unwrap returns Why.
func (e *Error) Unwrap() error { return e.Why }

// Conn returns nc with replies that are looked at before they are read. Read returns an [*Error] in place of the first
// that is no reply, or is too large; what arrived together with it is lost.
func Conn(nc net.Conn) net.Conn {
	return &conn{Conn: nc, scanner: resp.ReplyScanner{MaxDepth: maxDepth, MaxValues: maxValues}}
}

// DialFunc connects to an address, as (*net.Dialer).DialContext does.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Dial returns dial with every connection guarded as by [Conn].
func Dial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return Conn(nc), nil
	}
}

type conn struct {
	net.Conn
	scanner resp.ReplyScanner
	size    int // bytes of the reply that is arriving
	err     error
}

// Read implements net.Conn. It is called by one goroutine at a time.
func (c *conn) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(p)
	if why := c.check(p[:n]); why != nil {
		c.err = &Error{Addr: c.RemoteAddr().String(), Why: why}
		return 0, c.err
	}
	return n, err
}

// check looks at what goes on with p.
func (c *conn) check(p []byte) error {
	for len(p) > 0 {
		n, done, err := c.scanner.Scan(p)
		if err != nil {
			return err
		}
		p = p[n:]
		if done {
			c.size = 0
			continue
		}
		if c.size += n; c.scanner.Pending() > maxReply-c.size {
			return fmt.Errorf("a reply of more than %d MB", maxReply>>20)
		}
	}
	return nil
}
