package session

import "github.com/understudy/understudy/proxy/upstream"

const (
	// apartAt is the size of replies from which a session gets a connection of its own: strangers would wait behind
	// them, and the session behind those of others like it.
	apartAt = 256 << 10
	// patience is how often in a row a session's requests are given back on lanes before it gets one.
	patience = 2
)

// instead returns the connection to use in place of a lane. Nothing is outstanding.
func (s *Session) instead(lane *upstream.Conn) *upstream.Conn {
	if s.replySize < apartAt && s.yielded < patience {
		s.together()
		return lane
	}
	if c := s.apart; c != nil && c.Usable() && c.Master() == lane.Master() {
		return c
	}
	s.together()
	s.apart = s.group.Apart(lane)
	return s.apart
}

// together ends being apart, as soon as what is under way is answered.
func (s *Session) together() {
	if c := s.apart; c != nil {
		s.apart = nil
		c.Retire()
	}
}
