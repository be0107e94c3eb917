package session

import (
	"bytes"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// Tags of upstream entries.
const (
	tagPlain   uint8 = iota // copy the reply to the client
	tagSpecial              // give it to s.await
	tagQueued               // inside a transaction on a pin
)

// unknownResult is the reply to a write of which it cannot be known whether it was applied.
const unknownResult = "-UNKNOWNRESULT connection to the master was lost after the command was sent; it may or may not have been applied\r\n"

// promotionGrace is how long after a promotion -NOREPLICAS is taken for a consequence of it: the other replicas have
// yet to be pointed at the new master.
const promotionGrace = 5 * time.Second

// Reply implements upstream.Owner.
func (s *Session) Reply(c *upstream.Conn, e *upstream.Entry, frame []byte) {
	if s.closed {
		return
	}
	switch e.Tag {
	case tagSpecial:
		s.replySpecial(c, e, frame)
		return
	case tagQueued:
		s.replyQueued(c, e, frame)
		return
	}
	s.outstanding--
	s.measure(len(frame))
	if frame[0] == '-' && s.retry(c, e, frame) {
		s.recover(redo{request: c.Request(nil)})
		return
	}
	if e.Kind == upstream.Repeatable && s.swamped(c) {
		s.recover(redo{request: c.Request(nil)})
		return
	}
	if len(s.recovered) == 0 {
		s.answered()
	}
	if e.Kind != upstream.Repeatable {
		s.wroteAt = s.env.Loop.Now()
		if !s.env.Pool.Answerable(c) {
			s.unknown()
			return
		}
	}
	if len(s.recovered) > 0 { // an earlier request is to be sent again, and its reply comes before this one
		if e.Kind == upstream.Repeatable {
			s.recover(redo{request: c.Request(nil)})
		} else {
			s.recover(redo{reply: bytes.Clone(frame)})
		}
		return
	}
	s.emit(frame)
	s.relieve(c)
}

// relieve stops the replies on c from piling up in front of a client that does not read. Others must not wait for
// that client, so c takes no more requests; once it serves nobody else, nothing is read from it.
func (s *Session) relieve(c *upstream.Conn) {
	if s.out.Len() < hardOutput || s.lanePaused != nil {
		return
	}
	c.Retire()
	if c.Pause() {
		s.lanePaused = c
	}
}

// swamped reports whether there is no room for another reply that comes on c, because the client does not read and
// others wait behind its replies, so that reading from c cannot stop. What can be asked again is, once there is room:
// a client that reads slowly is not to be closed for the company it is in.
func (s *Session) swamped(c *upstream.Conn) bool {
	s.relieve(c)
	return s.out.Len() >= hardOutput && s.lanePaused == nil
}

// retry reports whether an error reply only says that this node cannot do it now, nothing was applied, and another
// node or the same one later can.
func (s *Session) retry(c *upstream.Conn, e *upstream.Entry, frame []byte) bool {
	if e.Kind == upstream.Script {
		return false // any error may be the script's own
	}
	switch string(resp.ErrorCode(frame)) {
	case "LOADING", "MASTERDOWN":
		s.doubt(c)
		return true
	case "READONLY":
		if c.Master() {
			s.doubt(c)
		}
		return c.Master()
	case "NOREPLICAS":
		if s.env.Pool.Fresh(promotionGrace) {
			s.env.Pool.Distrust()
			return true
		}
	case "UNBLOCKED":
		if c.Interrupted() { // by us, for a planned change of master
			return true
		}
		// or the node stopped being master while the command was blocked
		if c.Master() && bytes.Contains(frame, []byte("instance state changed")) {
			s.doubt(c)
			return true
		}
	}
	return false
}

func (s *Session) doubt(c *upstream.Conn) {
	if c.Master() {
		s.env.Pool.Distrust()
	} else {
		s.env.Pool.Doubt(c)
	}
}

// recover adds to what will be done again once nothing is outstanding.
func (s *Session) recover(item redo) {
	s.recovered = append(s.recovered, item)
	if s.due += len(item.reply); s.due+s.out.Len() > s.env.Config.OutputLimit {
		s.close(ByOutputLimit)
		return
	}
	s.conn.Flush()
}

// unknown answers a write whose outcome cannot be known.
func (s *Session) unknown() {
	s.env.Stats.Unknown++
	if s.env.Config.CloseAmbiguous {
		s.close(ByAmbiguity)
		return
	}
	if len(s.recovered) > 0 {
		s.recover(redo{reply: []byte(unknownResult)})
		return
	}
	s.emit([]byte(unknownResult))
}

// Stream implements upstream.Owner.
func (s *Session) Stream(c *upstream.Conn, e *upstream.Entry, part []byte, last bool) {
	if s.closed {
		return
	}
	if e.Tag == tagPlain && e.Kind == upstream.Repeatable && !s.streaming && !s.passing && (len(s.recovered) > 0 || s.swamped(c)) {
		s.passing = true
	}
	if s.passing {
		s.passOver(c, last)
		return
	}
	if e.Tag != tagPlain || len(s.recovered) > 0 || s.gathered != nil {
		s.gather(c, e, part, last)
		return
	}
	if !s.streaming {
		s.streaming = true
		if s.dropStream = e.Kind != upstream.Repeatable && !s.env.Pool.Answerable(c); s.dropStream {
			s.unknown()
		}
	}
	if s.closed {
		return
	}
	if !s.dropStream {
		s.emit(part)
	}
	if last {
		s.streaming = false
		s.outstanding--
		if e.Kind != upstream.Repeatable {
			s.wroteAt = s.env.Loop.Now()
		}
		s.replySize = max(s.replySize, 1<<20)
		s.conn.Flush()
	} else if s.out.Len() > softOutput && s.lanePaused == nil && c.Pause() {
		s.lanePaused = c
	}
	if s.out.Len() > s.env.Config.OutputLimit {
		s.close(ByOutputLimit)
	}
}

// passOver handles a part of a large reply that will be asked for again.
func (s *Session) passOver(c *upstream.Conn, last bool) {
	if last {
		s.passing = false
		s.outstanding--
		s.replySize = max(s.replySize, 1<<20)
		s.recover(redo{request: c.Request(nil)})
	}
}

// gather puts a large reply together that cannot be passed on in parts, because something must look at it whole.
func (s *Session) gather(c *upstream.Conn, e *upstream.Entry, part []byte, last bool) {
	s.gathered = append(s.gathered, part...)
	if last {
		frame := s.gathered
		s.gathered = nil
		s.Reply(c, e, frame)
	}
}

// Lost implements upstream.Owner.
func (s *Session) Lost(c *upstream.Conn, e *upstream.Entry, request []byte, sent, partial bool) {
	if s.closed {
		return
	}
	s.gathered, s.passing = nil, false
	switch e.Tag {
	case tagSpecial:
		s.lostSpecial(c, e, request, sent)
		return
	case tagQueued:
		s.lostQueued(e, request, sent)
		return
	}
	s.outstanding--
	if partial && s.streaming {
		s.close(ByBrokenReply)
		return
	}
	if sent && e.Kind != upstream.Repeatable {
		s.env.Stats.Unknown++
		if s.env.Config.CloseAmbiguous {
			s.close(ByAmbiguity)
			return
		}
		s.recover(redo{reply: []byte(unknownResult)})
		return
	}
	s.recover(redo{request: request})
}
