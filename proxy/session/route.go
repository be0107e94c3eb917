package session

import (
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// destination is where a batch of ordinary requests goes.
type destination uint8

const (
	toAny     destination = iota // any node, or the proxy itself: PING
	toReplica                    // a replica that is fresh enough; the master when there is none
	toMaster
)

// route decides where a request of that class may go, for a session with that policy. reason is why a read may go to
// the master only.
func route(class command.Class, policy Policy) (dest destination, reason freshness.Reason) {
	switch {
	case class == command.Session:
		return toAny, 0
	case class != command.Read && class != command.Scan:
		return toMaster, freshness.ByCommand
	case policy == Strong:
		return toMaster, freshness.ByPolicy
	}
	return toReplica, 0
}

// want returns what a read demands of the replica that is to answer it; need is for the sake of its keys. A session with a
// bound has another sample taken in time before the last one is too old.
func (s *Session) want(need uint64) freshness.Want {
	w := freshness.Want{Keys: need, Floor: s.floor, At: s.seenAt}
	switch s.policy {
	case Eventual:
		w.Eventual = true
	case Bounded:
		f, now := s.env.Freshness, s.env.Loop.Now()
		w.Bounded, w.Since = true, f.Age(now)-s.env.Config.MaxStaleness
		if now.Sub(s.env.bounded) > s.env.Config.MaxStaleness/4 {
			s.env.bounded = now
			f.Need(f.Next())
		}
	}
	return w
}

// observed notes that the client is about to get something from c: from now on it may know what had been written there
// by now, by whomever.
func (s *Session) observed(c *upstream.Conn) {
	s.floor = s.env.Freshness.Next()
	if at := c.Fresh(); at != s.seenAt {
		s.seenAt.Leave()
		at.Join()
		s.seenAt = at
	}
}

// sees is observed for a whole reply, which may be one that tells nothing, or the element that a worker was waiting for.
// Workers often read what belongs to it over another connection of their pool. So it counts for every session.
func (s *Session) sees(c *upstream.Conn, sight upstream.Sight, frame []byte) {
	if sight == upstream.Blind && frame[0] == '+' {
		return
	}
	if sight == upstream.Taking && s.policy == Causal && holdsData(frame) {
		s.env.Freshness.RaiseFloor()
	}
	s.observed(c)
}

// holdsData reports whether a reply is anything else than nil, an empty list, a number, a status or an error.
func holdsData(frame []byte) bool {
	switch frame[0] {
	case '+', '-', ':', '#':
		return false
	}
	return !hasNothing(frame)
}

// hasNothing reports whether a reply is nil, or an empty list.
func hasNothing(frame []byte) bool {
	switch frame[0] {
	case '_':
		return true
	case '$':
		return frame[1] == '-'
	case '*', '%', '~':
		return frame[1] == '-' || frame[1] == '0'
	}
	return false
}
