package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
)

// idleLimit is how long a connection is kept that nobody uses.
const idleLimit = time.Minute

// Greet says what has to be said first on a new connection. With an error the connection is not used.
type Greet func(ctx context.Context, conn redis.Conn) error

// Conns are connections to other members, one to each at its address. Its methods may be called from any goroutine. The zero
// value has none.
type Conns struct {
	mu    sync.Mutex
	peers map[place]*peer
}

// place is where a member is to be found. Another member may have been found there before, and what was greeted as one is
// not asked as the other.
type place struct{ id, addr string }

// peer is one member at one address.
type peer struct {
	mu   sync.Mutex // held by who uses conn
	conn redis.Conn // nil: none
	idle *time.Timer
}

// Do sends a command to the member id, or to whoever it is if that is empty, at addr, and returns the reply. A redis.Error is the member's answer. greet may be nil. It tries
// no longer than ctx lasts, which must have a deadline.
func (c *Conns) Do(ctx context.Context, id, addr string, greet Greet, command string, args ...any) (any, error) {
	p := c.peer(place{id, addr})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil { // somebody else has waited in vain meanwhile
		return nil, err
	}
	return p.do(ctx, addr, greet, command, args)
}

func (c *Conns) peer(at place) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[at]
	if p == nil {
		if c.peers == nil {
			c.peers = make(map[place]*peer)
		}
		p = &peer{}
		c.peers[at] = p
	}
	return p
}

// Close ends the connections that nobody uses now. Nobody may call Do afterwards.
func (c *Conns) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		p.mu.Lock()
		if p.conn != nil {
			p.close()
		}
		p.mu.Unlock()
	}
}

// do sends one command and returns the reply to it. A connection that was used before may have been closed by the other
// side meanwhile, so another one is tried. The caller holds mu.
func (p *peer) do(ctx context.Context, addr string, greet Greet, command string, args []any) (reply any, err error) {
	if p.conn != nil {
		p.idle.Stop()
		reply, err = redis.DoContext(p.conn, ctx, command, args...)
		if p.conn.Err() == nil {
			p.rest(p.conn)
			return reply, err
		}
		p.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	conn, err := redis.DialContext(ctx, "tcp", addr, redis.DialContextFunc(guard.Dial((&net.Dialer{}).DialContext)))
	if err != nil {
		return nil, err
	}
	if greet != nil {
		if err := greet(ctx, conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	reply, err = redis.DoContext(conn, ctx, command, args...)
	if conn.Err() != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.rest(conn)
	return reply, err
}

// rest keeps conn for the next request, for a while.
func (p *peer) rest(conn redis.Conn) {
	p.conn = conn
	var idle *time.Timer
	idle = time.AfterFunc(idleLimit, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.idle == idle {
			p.close()
		}
	})
	p.idle = idle
}

// close ends the connection. The caller holds mu.
func (p *peer) close() {
	p.idle.Stop()
	// Nothing was asked that is not answered, or the connection is broken: there is nothing to learn from an error.
	_ = p.conn.Close()
	p.conn, p.idle = nil, nil
}
