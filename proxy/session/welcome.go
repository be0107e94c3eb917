package session

import "github.com/understudy/understudy/proxy/upstream"

// A server closes the clients of a user that is deleted, also those that block. Here that looks like any other loss of a
// connection, until the next one is opened and the user refused. A client that has a request under way gets no reply to it
// before, because there may be none due. That holds between WATCH and MULTI, too.

// deletable reports whether the client's user may be deleted, which the default user may not.
func (s *Session) deletable() bool { return s.key.User != "" && s.key.User != defaultUser }

// welcome reports whether the client's user is still there, or no master is to be had that would know. Otherwise the reply
// at the front of the redo list waits until that is known, or the session is closed. Nothing is outstanding.
func (s *Session) welcome() bool {
	c := s.choose(toMaster)
	if c == nil {
		return s.gaveUp
	}
	s.ask(c, upstream.Repeatable, harmless, 1, &await{aside: true, reply: func(*upstream.Conn, []byte) { s.redo[0].personal = false }})
	return false
}
