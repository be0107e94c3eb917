package session

import (
	"time"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

const (
	// largeReply is the size from which a reply counts as large if others were asked for behind it, loneReply the same for
	// one alone.
	largeReply = 64 << 10
	loneReply  = 256 << 10
	// apartFor is how long a session that has had a large reply keeps to connections of its own: strangers would wait behind
	// the next ones, and the session behind those of others like it. Small replies in between prove nothing.
	apartFor = 5 * time.Second
	// patience is how often in a row a session's requests are given back on lanes before it is treated the same.
	patience = 3
	// maxShare is how many bytes of replies that are due to one session strangers wait for on a lane.
	maxShare = 1 << 20
	// maxMixed is how many reads of a session may lie on a lane together with writes. A write cannot be given back, neither a
	// stranger's nor the session's own behind its reads, so what these return has to be taken, whatever its size.
	maxMixed = 16
)

// sawReply takes note of a large reply that was the session's, on c.
func (s *Session) sawReply(c *upstream.Conn, size int) {
	if size >= loneReply || s.outstanding > 0 {
		s.largeAt = s.env.Loop.Now()
	}
	if s.outstanding*size > maxShare {
		c.Isolate()
	}
}

// large reports whether the session has had large replies of late.
func (s *Session) large() bool {
	if s.largeAt.IsZero() {
		return false
	}
	if s.env.Loop.Now().Sub(s.largeAt) >= apartFor {
		s.largeAt = time.Time{}
	}
	return !s.largeAt.IsZero()
}

// mixed is how many reads of the session may lie on a connection to the master together with writes: few on a lane as
// long as little is known of its replies, and one if they are large, because there is no connection of its own to be had.
func (s *Session) mixed() int {
	switch c := s.apart[1]; {
	case !s.large():
		return min(maxMixed, s.window/8)
	case c != nil && c.Usable():
		return maxOutstanding
	}
	return 1
}

// fits reports whether that many more requests may follow what the session has outstanding on a connection to the master.
func (s *Session) fits(c *upstream.Conn, requests, writes int) bool {
	return !c.MixesWrites() || s.outstanding-s.writes+requests-writes <= max(s.mixed(), requests-writes)
}

// instead returns the connection to use in place of a lane. Nothing is outstanding.
func (s *Session) instead(lane *upstream.Conn, want *freshness.Want) *upstream.Conn {
	if !s.large() {
		s.together()
		return lane
	}
	own := &s.apart[0]
	if lane.Master() {
		own = &s.apart[1]
	}
	if c := *own; c != nil {
		if c.Serves(lane, want) {
			return c
		}
		*own = nil
		c.Retire()
	}
	if c := s.group.Apart(lane); c != nil {
		*own = c
		return c
	}
	return lane
}

// together ends being apart, as soon as what is under way is answered.
func (s *Session) together() {
	for i, c := range s.apart {
		if c != nil {
			s.apart[i] = nil
			c.Retire()
		}
	}
}
