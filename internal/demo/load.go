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
	// callLimit is far above every pause that a failover makes at default settings.
	callLimit = 30 * time.Second
	// slow is what a request must take to be remembered one by one.
	slow = 5 * time.Millisecond
	// slowest are remembered.
	slowest = 4096
)

// load is the demonstration's own clients: writers that count up, each a key of its own, and readers of those keys and
// others.
type load struct {
	addr    string
	clients sync.WaitGroup

	mu     sync.Mutex
	sum    counts
	recent time.Duration // the longest request since that was last asked for
	slow   []pause
}

// counts are what the clients have met with so far.
type counts struct {
	requests uint64
	errors   uint64 // error replies and lost connections
	unknown  uint64 // of writes whose outcome is unknown: the one answer of a failover that a client has to deal with
	twice    uint64 // increments that were applied and not asked for
	lost     uint64 // increments that were answered and are gone: replication is asynchronous
	last     string // the last error
}

// pause is how long one request took.
type pause struct {
	began time.Time
	took  time.Duration
}

// startLoad starts the clients, when the Understudy serves writes.
func startLoad(ctx context.Context, addr string) (*load, error) {
	l := &load{addr: addr}
	conn, err := l.dial()
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
		l.clients.Go(func() { l.run(ctx, (&counter{load: l, key: fmt.Sprintf("demo:counter:%d", i)}).increment) })
	}
	for range readers {
		l.clients.Go(func() { l.run(ctx, l.read) })
	}
	return l, nil
}

func key(i int) string { return fmt.Sprintf("demo:key:%d", i) }

// wait returns when all clients have ended, which they do when their context has.
func (l *load) wait() { l.clients.Wait() }

func (l *load) dial() (redis.Conn, error) {
	return redis.Dial("tcp", l.addr, redis.DialConnectTimeout(callLimit), redis.DialReadTimeout(callLimit), redis.DialWriteTimeout(callLimit))
}

// run is one client: it makes requests until ctx ends, and connects again when its connection is lost.
func (l *load) run(ctx context.Context, request func(redis.Conn) error) {
	for ctx.Err() == nil {
		conn, err := l.dial()
		if err != nil {
			l.failed(err)
			if !rest(ctx, time.Second) {
				return
			}
			continue
		}
		// Whatever the client waits for when the show ends is of no interest any more.
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		for ctx.Err() == nil {
			began := time.Now()
			err := request(conn)
			if ctx.Err() != nil {
				break
			}
			l.took(pause{began, time.Since(began)})
			if err != nil {
				l.failed(err)
			}
			if conn.Err() != nil {
				break
			}
			rest(ctx, thinkTime/2+rand.N(thinkTime))
		}
		stop()
		conn.Close()
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
		return err
	}
	if c.value > 0 {
		c.load.judge(c.value+1, c.value+1+c.pending, got)
	}
	c.value, c.pending = got, 0
	return nil
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
