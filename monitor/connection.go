package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
)

// dialer opens connections to nodes, with the credentials and the client name of this member. It remembers the last
// numeric address that worked for each name: when a name server is away (or has forgotten a node together with its
// death), that address is dialled instead, and what comes of it is an observation of the node after all.
type dialer struct {
	cfg  *Config
	open DialFunc

	mu   sync.Mutex
	last map[string]string // by host:port, the numeric host:port last connected to
}

func newDialer(cfg *Config) *dialer {
	open := cfg.Dial
	if open == nil {
		open = (&net.Dialer{}).DialContext
	}
	return &dialer{cfg: cfg, open: open, last: make(map[string]string)}
}

// connect opens a plain connection to addr within limit; where the name cannot be looked up in that time, to its last
// numeric address within limit again.
func (d *dialer) connect(ctx context.Context, addr string, limit time.Duration) (net.Conn, error) {
	conn, err := d.attempt(ctx, addr, limit)
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		d.mu.Lock()
		numeric := d.last[addr]
		d.mu.Unlock()
		if numeric == "" {
			return nil, err
		}
		// A name server that is silent has used up the limit, which says nothing of the node.
		conn, err = d.attempt(ctx, numeric, limit)
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.last[addr] = conn.RemoteAddr().String()
	d.mu.Unlock()
	return conn, nil
}

func (d *dialer) attempt(ctx context.Context, addr string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return d.open(ctx, "tcp", addr)
}

// link is one connection to a node: a redigo connection whose every call has a limit, and which ends with a context.
// It has one user at a time, except that one goroutine may receive while another sends.
type link struct {
	redis.Conn
	net   net.Conn
	limit time.Duration // for each reply to Do and Receive: that of whoever has its turn
	stop  func() bool   // takes the link off its context
}

// newLink speaks Redis on conn until ctx ends; each reply may take limit.
func newLink(ctx context.Context, conn net.Conn, limit time.Duration) *link {
	l := &link{Conn: redis.NewConn(guard.Conn(conn), limit, limit), net: conn, limit: limit}
	// redigo allows no Close beside a pending call; closing below it makes the call return.
	l.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return l
}

// Close ends the link. The error of closing a connection that is given up says nothing that matters.
func (l *link) Close() {
	l.stop()
	_ = l.Conn.Close()
}

// Do implements redis.Conn.
func (l *link) Do(command string, args ...any) (any, error) {
	return redis.DoWithTimeout(l.Conn, l.limit, command, args...)
}

// Receive implements redis.Conn.
func (l *link) Receive() (any, error) { return l.receive(l.limit) }

// receive waits for the next reply for no longer than limit.
func (l *link) receive(limit time.Duration) (any, error) {
	return redis.ReceiveWithTimeout(l.Conn, limit)
}

// openLink connects to addr, authenticates and sets the client name. The error wraps what diagnose understands; limit
// bounds connecting, and each reply.
func (d *dialer) openLink(ctx context.Context, addr string, limit time.Duration) (*link, error) {
	return d.openNamed(ctx, addr, d.cfg.clientName(), limit)
}

// openNamed is openLink with another client name.
func (d *dialer) openNamed(ctx context.Context, addr, name string, limit time.Duration) (*link, error) {
	conn, err := d.connect(ctx, addr, limit)
	if err != nil {
		return nil, err
	}
	l := newLink(ctx, conn, limit)
	if err := d.introduce(l, name); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// introduce authenticates and names the connection in one round trip.
func (d *dialer) introduce(l *link, name string) error {
	type step struct {
		name string
		args []any
	}
	var steps []step
	if d.cfg.Password != "" {
		if d.cfg.Username != "" {
			steps = append(steps, step{"AUTH", []any{d.cfg.Username, d.cfg.Password}})
		} else {
			steps = append(steps, step{"AUTH", []any{d.cfg.Password}})
		}
	}
	steps = append(steps, step{"CLIENT", []any{"SETNAME", name}})
	for _, s := range steps {
		if err := l.Send(s.name, s.args...); err != nil {
			return err
		}
	}
	if err := l.Flush(); err != nil {
		return err
	}
	var first error
	for _, s := range steps {
		_, err := l.Receive()
		var reply redis.Error
		switch {
		case err == nil || first != nil:
		case NoPasswordSet(err):
			// The node asks for no password: the one we have is for others, or for later.
		case errors.As(err, &reply) && s.name == "CLIENT" && strings.HasPrefix(reply.Error(), "NOPERM"):
			// Without a name the connection still does its work.
		default:
			first = fmt.Errorf("%s: %w", s.name, err)
		}
		if err != nil && diagnose(err) != answered {
			return first
		}
	}
	return first
}

// NoPasswordSet reports whether err is the answer of a server without a password to AUTH password, in the words of Redis 5 and 6+.
func NoPasswordSet(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) &&
		(strings.Contains(reply.Error(), "without any password configured") || strings.Contains(reply.Error(), "no password is set"))
}

// readInfo asks for what info holds. INFO server is only asked for when withServer is set: it cannot change during
// the life of a connection. The sections are asked for one by one because servers before 7 take one at a time.
func readInfo(l *link, withServer bool) (info, error) {
	sections := []string{"replication", "persistence"}
	if withServer {
		sections = append(sections, "server")
	}
	for _, s := range sections {
		if err := l.Send("INFO", s); err != nil {
			return info{}, err
		}
	}
	if err := l.Flush(); err != nil {
		return info{}, err
	}
	var text strings.Builder
	var first error
	for range sections {
		s, err := redis.String(l.Receive())
		switch {
		case err == nil:
			text.WriteString(s)
			text.WriteString("\r\n")
		case diagnose(err) != answered:
			return info{}, err
		case first == nil:
			first = err
		}
	}
	if first != nil {
		return info{}, first
	}
	return parseInfo(text.String()), nil
}
