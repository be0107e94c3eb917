package agreement

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

const (
	// Clients of each member.
	writers = 5
	readers = 2

	// pace is the pause between two requests of a client, so that the load does not take the machine from the members.
	pace = 2 * time.Millisecond

	// stage is how many operations every client does before and after an event.
	stage = 50
)

// load is a number of clients that count and read through all members, each on one connection that must never break
// unless its member is killed.
type load struct {
	s       *system
	clients []*client
	patient time.Duration // how long progress is waited for
	excused *member       // its clients may be without answers for any time
	stop    chan struct{}
	running sync.WaitGroup
}

// client counts in a key of its own, or reads a key that nobody writes. last is the greatest value that was ever
// acknowledged, unknown how often the outcome was unknown: the key may never be greater than what was acknowledged plus
// what is unknown.
type client struct {
	member *member
	key    string // "": a reader
	done   atomic.Int64
	doneAt atomic.Pointer[time.Time] // when the last operation was answered
	asked  atomic.Pointer[time.Time] // when the last write was asked for that was answered; nil: none was
	failed atomic.Bool               // errs has something

	// Of the goroutine that runs it, and of everybody after its end:
	last    int64
	unknown int
	stale   int           // reads of its own key that gave an older value than it had written
	gap     time.Duration // longest time between two answers
	errs    []error
}

// loads numbers them, so that each has keys of its own.
var loads atomic.Int64

// startLoad starts clients of these members, or of all that were not killed.
func startLoad(s *system, members ...*member) *load {
	s.t.Helper()
	if len(members) == 0 {
		members = s.alive()
	}
	l := &load{s: s, patient: time.Minute, stop: make(chan struct{})}
	number := loads.Add(1)
	for _, m := range members {
		for i := range writers + readers {
			c := &client{member: m}
			if i < writers {
				c.key = fmt.Sprintf("counter:%d:%s%d", number, m.id, i)
			}
			l.clients = append(l.clients, c)
			conn := s.dial(m)
			l.running.Go(func() { c.run(conn, l.stop) })
		}
	}
	s.t.Cleanup(l.halt)
	return l
}

// halt stops the clients.
func (l *load) halt() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
}

func (c *client) run(conn redis.Conn, stop <-chan struct{}) {
	next := time.NewTicker(pace)
	defer next.Stop()
	operate := c.read
	if c.key != "" {
		operate = c.count
	}
	began := time.Now()
	c.doneAt.Store(&began)
	for {
		select {
		case <-stop:
			return
		case <-next.C:
		}
		if err := operate(conn); err != nil && !(c.member.broken.Load() && conn.Err() != nil) {
			c.errs = append(c.errs, err)
			c.failed.Store(true)
		}
		if conn.Err() != nil {
			return
		}
	}
}

func (c *client) read(conn redis.Conn) error {
	if v, err := redis.String(conn.Do("GET", "fixed")); err != nil || v != "value" {
		return fmt.Errorf("GET fixed: %q, %w", v, err)
	}
	c.progressed()
	return nil
}

func (c *client) count(conn redis.Conn) error {
	asked := time.Now()
	n, err := redis.Int64(conn.Do("INCR", c.key))
	switch {
	case isUnknown(err):
		c.unknown++
		return nil
	case err != nil && conn.Err() != nil:
		c.unknown++ // it was killed with the increment under way
		return fmt.Errorf("INCR: %w", err)
	case err != nil:
		return fmt.Errorf("INCR: %w", err)
	case n > c.last+1+int64(c.unknown):
		return fmt.Errorf("%s is %d after %d with %d unknown outcomes: applied twice", c.key, n, c.last, c.unknown)
	}
	c.last = max(c.last, n)
	c.asked.Store(&asked)
	c.progressed()
	got, err := redis.Int64(conn.Do("GET", c.key))
	switch {
	case errors.Is(err, redis.ErrNil) || err == nil && got < n:
		c.stale++ // a change of master in between may have lost it
	case err != nil:
		return fmt.Errorf("GET: %w", err)
	}
	return nil
}

func (c *client) progressed() {
	now := time.Now()
	c.gap = max(c.gap, now.Sub(*c.doneAt.Load()))
	c.doneAt.Store(&now)
	c.done.Add(1)
}

