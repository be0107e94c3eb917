package freshness

import "time"

// Want is what a session demands of the replica that is to answer a read.
type Want struct {
	// Keys is the sample as of which it must be fresh for the sake of the keys to be read: see [Loop.Needs].
	Keys uint64
	// Floor is the same for the sake of what the session has observed, unless it was observed at this very replica: At,
	// which is nil if it was the master.
	Floor uint64
	At    *Replica
	// Eventual says that any replica will do.
	Eventual bool
	// Bounded says that any will do that had, at the moment Since or later, all that the master had. Since is a time of
	// Tracker.Age.
	Bounded bool
	Since   time.Duration
}

// Allows reports whether a replica may answer the read.
func (w *Want) Allows(r *Replica) bool {
	if r.apart.Load() {
		return false
	}
	switch {
	case w.Eventual:
		return true
	case w.Bounded:
		return r.asOf.Load() > 0 && time.Duration(r.begun.Load()) >= w.Since
	}
	asOf := r.asOf.Load()
	return asOf >= w.Keys && (asOf >= w.Floor || r == w.At && asOf > 0)
}

// Reason says why a read went to the master.
type Reason uint8

const (
	ByCommand     Reason = iota // only the master can answer this command
	ByPolicy                    // the session reads from the master
	BehindWrite                 // it stands behind a write of its session that was not answered when it came
	ByKeys                      // no replica had the last write of a key that it reads
	ByFloor                     // no replica had a write that may have changed any key, or was new enough for anybody
	BySession                   // no replica had what the session has already seen
	ByAge                       // no replica was known to be within the bound of the session's policy
	NoReplica                   // there was none to be had: none is healthy, connects, or takes the client's user
	ByTransaction               // it belongs to a transaction, or its session watches keys
	ByBlocking                  // it may wait for data
	ByIteration                 // it goes on with an iteration that began at the master
	ByTracking                  // the client caches, and the master is to tell it what has changed
	ByPin                       // the session has a connection to the master for itself, because of what the server holds for it
	Reasons
)

var reasonNames = [Reasons]string{"command", "policy", "behind_write", "written_key", "floor", "session", "age", "no_replica",
	"transaction", "blocking", "iteration", "tracking", "pinned"}

func (r Reason) String() string { return reasonNames[r] }

// Refusal returns the reason why none of the replicas that might have answered was allowed to. best is the newest
// sample that any of them has reached.
func (t *Tracker) Refusal(w *Want, best uint64) Reason {
	switch {
	case w.Bounded:
		return ByAge
	case best < t.Floor():
		return ByFloor
	case best < w.Keys:
		return ByKeys
	}
	return BySession
}
