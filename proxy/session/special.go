package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// await is a special request that is under way: its reply is looked at, or it occupies a pin. Nothing else of the
// session is outstanding meanwhile.
type await struct {
	// reply gets the reply. For several frames (a Block) it gets them together.
	reply func(c *upstream.Conn, frames []byte)
	// done, when set, is called once when the request is over: answered, lost, or the session has ended.
	done    func()
	passes  bool   // reply passes the last frame on as it is, so that a large one need not be whole; it is called with nothing then
	last    bool   // only the last of several frames is due
	again   []byte // what to send if it must be sent again; nil: the request as it was sent
	soils   bool   // the pin is no longer as it was lent
	aside   bool   // it was sent for a request that is still in the input
	ends    *ends  // to put into it
	block   block  // the request is a MULTI ... EXEC
	restart bool   // of a transaction on another pin; nothing is due
	frames  []byte // gathered so far
	final   int    // where in frames the last one begins
	sight   upstream.Sight
}

// ask sends a special request on c. The session takes nothing else until it is answered.
func (s *Session) ask(c *upstream.Conn, kind upstream.Kind, request []byte, replies int, a *await) {
	s.await = a
	c.Send(s, kind, tagSpecial, request, replies)
	s.sentOn(c, 1)
}

// askMaster sends a special request on the lane to the master, in place of the one that the client sent. It returns
// false when there is no lane.
func (s *Session) askMaster(asked, request []byte, reply func(frame []byte)) bool {
	c := s.choose(toMaster)
	if c == nil {
		return s.declined()
	}
	s.ask(c, upstream.Repeatable, request, 1, &await{
		again: bytes.Clone(asked),
		reply: func(_ *upstream.Conn, f []byte) { reply(f) },
	})
	s.tally(c, 1, 0, freshness.ByCommand)
	return true
}

// declined answers a request for which there was no connection, if the session has stopped waiting for one.
func (s *Session) declined() bool {
	if s.gaveUp {
		s.redirect = nil
		s.decline()
	}
	return s.gaveUp
}

// choosePin borrows a pin of the session's group as choose finds a lane.
func (s *Session) choosePin() *upstream.Conn {
	if c := s.group.Pin(s); c != nil {
		s.release()
		s.pinGroup = s.group
		return c
	}
	s.hold()
	return nil
}

func (s *Session) endAwait() {
	if a := s.await; a != nil {
		s.await = nil
		s.outstanding--
		if a.done != nil {
			a.done()
		}
	}
}

func (s *Session) replySpecial(c *upstream.Conn, e *upstream.Entry, frame []byte) {
	if e.Replies == 0 && s.leftBlocked(frame) {
		return
	}
	a := s.await
	a.final = len(a.frames)
	a.frames = append(a.frames, frame...)
	if e.Replies > 0 {
		return
	}
	if a.restart {
		s.restarted(c, a.frames)
		return
	}
	s.endAwait()
	if !a.aside && s.retrySpecial(c, e, a) {
		s.recover(redo{request: a.repetition(func() []byte { return c.Request(nil) }), block: a.block})
		s.later = func() { s.dropPin(!a.soils) }
		return
	}
	s.answered()
	s.clock.stop()
	if s.doubtful(c, e.Kind, a.sight, a.frames[a.final:]) {
		a.frames = append(a.frames[:a.final], unknownResult...)
		s.env.Stats.Unknown++
		if s.env.Config.CloseAmbiguous {
			s.close(ByAmbiguity)
			return
		}
	}
	s.sees(c, a.sight, a.frames[a.final:])
	if s.pledges(e.Kind, a.sight, a.frames[a.final:]) {
		if !a.last {
			s.emit(a.frames[:a.final])
		}
		a.frames = a.frames[a.final:]
		s.pledge()
		defer s.seal()
	} else if a.last {
		a.frames = a.frames[a.final:]
	}
	a.reply(c, a.frames)
	s.conn.Flush()
}

// repetition is what to send when a request must be sent again; sent returns what was sent.
func (a *await) repetition(sent func() []byte) []byte {
	switch {
	case a.ends != nil:
		return a.ends.request(a.frames)
	case a.again != nil:
		return a.again
	}
	return sent()
}

// retrySpecial is retry for what is awaited.
func (s *Session) retrySpecial(c *upstream.Conn, e *upstream.Entry, a *await) bool {
	if a.block.commands > 0 {
		return s.blockDeclined(c, a)
	}
	last := a.frames[a.final:]
	return last[0] == '-' && s.retry(c, e, last)
}

func (s *Session) lostSpecial(c *upstream.Conn, e *upstream.Entry, request []byte, sent bool) {
	a := s.await
	if a == nil { // it was answered, and its connection was ended while the answer is dealt with
		return
	}
	s.endAwait()
	if s.pin == c {
		s.pin = nil
	}
	if a.aside {
		s.conn.Flush()
		return
	}
	if a.restart { // what becomes of EXEC, behind it, decides
		s.tx.broken = true
		return
	}
	if !sent || e.Kind == upstream.Repeatable {
		s.recover(redo{request: a.repetition(func() []byte { return request }), block: a.block})
		return
	}
	s.clock.stop()
	s.env.Stats.Unknown++
	if s.env.Config.CloseAmbiguous {
		s.close(ByAmbiguity)
		return
	}
	s.recover(redo{reply: a.dueAfterLoss(e), effect: true, personal: c.Blocking && s.deletable()})
}

// Push implements upstream.Listener.
func (s *Session) Push(c *upstream.Conn, frame []byte) {
	if s.closed {
		return
	}
	if s.track != nil && s.track.pin == c {
		s.track.pushed(frame)
		return
	}
	if s.attach == nil {
		return
	}
	s.attach.deliver(s, frame)
	s.relieveAttached()
}

// PushPart implements upstream.Listener.
func (s *Session) PushPart(_ *upstream.Conn, part []byte, last bool) {
	if s.closed || s.attach == nil {
		return
	}
	s.attach.deliverPart(s, part, last)
	s.relieveAttached()
}

// relieveAttached stops reading from the pin of a client that does not read. From there on the server's own limit for
// subscribers counts.
func (s *Session) relieveAttached() {
	if s.closed {
		return
	}
	if s.attach != nil && s.attach.pin != nil {
		s.relieve(s.attach.pin)
	}
	if s.out.Len() > s.env.Config.OutputLimit {
		s.close(ByOutputLimit)
	}
}

// PinLost implements upstream.Listener.
func (s *Session) PinLost(c *upstream.Conn) {
	if s.closed {
		return
	}
	if s.pin == c {
		s.pin = nil
		if s.tx != nil {
			s.tx.broken = true
		}
	}
	if s.track != nil && s.track.pin == c {
		s.track.lost()
	}
	if s.attach != nil && s.attach.pin == c {
		s.attach.lost(s)
	}
	s.conn.Flush()
}

// blocking reports whether a blocking command of the session is under way.
func (s *Session) blocking() bool {
	if s.tx != nil {
		return s.tx.blocking && s.outstanding > 0
	}
	return s.await != nil && s.pin != nil && s.pin.Blocking
}

func errorReply(text string) []byte { return resp.AppendError(nil, text) }