func (c *client) String() string {
	if c.key == "" {
		return "a reader at " + c.member.id
	}
	return c.key
}

// isUnknown reports whether a reply says that the outcome of a write is unknown.
func isUnknown(err error) bool {
	var e redis.Error
	return errors.As(err, &e) && strings.HasPrefix(string(e), "UNKNOWNRESULT ")
}

// progress waits until every client of these members has done at least n more operations.
func (l *load) progress(n int64, members ...*member) {
	l.s.t.Helper()
	l.progressOf(n, func(c *client) bool { return slices.Contains(members, c.member) })
}

// progressOf is progress of the clients for which cond holds.
func (l *load) progressOf(n int64, cond func(*client) bool) {
	l.s.t.Helper()
	targets := map[*client]int64{}
	for _, c := range l.clients {
		if cond(c) {
			targets[c] = c.done.Load() + n
		}
	}
	testcluster.WaitWithin(l.s.t, l.patient, "progress of the clients", func() bool {
		for c, target := range targets {
			if c.done.Load() < target && !c.failed.Load() {
				return false
			}
		}
		return true
	})
}

// until waits until every client of these members has done something after that moment.
func (l *load) until(moment time.Time, members ...*member) {
	l.s.t.Helper()
	testcluster.WaitFor(l.s.t, "answers to the clients", func() bool {
		for _, c := range l.clients {
			if slices.Contains(members, c.member) && c.doneAt.Load().Before(moment) && !c.failed.Load() {
				return false
			}
		}
		return true
	})
}

func isReader(c *client) bool { return c.key == "" }

// lastWrite returns when the last write through a member was asked for that was answered: the member sent it to the master later than
// that, however long it then took until the client had the answer.
func (l *load) lastWrite(m *member) (last time.Time) {
	for _, c := range l.clients {
		if at := c.asked.Load(); c.member == m && at != nil && at.After(last) {
			last = *at
		}
	}
	return last
}

// writes returns how many were acknowledged.
func (l *load) writes() (n int64) {
	for _, c := range l.clients {
		if !isReader(c) {
			n += c.done.Load()
		}
	}
	return n
}

// countersOn returns what one node has of the clients' counters, whatever its part is.
func (l *load) countersOn(n *testcluster.Redis) map[string]string {
	l.s.t.Helper()
	counters := map[string]string{}
	for _, c := range l.clients {
		if isReader(c) {
			continue
		}
		v, err := redis.String(n.Do("GET", c.key))
		must(l.s.t, err)
		counters[c.key] = v
	}
	return counters
}

// end stops the clients and checks what they saw while the master was lost that many times. Without a loss nothing may
// be lost, or unknown, but what was under way through a member that was killed.
func (l *load) end(losses int) {
	t := l.s.t
	t.Helper()
	l.halt()
	master, err := l.s.cluster.Master()
	must(t, err)
	var acked int64
	unknown := 0
	gaps := map[bool]time.Duration{}
	for _, c := range l.clients {
		for _, err := range c.errs {
			t.Errorf("%s: %v", c, err)
		}
		gaps[isReader(c)] = max(gaps[isReader(c)], c.gap)
		if c.done.Load() == 0 {
			t.Errorf("%s did nothing", c)
		}
		if isReader(c) {
			continue
		}
		final, err := redis.Int64(master.Do("GET", c.key))
		if err != nil {
			t.Errorf("%s: %v", c, err)
		}
		done, excused := c.done.Load(), losses
		if c.member.broken.Load() {
			excused++
		}
		if final > done+int64(c.unknown) {
			t.Errorf("%s is %d, but only %d increments were acknowledged and %d are unknown", c, final, done, c.unknown)
		}
		if c.unknown > excused {
			t.Errorf("%s had %d unknown outcomes, at most %d can be", c, c.unknown, excused)
		}
		if losses == 0 && (final < done || c.stale > 0) {
			t.Errorf("%s is %d, and %d increments were acknowledged; %d times it was read too small", c, final, done, c.stale)
		}
		acked, unknown = acked+done, unknown+c.unknown
	}
	t.Logf("%d writes acknowledged, %d unknown; longest gap between writes %v, between reads %v", acked, unknown,
		gaps[false].Round(time.Microsecond), gaps[true].Round(time.Microsecond))
}
