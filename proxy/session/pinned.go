package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
)

// block runs a blocking command on a pin, for as long as it blocks. A pop that was sent and not answered may have
// taken an element, so it is not sent again; a blocking read may be.
func (s *Session) block(cmd *command.Command, args [][]byte, request []byte) bool {
	if s.peerDone { // nobody would get what it takes
		s.quit(ByPeer)
		return true
	}
	c := s.choosePin()
	if c == nil {
		s.heldBlocking = s.held
		return s.declined()
	}
	kind := upstream.Write
	if cmd.Flags.Has(command.FlagReadOnly) {
		kind = upstream.Repeatable
	}
	s.occupy(c, kind, request, 1, func(_ *upstream.Conn, frames []byte) { s.emit(frames) })
	s.await.passes = true
	return true
}

// wait runs WAIT or WAITAOF on a pin. Redis makes them wait for the last command of their own connection, so a PING
// goes ahead: it sets the offset to wait for to the present one, which covers all that the session has written.
func (s *Session) wait(request []byte) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	both := append([]byte("*1\r\n$4\r\nPING\r\n"), request...)
	s.occupy(c, upstream.Repeatable, both, 2, func(_ *upstream.Conn, frames []byte) {
		_, reply, _ := bytes.Cut(frames, []byte("\n")) // behind the PONG
		s.emit(reply)
	})
	s.await.again = bytes.Clone(request)
	return true
}

// largeRequest is the size from which a request for the master gets a connection of its own: others would wait behind
// it on the lane, and a server whose proto-max-bulk-len it exceeds closes the connection that it came on.
const largeRequest = 1 << 20

// sendLarge sends an ordinary request on a pin.
func (s *Session) sendLarge(cmd *command.Command, class command.Class, request []byte) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.occupy(c, kindOf(cmd, class), request, 1, func(_ *upstream.Conn, frames []byte) { s.emit(frames) })
	s.await.passes = true
	c.Blocking = false
	return true
}

// occupy sends a request on a pin that is given back when the reply has come.
func (s *Session) occupy(c *upstream.Conn, kind upstream.Kind, request []byte, replies int, reply func(*upstream.Conn, []byte)) {
	s.pin = c
	c.Blocking = true
	s.ask(c, kind, request, replies, &await{
		reply: func(c *upstream.Conn, frames []byte) {
			reply(c, frames)
			s.later = func() { s.dropPin(true) }
		},
	})
}
