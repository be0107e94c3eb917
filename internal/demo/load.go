package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	writers = 2
	readers = 6
	keys    = 1000
	// thinkTime keeps the load so small that there is a processor left for whoever tries the demonstration.
	thinkTime = 4 * time.Millisecond
	// homeAfter is how long a client whose Understudy has died stays with another one before it looks for its own.
	homeAfter = time.Second
	// callLimit is far above every pause that a failover makes at default settings.
	callLimit = 30 * time.Second
	// slow is what a request must take to be remembered one by one.
	slow = 5 * time.Millisecond
	// slowest are remembered.
	slowest = 4096
)

// load is the demonstration's own clients: writers that count up, each a key of its own, and readers of those keys and
// others. Where there are several Understudys, each client has one of them as its sidecar. When that one dies, the
// client goes on with another, and returns when it is back.
type load struct {
	addrs   []string
	clients sync.WaitGroup

	mu     sync.Mutex
	sum    counts
	recent time.Duration // the longest request since that was last asked for
	slow   []pause
}

// counts are what the clients have met with so far.
type counts struct {
	requests uint64
	errors   uint64 // error replies, and lost connections where there is no other Understudy to go on with
	moved    uint64 // connections that ended together with their Understudy; the client went on with another one
	unknown  uint64 // of writes whose outcome is unknown: the one answer of a failover that a client has to deal with
	twice    uint64 // increments that were applied and not asked for
	lost     uint64 // increments that were answered and are gone: replication is asynchronous
	last     string // the last error
}

// since returns what was counted after before.
func (c counts) since(before counts) counts {
	return counts{c.requests - before.requests, c.errors - before.errors, c.moved - before.moved, c.unknown - before.unknown,
		c.twice - before.twice, c.lost - before.lost, c.last}
}

// pause is how long one request took.
type pause struct {
	began time.Time
	took  time.Duration
}

// startLoad starts the clients, when the Understudy serves writes.
func startLoad(ctx context.Context, addrs []string) (*load, error) {
	l := &load{addrs: addrs}
	conn, err := l.dial(0)
	if err != nil {
		return nil, fmt.Errorf("the demonstration's clients cannot connect: %w", err)
	}
	defer conn.Close()
	for i := range keys {
		if err := conn.Send("SET", key(i), i); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Do(""); err != nil {
		return nil, fmt.Errorf("the demonstration's clients cannot write: %w", err)
	}
	for i := range writers {
		l.clients.Go(func() { l.run(ctx, i, (&counter{load: l, key: fmt.Sprintf("demo:counter:%d", i)}).increment) })
	}
	for i := range readers {
		l.clients.Go(func() { l.run(ctx, i, l.read) })
	}
	return l, nil
}

func key(i int) string { return fmt.Sprintf("demo:key:%d", i) }

// wait returns when all clients have ended, which they do when their context has.
func (l *load) wait() { l.clients.Wait() }

// dial connects to one of the Understudys.
func (l *load) dial(which int) (redis.Conn, error) {
	return redis.Dial("tcp", l.addrs[which], redis.DialConnectTimeout(callLimit), redis.DialReadTimeout(callLimit), redis.DialWriteTimeout(callLimit))
}

// run is one client: it makes requests until ctx ends, and connects again when its connection is lost. number decides
// which Understudy is its own.
func (l *load) run(ctx context.Context, number int, request func(redis.Conn) error) {
	home := number % len(l.addrs)
	var waiting time.Time // since when a request waits that was under way on a connection that was lost
	for at, refusals := home, 0; ctx.Err() == nil; {
		conn, err := l.dial(at)
		if err != nil {
			at = (at + 1) % len(l.addrs)
			if refusals++; refusals%len(l.addrs) == 0 { // all of them refuse
				l.failed(err)
				rest(ctx, time.Second)
			}
			continue
		}
		refusals = 0
		waiting = l.converse(ctx, conn, waiting, request, func() bool { return at != home && l.returns(home) })
		switch {
		case waiting.IsZero():
			at = home // it left, to come home
		case len(l.addrs) > 1:
			at = (at + 1) % len(l.addrs)
		}
	}
}

// returns reports whether the Understudy of a client serves again.
func (l *load) returns(home int) bool {
	conn, err := l.dial(home)
	if err != nil {
		return false
	}
	// Whether it answers is the question; how this connection closes is of no interest.
	_, err = conn.Do("PING")
	_ = conn.Close()
	return err == nil
}

// converse makes requests over one connection until it is lost, and returns since when the request waits that was under
// way then; or until ctx ends or leave, which is asked every homeAfter, says so, and returns zero. waiting is what it
// returned for the connection before.
func (l *load) converse(ctx context.Context, conn redis.Conn, waiting time.Time, request func(redis.Conn) error, leave func() bool) time.Time {
	// Whatever the client waits for when the show ends is of no interest any more.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer conn.Close()
	defer stop()
	asked := time.Now()
	for {
		began := time.Now()
		if !waiting.IsZero() {
			began = waiting
		}
		err := request(conn)
		if ctx.Err() != nil {
			return time.Time{}
		}
		if conn.Err() != nil {
			l.lostConnection(err)
			return began
		}
		waiting = time.Time{}
		l.took(pause{began, time.Since(began)})
		if err != nil {
			l.failed(err)
		}
		if !rest(ctx, thinkTime/2+rand.N(thinkTime)) {
			return time.Time{}
		}
		if time.Since(asked) >= homeAfter {
			if leave() {
				return time.Time{}
			}
			asked = time.Now()
		}
	}
}

// rest waits, and returns false when ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (l *load) read(conn redis.Conn) error {
	_, err := conn.Do("GET", key(rand.IntN(keys)))
	return err
}

