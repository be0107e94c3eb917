package promise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/topology"
)

// idleLimit is how long a connection is kept that nobody uses: longer than the time between two promises, and not for
// ever, since promises are asked for only while ZooKeeper is away.
const idleLimit = time.Minute

// Client asks electors for promises, over one connection to each that is kept for the next time. It implements
// topology.Promisers.
type Client struct {
	mu    sync.Mutex
	peers map[string]*peer // by address
}

var _ topology.Promisers = (*Client)(nil)

// peer is one elector's address.
type peer struct {
	mu   sync.Mutex // held by who uses conn
	conn redis.Conn // nil: none
	idle *time.Timer
}

// NewClient returns a Client without connections.
func NewClient() *Client { return &Client{peers: make(map[string]*peer)} }

// Promise implements topology.Promisers. It tries no longer than ctx lasts, which must have a deadline.
func (c *Client) Promise(ctx context.Context, e topology.Elector, r topology.PromiseRequest) error {
	c.mu.Lock()
	p := c.peers[e.Addr]
	if p == nil {
		p = &peer{}
		c.peers[e.Addr] = p
	}
	c.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	reply, err := p.ask(ctx, e.Addr, r)
	var refusal redis.Error
	switch {
	case errors.As(err, &refusal):
		return refused(e, refusal)
	case err != nil:
		return fmt.Errorf("%s cannot be asked: %w", e.Addr, brief(err))
	}
	id, promised := strings.CutPrefix(reply, "PROMISED ")
	switch {
	case !promised:
		return fmt.Errorf("what answers at %s is no member", e.Addr)
	case id != e.ID:
		return otherMember(e, id)
	}
	return nil
}

// otherMember says that not the elector answers but another member.
func otherMember(e topology.Elector, id string) error {
	return fmt.Errorf("%s is the address of %s", e.Addr, id)
}

// refused puts into words that an elector does not promise.
func refused(e topology.Elector, reply redis.Error) error {
	if words, found := strings.CutPrefix(reply.Error(), "NOPROMISE "); found {
		id, why, _ := strings.Cut(words, " ")
		if id != e.ID {
			return otherMember(e, id)
		}
		return topology.Refusal(why)
	}
	return fmt.Errorf("what answers at %s is no member of this cluster: %w", e.Addr, reply)
}

// brief leaves out what the sentence around it has said already.
func brief(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// ask sends one request and returns the reply to it. A connection that was used before may have been closed by the other
// side meanwhile, so another one is tried. The caller holds mu.
func (p *peer) ask(ctx context.Context, addr string, r topology.PromiseRequest) (reply string, err error) {
	if p.conn != nil {
		p.idle.Stop()
		reply, err = exchange(ctx, p.conn, r)
		if p.conn.Err() == nil {
			p.rest(p.conn)
			return reply, err
		}
		p.close()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	conn, err := redis.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	reply, err = exchange(ctx, conn, r)
	if conn.Err() != nil {
		return "", errors.Join(err, conn.Close())
	}
	p.rest(conn)
	return reply, err
}

// exchange sends the request over conn.
func exchange(ctx context.Context, conn redis.Conn, r topology.PromiseRequest) (string, error) {
	return redis.String(redis.DoContext(conn, ctx, "PROXY", "PROMISE", r.Identity, r.ID, r.Version, r.Epoch, r.Duration.Milliseconds()))
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
