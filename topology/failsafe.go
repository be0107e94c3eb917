package topology

import (
	"time"
)

// failsafe is what lets a member write without ZooKeeper: the promises of all electors of one State.
type failsafe struct {
	version int64
	epoch   uint64
	from    time.Time // when the oldest of the requests that it rests on was sent
	wall    time.Time // the same by the wall clock
	until   time.Time
	by      []string // who promised
}

// holds reports whether the promises last at now, by both clocks, as a lease does.
func (f *failsafe) holds(now time.Time) bool {
	return f != nil && now.Before(f.until) && now.Round(0).Sub(f.wall) < f.until.Sub(f.from)
}

// promises are those that a member has been given for one State.
type promises struct {
	version int64
	epoch   uint64
	given   map[string]promise // by the elector's id
}

// promise is one that was given.
type promise struct {
	sent     time.Time // the request for it
	duration time.Duration
}

// about makes p the promises for is; those for another State are worth nothing.
func (p *promises) about(is Snapshot) {
	if p.given == nil || p.version != is.Version || p.epoch != is.epoch() {
		*p = promises{version: is.Version, epoch: is.epoch(), given: make(map[string]promise)}
	}
}

// take records a promise about that version.
func (p *promises) take(version int64, id string, sent time.Time, d time.Duration) {
	if p.version == version && p.given != nil {
		p.given[id] = promise{sent, d}
	}
}

// failsafe returns what the promises add up to: nil unless all electors gave one. own is this member's own one, without
// which it counts for nothing; it ends no later than limit. Five percent of each promise are for clocks that differ.
func (p *promises) failsafe(electors []Elector, self string, own promise, limit time.Time) *failsafe {
	if len(electors) == 0 {
		return nil
	}
	f := &failsafe{version: p.version, epoch: p.epoch, from: own.sent, until: limit}
	count := func(g promise) {
		if until := g.sent.Add(g.duration - g.duration/20); until.Before(f.until) {
			f.until = until
		}
		if g.sent.Before(f.from) {
			f.from = g.sent
		}
	}
	count(own)
	for _, e := range electors {
		if e.ID == self {
			continue
		}
		g, found := p.given[e.ID]
		if !found {
			return nil
		}
		count(g)
		f.by = append(f.by, e.ID)
	}
	f.wall = f.from.Round(0)
	return f
}
