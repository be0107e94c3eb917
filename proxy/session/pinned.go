package session

import (
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// block runs a blocking command on a pin, for as long as it blocks. A pop that was sent and not answered may have
// taken an element, so it is not sent again; a blocking read may be. What is sent late, or again, is sent with the time
// that is left.
func (s *Session) block(cmd *command.Command, args [][]byte, request []byte) bool {
	again := s.clock.start(s, cmd, args)
	if !again {
		s.gaveUp = false // it has a time of its own, whatever others waited for in vain
	}
	if reply := s.unblocked; reply != nil {
		s.unblocked = nil
		s.clock.stop()
		s.emit(reply)
		return true
	}
	c := s.choosePin()
	if c == nil {
		return s.blockLater()
	}
	if again {
		request = s.clock.remaining(s.env.Loop.Now(), cmd, args, request)
	}
	if again || s.env.Pool.Turns() {
		c.InTurn()
	}
	kind := upstream.Write
	if cmd.Flags.Has(command.FlagReadOnly) {
		kind = upstream.Repeatable
	}
	e, replies := endsOf(cmd, args), 1
	if e != nil {
		request = append(e.questions(), request...)
		replies += len(e.places)
	}
	c.Blocking = true
	s.occupy(c, kind, request, replies, freshness.ByBlocking, s.emit)
	s.await.passes, s.await.last, s.await.ends = true, true, e
	s.await.sight = upstream.Taking // an element, or a message
	s.await.soils = cmd.Soils()
	s.leave()
	return true
}

// blockLater deals with a blocking command that waits for a master. Its time runs meanwhile, and when it is over, the
// answer is what it would be if nothing had come: nothing has. A time that is none is refused at once, as by a server. What
// would not block for another reason is answered by one, when there is a master, as any other request.
func (s *Session) blockLater() bool {
	k := &s.clock
	switch now := s.env.Loop.Now(); {
	case k.refusal != "":
		s.unhold()
		s.answered()
		s.emit(errorReply(k.refusal))
	case k.over(now):
		s.unhold()
		s.answered() // the next one may wait for as long again
		s.emit(noElement(s.key.Proto))
	case s.gaveUp:
		s.decline()
	case k.garbled:
		return false
	case s.leaving:
		s.quit(ByPeer)
	default:
		s.heldBlocking, s.nothing = true, noElement(s.key.Proto)
		if k.timer == nil && !k.until.IsZero() {
			k.timer = s.env.Loop.After(k.until.Sub(now), s.awaken)
		}
		return false
	}
	k.stop()
	return true
}

// awaken has the blocking command that is held looked at again.
func (s *Session) awaken() {
	s.unhold()
	s.conn.Flush()
}

// largeRequest is the size from which a request for the master gets a connection of its own: others would wait behind
// it on the lane, and a server whose proto-max-bulk-len it exceeds closes the connection that it came on.
const largeRequest = 1 << 20

// sendLarge sends an ordinary request to the master on a pin; because is why, if it is a read.
func (s *Session) sendLarge(cmd *command.Command, class command.Class, request []byte, because freshness.Reason) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.occupy(c, pinnedKind(cmd, class), request, 1, because, s.emit)
	s.await.passes = true
	return true
}

// occupy sends a request on a pin that is given back when the reply has come. because is why it goes to the master, if it is a read.
func (s *Session) occupy(c *upstream.Conn, kind upstream.Kind, request []byte, replies int, because freshness.Reason, reply func([]byte)) {
	s.pin = c
	a := &await{}
	a.reply = func(_ *upstream.Conn, frames []byte) {
		reply(frames)
		s.later = func() { s.dropPin(!a.soils) }
	}
	s.ask(c, kind, request, replies, a)
	if kind == upstream.Repeatable {
		s.tally(c, 1, 0, because)
	} else {
		s.tally(c, 0, 1, because)
	}
	c.Untimed() // it may block, or is large
}
