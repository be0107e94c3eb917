package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// scan goes on with an iteration, on the node where it began, whatever the policy for reads is: every other node has
// its elements in another order. An iteration that begins is an ordinary read.
func (s *Session) scan(cmd *command.Command, args [][]byte, request []byte) bool {
	cursor := cursorOf(cmd, args)
	c, gone := s.group.Iteration(runOf(cursor))
	switch {
	case gone:
		s.emit(errorReply(cursorLost))
		return true
	case c == nil:
		if s.hold(); s.gaveUp {
			s.env.Stats.HoldTimeouts++
			s.emit(errorReply(cursorUnreachable))
		}
		return s.gaveUp
	}
	s.release()
	s.ask(c, upstream.Repeatable, withServerCursor(cmd, args, cursor), 1, &await{
		again: bytes.Clone(request),
		reply: func(c *upstream.Conn, frame []byte) { s.emit(s.cursored(c, frame)) },
	})
	s.tally(c, 1, 0, freshness.ByIteration)
	return true
}

// keptScratch bounds the memory that is kept for replies which are made anew.
const keptScratch = 64 << 10

// cursored is a reply to a scan as the client gets it. It is valid until the next one.
func (s *Session) cursored(c *upstream.Conn, frame []byte) []byte {
	reply := appendClientCursor(s.env.scratch[:0], frame, c.Run())
	if s.env.scratch = reply; cap(reply) > keptScratch {
		s.env.scratch = nil
	}
	return reply
}

// foreign reports whether a request is a scan that cannot go on on the pin, because it did not begin on that node.
func foreign(pin *upstream.Conn, cmd *command.Command, class command.Class, args [][]byte) bool {
	if class != command.Scan || pin == nil {
		return false
	}
	cursor := cursorOf(cmd, args)
	return cursor != 0 && runOf(cursor) != pin.Run()
}

// pinnedScan is what to send for a scan on a pin to which it is not foreign.
func pinnedScan(cmd *command.Command, args [][]byte, request []byte) []byte {
	if cursor := cursorOf(cmd, args); cursor != 0 {
		return withServerCursor(cmd, args, cursor)
	}
	return request
}
