package monitor

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/topology"
)

// sign is what one probing of a node showed.
type sign int

const (
	signLife    sign = iota // it answered something
	signAccept              // its host took a fresh connection; nothing was answered on it yet
	signRefusal             // a fresh connection was refused, reset, or closed without an answer
	signTimeout             // a fresh connection was not established in time
	signSilence             // a request on an established connection was not answered in time
	signLost                // an old connection ended, which by itself says nothing of the node
)

// silentPrefix begins the reasons why a node is held down that says nothing at all. It may run, and be heard again any
// moment. The others are what its host said of a server that is gone.
const silentPrefix = "no "

// observation is one sign with its time. Began is when the probing began: what began before a gap in this process's
// time proves nothing about the node.
type observation struct {
	sign      sign
	began, at time.Time
	reason    string // of a refusal: what the network said
}

// patience is when a node counts as down; the fields are those of Config.
type patience struct {
	maxFailures int
	downAfter   time.Duration
	stallAfter  time.Duration
}

// vitality judges one node by the observations of it. The zero value is a node that nothing is known of, which does
// not count as down. It has no clock; it is used by one goroutine.
type vitality struct {
	patience patience
	stops    *stops // of this process, whose time does not count

	born      time.Time // the first observation
	voidUntil time.Time // observations that began before are ignored
	life      time.Time // the last sign of life
	failed    time.Time // when the last probing began that found none

	refusals     int       // in a row
	firstRefusal time.Time // when the first of them was made
	refusal      string

	silentSince time.Time // when the first request that was not answered was made; zero while all are
	acceptedAt  time.Time // when a connection was last accepted, whether or not anything was silent then
	timedOut    bool      // a connection was not established since silentSince

	down   bool
	since  time.Time
	reason string
}

// observe takes in one observation.
func (v *vitality) observe(o observation) {
	if o.began.Before(v.voidUntil) {
		return
	}
	if v.born.IsZero() {
		v.born = o.at
	}
	if o.sign == signRefusal || o.sign == signTimeout || o.sign == signSilence {
		if o.began.After(v.failed) {
			v.failed = o.began
		}
	}
	switch o.sign {
	case signLife:
		v.revive(o)
	case signRefusal:
		if v.refusals == 0 {
			v.firstRefusal = o.began
		}
		v.refusals++
		v.refusal = o.reason
	case signAccept:
		if o.at.After(v.acceptedAt) {
			v.acceptedAt = o.at
		}
	case signTimeout:
		v.silence(o.began)
		v.timedOut = true
	case signSilence:
		v.silence(o.began)
	}
}

// revive takes in a sign of life. One from before a failure, that was only reported late, does not undo the failure.
func (v *vitality) revive(o observation) {
	if o.at.After(v.life) {
		v.life = o.at
	}
	if v.refusals > 0 && o.at.After(v.firstRefusal) {
		v.refusals = 0
	}
	if !v.silentSince.IsZero() && o.at.After(v.silentSince) {
		v.silentSince, v.timedOut = time.Time{}, false
	}
	if v.down && v.refusals == 0 && v.silentSince.IsZero() {
		v.down, v.reason, v.since = false, "", o.at
	}
	if v.since.IsZero() {
		v.since = o.at
	}
}

func (v *vitality) silence(began time.Time) {
	if v.silentSince.IsZero() || began.Before(v.silentSince) {
		v.silentSince = began
	}
}

// discard forgets what could speak against the node: this process was not running for a while before now, so that
// every limit may have passed without any fault of the node. A node that was down stays down until it answers.
func (v *vitality) discard(now time.Time) {
	v.voidUntil = now
	v.refusals = 0
	v.silentSince, v.acceptedAt, v.timedOut = time.Time{}, time.Time{}, false
}

// judge brings the verdict up to now.
func (v *vitality) judge(now time.Time) {
	if v.down {
		return
	}
	switch {
	case v.refusals >= v.patience.maxFailures:
		v.condemn(v.firstRefusal, v.refusal)
	case v.silentSince.IsZero():
	// A host that takes connections is there, and its server may be busy; only one that takes none is given up early.
	// One that took some before it fell silent, as every node does that comes back, has shown nothing of that.
	case v.timedOut && v.acceptedAt.Before(v.silentSince) && v.silent(now) >= v.patience.downAfter:
		v.condemn(v.silentSince, fmt.Sprintf(silentPrefix+"connection for %v", v.patience.downAfter))
	case v.silent(now) >= v.patience.stallAfter:
		v.condemn(v.silentSince, fmt.Sprintf(silentPrefix+"answer for %v", v.patience.stallAfter))
	}
}

// silent is for how long the node has answered nothing while this process ran.
func (v *vitality) silent(now time.Time) time.Duration {
	return now.Sub(v.silentSince) - v.stops.within(v.silentSince, now)
}

// testifies reports whether this member has a view of the node: it has seen something of it, and that it is down is not
// from before this process was stopped.
func (v *vitality) testifies() bool {
	return !v.born.IsZero() && !(v.down && v.failed.Before(v.voidUntil))
}

func (v *vitality) condemn(since time.Time, reason string) {
	v.down, v.since, v.reason = true, since, reason
}

// doubted reports whether something speaks against the node without it being down yet, and since when.
func (v *vitality) doubted() (since time.Time, doubted bool) {
	switch {
	case v.refusals > 0 && (v.silentSince.IsZero() || v.firstRefusal.Before(v.silentSince)):
		return v.firstRefusal, true
	case !v.silentSince.IsZero():
		return v.silentSince, true
	}
	return time.Time{}, false
}

// view is what other members are told.
func (v *vitality) view(addr string) topology.NodeView {
	return topology.NodeView{Addr: addr, Down: v.down, Reason: v.reason, Since: v.since}
}
