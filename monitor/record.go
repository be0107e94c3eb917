package monitor

import (
	"time"
)

// record is what the loop keeps of one node.
type record struct {
	watcher  *watcher
	vitality vitality
	node     node
	err      error // the last error reply instead of INFO
	company  company
	since    time.Time // when watching began
	named    time.Time // when another node last named this one
	told     bool      // err was logged
	lostAt   time.Time // when it was last lost sight of: what it told before may be the word of another process
	lost     bool      // the loss of the watch connection was logged, and nothing was heard since
	cutAt    time.Time // when we had the node disconnect its clients, us among them; zero: never
	noFile   bool      // it was logged that the node has no configuration file
}

// known reports whether what the node told of itself last is its word still: nothing has parted us since.
func (r *record) known() bool { return r.node.heard.After(r.lostAt) && r.node.denied == "" }

// lose takes note that the node was lost sight of at a time.
func (r *record) lose(at time.Time) {
	if at.After(r.lostAt) {
		r.lostAt = at
	}
}

// learn takes in what the node said of itself at a time.
func (r *record) learn(n info, at time.Time, latency time.Duration, trail *trail) {
	was := r.node
	if latency > 0 {
		// Smoothed, so that one slow look does not decide between two equal candidates.
		if was.latency > 0 {
			latency = (7*was.latency + latency) / 8
		}
		r.node.latency = latency
	}
	r.node.info, r.node.heard, r.node.denied = n, at, ""
	if was.heard.IsZero() || was.RunID != n.RunID {
		r.node.advancedFrom, r.node.advancedTo = time.Time{}, time.Time{}
	} else if n.Offset > was.Offset {
		r.node.advancedFrom, r.node.advancedTo = was.heard, at
	}
	switch {
	case n.Role != roleReplica || n.LinkUp:
		r.node.linkLost = time.Time{}
	case was.heard.IsZero() || was.LinkUp || was.linkLost.IsZero():
		r.node.linkLost = at
	}
	r.node.lagBytes, r.node.lagTime, r.node.reached = 0, 0, time.Time{}
	if n.Role == roleReplica {
		r.node.lagBytes, r.node.lagTime = trail.behind(n.Offset, at)
		r.node.reached = trail.reached(n.Offset)
	}
}

// trail remembers where the master was when, so that a replica's offset can be turned into a time.
type trail struct {
	spacing time.Duration
	marks   []mark // oldest first
	last    mark
}

type mark struct {
	at     time.Time
	offset int64
}

// trailLength marks are kept: the resolution of lag in time is the bound divided by it.
const trailLength = 64

func newTrail(bound time.Duration) *trail { return &trail{spacing: bound / (trailLength / 2)} }

// add records where the master is.
func (t *trail) add(offset int64, at time.Time) {
	if offset < t.last.offset {
		t.marks = nil // another history
	}
	t.last = mark{at, offset}
	if n := len(t.marks); n == 0 || at.Sub(t.marks[n-1].at) >= t.spacing {
		if n == trailLength {
			t.marks = append(t.marks[:0], t.marks[1:]...)
		}
		t.marks = append(t.marks, t.last)
	}
}

// behind returns by how many bytes, and by how much time, one that is at offset is behind the master.
func (t *trail) behind(offset int64, at time.Time) (int64, time.Duration) {
	if len(t.marks) == 0 || offset >= t.last.offset {
		return 0, 0
	}
	// It has everything up to the newest mark that it has reached; that is how old its data may be.
	reached := t.reached(offset)
	if reached.IsZero() {
		reached = t.marks[0].at
	}
	return t.last.offset - offset, at.Sub(reached)
}

// reached returns the latest moment of which one that is at offset has everything; zero if that is not known.
func (t *trail) reached(offset int64) (at time.Time) {
	if len(t.marks) > 0 && offset >= t.last.offset {
		return t.last.at
	}
	for _, m := range t.marks {
		if m.offset <= offset {
			at = m.at
		}
	}
	return at
}