// counter is a key that one client alone increments, so that it knows what the next value has to be.
type counter struct {
	load    *load
	key     string
	value   int64
	pending int64 // increments since value was read whose outcome is unknown
}

func (c *counter) increment(conn redis.Conn) error {
	got, err := redis.Int64(conn.Do("INCR", c.key))
	var reply redis.Error
	switch {
	case errors.As(err, &reply) && !strings.HasPrefix(reply.Error(), "UNKNOWNRESULT"):
		return err // refused, so not applied
	case err != nil:
		c.pending++
		c.load.interrupted(err)
		return err
	}
	if c.value > 0 {
		c.load.judge(c.value+1, c.value+1+c.pending, got)
	}
	c.value, c.pending = got, 0
	return nil
}

// interrupted counts a write whose connection was lost together with its Understudy: its result is unknown, as if that
// had said so. What an Understudy says is counted by failed.
func (l *load) interrupted(err error) {
	if errors.As(err, new(redis.Error)) || len(l.addrs) < 2 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.unknown++
}

// judge counts what a counter's value says, which should be between low and high.
func (l *load) judge(low, high, got int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case got > high:
		l.sum.twice += uint64(got - high)
	case got < low:
		l.sum.lost += uint64(low - got)
	}
}

func (l *load) took(p pause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.requests++
	l.recent = max(l.recent, p.took)
	if p.took >= slow {
		if len(l.slow) == slowest {
			l.slow = append(l.slow[:0], l.slow[slowest/2:]...)
		}
		l.slow = append(l.slow, p)
	}
}

func (l *load) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasPrefix(err.Error(), "UNKNOWNRESULT") {
		l.sum.unknown++
		return
	}
	l.sum.errors++
	l.sum.last = err.Error()
}

// lostConnection counts a connection that ended with a request under way.
func (l *load) lostConnection(err error) {
	if len(l.addrs) == 1 {
		l.failed(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.moved++
}

// counts returns what was counted so far.
func (l *load) counts() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}

// takeLongest returns the longest request since the last call.
func (l *load) takeLongest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := l.recent
	l.recent = 0
	return longest
}

// longest returns the longest request that was under way at some time between from and to.
func (l *load) longest(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for _, p := range l.slow {
		if p.began.Before(to) && p.began.Add(p.took).After(from) {
			longest = max(longest, p.took)
		}
	}
	return longest
}
