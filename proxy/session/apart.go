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
	// the next ones, and the session behind those of others like it. Small replies in between prove nothing. The same goes for
	// one that has mixed many reads and writes in a pipeline, with its connection to the master.
	apartFor = 5 * time.Second
	// patience is how often in a row a session's requests are given back on lanes, or the rest of a mixed pipeline waits for a
	// round trip, before it is treated the same.
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

// crowded reports whether the session should have a connection of its own and there is none to be had at once: it asks
// for one reply at a time then, so that strangers wait for no more than that on their lane.
func (s *Session) crowded() bool {
	return s.apart[0] == nil && s.apart[1] == nil && s.large() && s.group.Full()
}

// mixes reports whether the session has sent pipelines of late in which many reads and writes alternate. On a lane each
// would cost a round trip for every maxMixed reads.
func (s *Session) mixes() bool {
	if s.mixAt.IsZero() {
		return false
	}
	if s.env.Loop.Now().Sub(s.mixAt) >= apartFor {
		s.mixAt = time.Time{}
	}
	return !s.mixAt.IsZero()
}

// cut takes note that a pipeline waits for a round trip because there are as many reads among its writes as may be. If
// that happens again and again, and what was left did not only read, which replicas would do, the session is better off
// with a connection of its own.
func (s *Session) cut() {
	if s.cuts++; s.cuts >= patience {
		s.cuts, s.mixAt = 0, s.env.Loop.Now()
	}
}

// sentBatch takes note of a batch that was sent, with which so many reads of the session are under way.
func (s *Session) sentBatch(reads int) {
	switch b := &s.env.batch; {
	case b.writes == 0:
		s.cuts = 0
	case reads > maxMixed && reads <= 2*maxMixed*b.writes && s.mixes():
		s.mixAt = s.env.Loop.Now() // on a lane it would be cut
	}
}

// mixed is how many reads of the session may lie on a connection to the master together with writes: few on a lane as
// long as little is known of its replies, and one if they are large, because there is no connection of its own to be had.
func (s *Session) mixed() int {
	c, large := s.apart[1], s.large()
	switch {
	case c != nil && c.Usable() && (large || c.Ready() && (s.outstanding == 0 || s.lane == c)):
		return maxOutstanding
	case large:
		return 1
	}
	return min(maxMixed, s.window/8)
}

// fits reports whether that many more requests may follow what the session has outstanding on a connection to the master.
func (s *Session) fits(c *upstream.Conn, requests, writes int) bool {
	return !c.MixesWrites() || s.outstanding-s.writes+requests-writes <= max(s.mixed(), requests-writes)
}

// instead returns the connection to use in place of a lane. Nothing is outstanding.
func (s *Session) instead(lane *upstream.Conn, want *freshness.Want) *upstream.Conn {
	large, k := s.large(), 0
	if lane.Master() {
		k = 1
	}
	if !large {
		s.together(s.mixes())
		if k == 0 || !s.mixes() {
			return lane
		}
	}
	c := s.apart[k]
	if c != nil && !c.Serves(lane, want) {
		c.Retire()
		c = nil
	}
	if c == nil {
		c = s.group.Apart(lane)
		s.apart[k] = c
	}
	if c == nil || !large && !c.Ready() { // nobody suffers from the lane meanwhile
		return lane
	}
	return c
}

// together ends being apart, as soon as what is under way is answered; with atMaster not there.
func (s *Session) together(atMaster bool) {
	for i, c := range s.apart {
		if c != nil && !(atMaster && i == 1) {
			s.apart[i] = nil
			c.Retire()
		}
	}
}
