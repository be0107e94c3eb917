package e2e

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// load is a number of clients that count and read through the proxy, each on one connection that must never break.
type load struct {
	s       *system
	writers []*counter
	readers []*reader
	stop    chan struct{}
	running sync.WaitGroup
}

// counter increments a key of its own. last is the greatest value that was ever acknowledged, unknown how often the
// outcome was unknown: the key may never be greater than what was acknowledged plus what is unknown.
type counter struct {
	key     string
	acked   atomic.Int64
	last    int64
	unknown int64
	gap     time.Duration // longest time between two acknowledgements
	errs    []error
	failed  atomic.Bool // errs has something
}

// reader reads a key that nobody writes.
type reader struct {
	reads  atomic.Int64
	gap    time.Duration
	errs   []error
	failed atomic.Bool // errs has something
}

// loads numbers them, so that each has keys of its own.
var loads atomic.Int64

func startLoad(s *system, writers, readers int) *load {
	l := &load{s: s, stop: make(chan struct{})}
	number := loads.Add(1)
	for i := range writers {
		w := &counter{key: fmt.Sprintf("counter:%d:%d", number, i)}
		l.writers = append(l.writers, w)
		conn := s.dial()
		l.running.Go(func() { w.run(conn, l.stop) })
	}
	for range readers {
		r := &reader{}
		l.readers = append(l.readers, r)
		conn := s.dial()
		l.running.Go(func() { r.run(conn, l.stop) })
	}
	return l
}

func (w *counter) run(conn redis.Conn, stop <-chan struct{}) {
	at := time.Now()
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, err := redis.Int64(conn.Do("INCR", w.key))
		switch {
		case isUnknown(err):
			w.unknown++
			continue
		case err != nil:
			w.fail(err)
			if conn.Err() != nil {
				return
			}
			continue
		}
		if n > w.last+1+w.unknown {
			w.fail(fmt.Errorf("%s is %d after %d with %d unknown outcomes: applied twice", w.key, n, w.last, w.unknown))
		}
		w.acked.Add(1)
		w.last = max(w.last, n)
		w.gap = max(w.gap, time.Since(at))
		at = time.Now()
		if got, err := redis.Int64(conn.Do("GET", w.key)); err != nil {
			w.fail(fmt.Errorf("GET: %w", err))
		} else if got < n {
			// A failover in between may lose writes that no replica had; then the count goes on from there.
			w.last = max(w.last, got)
		}
	}
}

func (r *reader) run(conn redis.Conn, stop <-chan struct{}) {
	at := time.Now()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if v, err := redis.String(conn.Do("GET", "fixed")); err != nil || v != "value" {
			r.errs = append(r.errs, fmt.Errorf("GET fixed: %q, %w", v, err))
			r.failed.Store(true)
			if conn.Err() != nil {
				return
			}
			continue
		}
		r.reads.Add(1)
		r.gap = max(r.gap, time.Since(at))
		at = time.Now()
	}
}

// end stops the clients and checks what they saw in that many failovers.
func (l *load) end(t testing.TB, failovers int) {
	t.Helper()
	close(l.stop)
	l.running.Wait()
	var acked, unknown int64
	var writeGap, readGap time.Duration
	conn := l.s.dial()
	for i, w := range l.writers {
		for _, err := range w.errs {
			t.Errorf("writer %d: %v", i, err)
		}
		final, err := redis.Int64(conn.Do("GET", w.key))
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
		if final > w.acked.Load()+w.unknown {
			t.Errorf("%s is %d, but only %d increments were acknowledged and %d are unknown", w.key, final, w.acked.Load(), w.unknown)
		}
		acked, unknown, writeGap = acked+w.acked.Load(), unknown+w.unknown, max(writeGap, w.gap)
		if w.unknown > int64(failovers) {
			t.Errorf("writer %d had %d unknown outcomes in %d failovers, at most one can be in flight in each", i, w.unknown, failovers)
		}
	}
	for i, r := range l.readers {
		for _, err := range r.errs {
			t.Errorf("reader %d: %v", i, err)
		}
		if r.reads.Load() == 0 {
			t.Errorf("reader %d read nothing", i)
		}
		readGap = max(readGap, r.gap)
	}
	t.Logf("%d writes acknowledged, %d unknown; longest gap between writes %v, between reads %v", acked, unknown, writeGap, readGap)
}

// progress waits until every client has done at least n more operations.
func (l *load) progress(n int64) {
	l.s.t.Helper()
	var targets []int64
	for _, w := range l.writers {
		targets = append(targets, w.acked.Load()+n)
	}
	for _, r := range l.readers {
		targets = append(targets, r.reads.Load()+n)
	}
	testcluster.WaitFor(l.s.t, "progress of every client", func() bool {
		for i, w := range l.writers {
			if w.acked.Load() < targets[i] && !w.failed.Load() {
				return false
			}
		}
		for i, r := range l.readers {
			if r.reads.Load() < targets[len(l.writers)+i] && !r.failed.Load() {
				return false
			}
		}
		return true
	})
}

func (w *counter) fail(err error) {
	w.errs = append(w.errs, err)
	w.failed.Store(true)
}
