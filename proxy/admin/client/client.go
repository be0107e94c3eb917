// Package client asks a running Understudy what proxy/admin answers, over an ordinary client connection.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
)

// Timeout bounds each step of asking: connecting, sending, receiving.
const Timeout = 3 * time.Second

var (
	// ErrUnreachable is returned by Dial when there is no connection to be had.
	ErrUnreachable = errors.New("no Understudy can be reached")
	// ErrRefused is returned by Dial when the credentials are not accepted.
	ErrRefused = errors.New("the user name or the password is refused")
	// ErrUnverified is returned by Dial when something takes connections and does not say in time whether it takes the
	// credentials. An Understudy asks the master.
	ErrUnverified = errors.New("it takes the connection and does not answer AUTH in time: without a master a password cannot be verified")
	// ErrStranger is returned when what answers is not an Understudy.
	ErrStranger = errors.New("what answers is not an Understudy")
)

// Client is one connection to an Understudy, for one goroutine.
type Client struct {
	conn    redis.Conn
	release func() bool // lets go of the context
}

// Dial connects to addr: host:port, :port (of this machine) or unix:/path. An empty password authenticates nobody. The
// error wraps ErrUnreachable, ErrUnverified or ErrRefused. The connection ends when ctx does, whatever it is waiting for.
func Dial(ctx context.Context, addr, username, password string) (*Client, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	} else if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	release := func() bool { return true }
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: Timeout}
		nc, err := dialer.DialContext(ctx, network, addr)
		if err == nil {
			// The library heeds a context until there is a connection. What becomes of this Close, nobody waits for.
			release = context.AfterFunc(ctx, func() { _ = nc.Close() })
		}
		return nc, err
	}
	conn, err := redis.DialContext(ctx, network, addr, redis.DialContextFunc(guard.Dial(dial)), redis.DialReadTimeout(Timeout),
		redis.DialWriteTimeout(Timeout), redis.DialUsername(username), redis.DialPassword(password))
	if err != nil {
		release()
	}
	var reply redis.Error
	var op *net.OpError
	switch {
	case errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "MASTERDOWN"),
		password != "" && errors.As(err, &op) && op.Op == "read" && op.Timeout():
		return nil, ErrUnverified
	case errors.As(err, &reply):
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return &Client{conn, release}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	open := c.release()
	if err := c.conn.Close(); open {
		return err
	}
	return nil // the context has ended it
}

// Info returns the fields of INFO understudy. The error may be ErrStranger, an error reply, or one of the connection.
func (c *Client) Info() (Fields, error) {
	text, err := redis.String(c.conn.Do("INFO", "understudy"))
	if err != nil {
		return nil, err
	}
	f := Fields{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			f[key] = value
		}
	}
	if f["understudy_version"] == "" {
		return nil, ErrStranger
	}
	return f, nil
}

// Nodes returns what PROXY NODES says, the master first. Errors are as for Info.
func (c *Client) Nodes() ([]Fields, error) {
	return c.list("NODES")
}

// Members returns what PROXY MEMBERS says, by id. Errors are as for Info.
func (c *Client) Members() ([]Fields, error) { return c.list("MEMBERS") }

// Events returns the latest events, no more than count, the last one at the end. Errors are as for Info.
func (c *Client) Events(count int) ([]Fields, error) { return c.list("EVENTS", count) }

// list asks for an array of maps.
func (c *Client) list(args ...any) ([]Fields, error) {
	reply, err := redis.Values(c.conn.Do("PROXY", args...))
	var refused redis.Error
	switch {
	case errors.As(err, &refused) && strings.HasPrefix(refused.Error(), "ERR unknown command"):
		return nil, ErrStranger
	case err != nil:
		return nil, err
	}
	list := make([]Fields, len(reply))
	for i, r := range reply {
		if list[i], err = fieldsOf(r); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStranger, err)
		}
	}
	return list, nil
}

// OperationTimeout is how long the answer to Failover, Pause, Resume and Forget may take: a little longer than an Understudy
// waits for it.
const OperationTimeout = 65 * time.Second

// Failover makes the node (host:port; "": the best replica) the master, and returns one sentence about it when it is
// done. For an error that is the answer, see Refused.
func (c *Client) Failover(node string, force bool) (string, error) {
	args := []any{"FAILOVER"}
	if node != "" {
		args = append(args, node)
	}
	if force {
		args = append(args, "FORCE")
	}
	return c.operate(args...)
}

// Pause has the Understudys of the cluster only observe. The reason may be empty. Errors are as for Failover.
func (c *Client) Pause(reason string) (string, error) {
	if reason == "" {
		return c.operate("PAUSE")
	}
	return c.operate("PAUSE", reason)
}

// Resume ends a pause. Errors are as for Failover.
func (c *Client) Resume() (string, error) { return c.operate("RESUME") }

// Forget takes a node (host:port) that is gone for good out of the cluster. Errors are as for Failover.
func (c *Client) Forget(node string) (string, error) { return c.operate("FORGET", node) }

func (c *Client) operate(args ...any) (string, error) {
	text, err := redis.String(redis.DoWithTimeout(c.conn, OperationTimeout, "PROXY", args...))
	if Refused(err) && strings.HasPrefix(err.Error(), "ERR unknown command") {
		return "", ErrStranger
	}
	return text, err
}

// Refused reports whether an error is the answer of an Understudy or of its nodes: what was asked for was not done, and
// the error says why.
func Refused(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && !strings.HasPrefix(reply.Error(), "NOAUTH")
}

// Fields are names and values. What a version of Understudy does not tell is absent.
type Fields map[string]string

// Int returns a whole number; 0 if there is none of that name.
func (f Fields) Int(name string) int64 {
	n, err := strconv.ParseInt(f[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Milliseconds returns a duration that is told in milliseconds with decimals; 0 if there is none of that name.
func (f Fields) Milliseconds(name string) time.Duration {
	n, err := strconv.ParseFloat(f[name], 64)
	if err != nil {
		return 0
	}
	return time.Duration(n * float64(time.Millisecond))
}

// fieldsOf reads a map. Lists in it are joined by commas.
func fieldsOf(reply any) (Fields, error) {
	values, err := redis.Values(reply, nil)
	if err != nil || len(values)%2 != 0 {
		return nil, errors.New("an entry that is no map")
	}
	f := Fields{}
	for i := 0; i < len(values); i += 2 {
		name, err := redis.String(values[i], nil)
		if err != nil {
			return nil, err
		}
		switch v := values[i+1].(type) {
		case int64:
			f[name] = strconv.FormatInt(v, 10)
		case []byte:
			f[name] = string(v)
		case []any:
			list, err := redis.Strings(v, nil)
			if err != nil {
				return nil, err
			}
			f[name] = strings.Join(list, ",")
		default:
			return nil, fmt.Errorf("a field %q of type %T", name, v)
		}
	}
	return f, nil
}
