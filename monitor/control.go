package monitor

import (
	"context"
	"time"
)

// control is a connection to one node on which it is asked for INFO, or commanded by the leader. It is opened when it is
// needed and lost when a call on it fails; nothing is ever sent again over the next one. Any goroutine may use it; they
// take turns.
type control struct {
	dialer *dialer
	addr   string
	name   string            // what the connection is called at the node
	greet  func(*link) error // called with every connection that is opened, before it is used; nil: nothing to do
	rested time.Duration     // a connection that was not used for so long is tried before it is used; 0: never
	turn   chan struct{}     // holds a token while somebody has the turn

	// Of the one whose turn it is.
	link   *link
	life   context.Context // the link ends with it
	static info            // what INFO server said on this link
	used   time.Time
}

func newControl(life context.Context, d *dialer, addr string) *control {
	return &control{dialer: d, addr: addr, name: d.cfg.clientName(), turn: make(chan struct{}, 1), life: life}
}

// do calls f with the connection, opened within limit if need be; each reply may take as long. An error of f that is not an
// answer of the node ends the connection.
func (c *control) do(ctx context.Context, limit time.Duration, f func(*link) error) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.link != nil && c.rested > 0 && time.Since(c.used) >= c.rested {
		c.link.limit = limit
		if _, err := c.link.Do("PING"); diagnose(err) != answered {
			c.drop()
		}
	}
	if c.link == nil {
		if err := c.open(limit); err != nil {
			return err
		}
	}
	c.link.limit = limit
	err := f(c.link)
	c.used = time.Now()
	if diagnose(err) != answered {
		c.drop()
	}
	return err
}

// open opens the connection. The caller has the turn.
func (c *control) open(limit time.Duration) error {
	l, err := c.dialer.openNamed(c.life, c.addr, c.name, limit)
	if err != nil {
		return err
	}
	if c.greet != nil {
		if err := c.greet(l); err != nil {
			l.Close()
			return err
		}
	}
	c.link, c.static = l, info{}
	return nil
}

// drop ends the connection. The caller has the turn.
func (c *control) drop() {
	if c.link != nil {
		c.link.Close()
		c.link = nil
	}
}

// info asks the node what it says of itself. latency is the time of the round trip, without that of connecting.
func (c *control) info(ctx context.Context, limit time.Duration) (n info, latency time.Duration, err error) {
	err = c.do(ctx, limit, func(l *link) error {
		began := time.Now()
		n, err = readInfo(l, c.static.RunID == "")
		latency = time.Since(began)
		if err != nil {
			return err
		}
		if n.RunID != "" {
			c.static = n
		}
		n.RunID, n.Mode, n.Version = c.static.RunID, c.static.Mode, c.static.Version
		return nil
	})
	return n, latency, err
}

// close ends the connection. Nobody may use it any more.
func (c *control) close() {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.drop()
}
