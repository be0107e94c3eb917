package promise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/peer"
	"github.com/understudy/understudy/topology"
)

// Client asks electors for promises, over one connection to each that is kept for the next time: promises are asked for
// only while ZooKeeper is away. It implements topology.Promisers.
type Client struct{ conns peer.Conns }

var _ topology.Promisers = (*Client)(nil)

// NewClient returns a Client without connections.
func NewClient() *Client { return &Client{} }

// Promise implements topology.Promisers. It tries no longer than ctx lasts, which must have a deadline.
func (c *Client) Promise(ctx context.Context, e topology.Elector, r topology.PromiseRequest) error {
	reply, err := redis.String(c.conns.Do(ctx, "", e.Addr, nil, "PROXY", "PROMISE", r.Identity, r.ID, r.Version, r.Epoch, r.Duration.Milliseconds()))
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
