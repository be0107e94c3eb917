package upstream

import (
	"math/rand/v2"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
)

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
	// startLatency is what a node is taken to need before anything was measured.
	startLatency = 500 * time.Microsecond
	forgetAfter  = 100 * time.Millisecond
)

// node is one server as this loop experiences it.
type node struct {
	addr    string
	runID   string // as the State has it; "" while unknown
	run     uint32 // its number in State; 0 while it has none
	master  bool
	serves  bool // a replica that may serve reads; the master of a stable State
	latency time.Duration
	// observed is when latency was last measured.
	observed time.Time
	retryAt  time.Time // no new connection before this moment
	opening  int       // connections that it has yet to answer on
	line     []*Conn   // pins that are to be opened next, in this order
	moves    bool      // the line is about to move
	misses   int       // failures since the last connection that came up; those at one time are one
	version  int       // of the server: 702 is 7.2; 0 while unknown
	// doubtedUntil is set when a replica has answered that it cannot serve (-LOADING, -MASTERDOWN).
	doubtedUntil time.Time
	left         bool               // no longer part of the State
	near         bool               // of the own zone
	weight       int                // for reads, in DefaultWeight; 0: none
	fresh        *freshness.Replica // of a replica that serves
	// scripts are those that this loop has loaded; with a time, one that the node has not taken, until when.
	scripts map[SHA]time.Time

	stats NodeStats
}

// DefaultWeight is the weight of a replica that has none of its own.
const DefaultWeight = 100

// NodeStats is what INFO understudy tells of a node.
type NodeStats struct {
	Addr     string
	Master   bool
	Requests uint64 // sent to it, by this loop, since it came into its role
	Latency  time.Duration
	Conns    int
}

// observe smooths the round trips measured.
func (n *node) observe(d time.Duration, now time.Time) {
	n.latency += (d - n.latency) / 8
	n.observed = now
}

// expected is the latency to expect now. A measurement loses half its weight with every forgetAfter in which there was
// no new one, so that a node that was slow once is tried again.
func (n *node) expected(now time.Time) time.Duration {
	return n.latency >> min(uint(now.Sub(n.observed)/forgetAfter), 20)
}

func (n *node) connected() { n.misses, n.retryAt = 0, time.Time{} }

// backoff is how long to wait after that many failures in a row: doubling, with jitter, so that the members of a
// cluster do not come back in step.
func backoff(misses int) time.Duration {
	d := min(lastBackoff, firstBackoff<<min(misses-1, 10))
	return d/2 + rand.N(d/2)
}

// failed sets the time before which no new connection is tried. What ends before that time was there when it was set, and
// is part of the same failure: a thousand connections that end together are no reason to wait for longer than after one.
func (n *node) failed(p *Pool, err error, busy bool) {
	p.suspect(n.addr)
	now := p.loop.Now()
	if now.Before(n.retryAt) {
		return
	}
	n.misses++
	pause := backoff(n.misses)
	if !busy && n.misses == 1 {
		pause = 0 // an idle connection was closed, by the server's timeout perhaps
	}
	n.retryAt = now.Add(pause)
	p.log.Debug("connection to a node ended", "node", n.addr, "error", err, "retry_in", pause)
	p.loop.After(pause, p.wake)
}

func (n *node) available(now time.Time) bool { return n.serves && !n.left && !now.Before(n.retryAt) }
