package session

import (
	"hash/maphash"

	"github.com/understudy/understudy/proxy/upstream"
)

// stream is a reply that is too large to be held, on its way to the client.
type stream struct {
	mode streamMode
	size int      // bytes so far
	kept []byte   // gathered
	sent delivery // passed on
}

// streamMode is what becomes of the parts.
type streamMode uint8

const (
	passed   streamMode = iota // on to the client
	gathered                   // put together: something must look at the whole
	skipped                    // passed over: it will be asked for again
	dropped                    // the client was told that the outcome is unknown
)

// delivery is what a client has got of a reply: how much, and a hash of it. When the node dies in the middle of it,
// another one is asked, and goes on if its reply begins in the same way.
type delivery struct {
	hash maphash.Hash
	n    int
}

var deliverySeed = maphash.MakeSeed()

func (d *delivery) add(p []byte) {
	if d.n == 0 {
		d.hash.SetSeed(deliverySeed)
	}
	d.n += len(p)
	d.hash.Write(p) // never fails
}

// Stream implements upstream.Owner.
func (s *Session) Stream(c *upstream.Conn, e *upstream.Entry, part []byte, last bool) {
	if s.closed {
		c.Forsake(s)
		return
	}
	st := s.stream
	if st == nil {
		st = &stream{mode: s.streamMode(c, e)}
		if s.closed {
			return
		}
		s.stream = st
	}
	st.size += len(part)
	switch st.mode {
	case passed:
		st.sent.add(part)
		if !s.emitPart(part, last) {
			return
		}
		if !last && s.overtaxed(e) {
			st.mode = skipped
		}
	case gathered:
		st.kept = append(st.kept, part...)
	}
	if s.backlog()+len(st.kept) > s.env.Config.OutputLimit {
		s.close(ByOutputLimit)
		return
	}
	if last {
		s.stream = nil
		s.streamed(c, e, st)
		return
	}
	s.relieve(c)
}

// overtaxed reports whether a large reply that is being passed on had better be broken off: the client is slow, there is
// no other way to stop, and the rest could go beyond the limit. It is asked for again when there is room, and goes on
// where it was.
func (s *Session) overtaxed(e *upstream.Entry) bool {
	plain := e.Tag == tagPlain || e.Tag == tagOpaque
	return plain && s.mayAskAgain(e) && s.backlog() > s.env.Config.OutputLimit/2 && s.lanePaused == nil && s.behind == nil
}

// streamMode decides at the beginning of a large reply.
func (s *Session) streamMode(c *upstream.Conn, e *upstream.Entry) streamMode {
	switch e.Tag {
	case tagPlain, tagScan, tagOpaque:
		if s.mayAskAgain(e) && (len(s.recovered) > 0 || s.swamped(c)) {
			return skipped
		}
		if len(s.recovered) > 0 {
			return gathered
		}
		if e.Tag == tagScan {
			return gathered // its beginning may still be without the cursor
		}
	case tagSpecial:
		if !s.await.passes || e.Replies > 1 {
			return gathered
		}
	case tagQueued:
		if s.tx.turning != "" && (s.tx.turning != "EXEC" || len(s.tx.effects) > 0) {
			return gathered
		}
	}
	if e.Tag == tagSpecial && !s.await.last {
		s.emit(s.await.frames) // what came before in a Block
		s.await.frames = nil
	}
	if s.doubtful(c, e.Kind, upstream.Seeing, []byte("*")) {
		s.unknown()
		return dropped
	}
	s.sees(c, e.Sight, []byte("*"))
	if s.pledges(e.Kind, upstream.Seeing, []byte("*")) {
		s.pledge()
	}
	return passed
}

// streamed ends a large reply.
func (s *Session) streamed(c *upstream.Conn, e *upstream.Entry, st *stream) {
	s.sealLate()
	switch {
	case st.mode == gathered:
		s.Reply(c, e, st.kept)
		return
	case e.Tag == tagSpecial:
		a := s.await
		s.endAwait()
		s.largeAt = s.env.Loop.Now()
		s.answered()
		s.clock.stop()
		a.reply(c, nil)
	case e.Tag == tagQueued:
		s.measure(1, st.size)
		s.largeAt = s.env.Loop.Now()
		s.concludeQueued(e, []byte("*"))
	default:
		s.settle(e)
		s.measure(1, st.size)
		s.sawReply(c, st.size)
		if st.mode == skipped {
			s.goOn(st)
			s.again(c.Request(nil), nil)
			return
		}
		s.answered()
		s.yielded = 0
	}
	s.conn.Flush()
}

// goOn has the request that is sent again next go on behind what the client got of its reply.
func (s *Session) goOn(st *stream) {
	if st.sent.n > 0 && s.behind == nil { // or else the other node has died before it came to anything new
		s.behind = &st.sent
	}
}

// lostStream deals with a large reply that broke off. It returns false if nothing of it matters, so that the request
// is to be treated as one without a reply.
func (s *Session) lostStream(c *upstream.Conn, e *upstream.Entry, st *stream, request []byte) bool {
	switch {
	case st.mode == gathered:
		return false
	case st.mode == skipped:
		s.goOn(st)
		return false
	case st.mode == passed && (e.Tag == tagPlain || e.Tag == tagOpaque) && e.Kind == upstream.Repeatable:
		s.settle(e)
		s.goOn(st)
		s.again(request, nil)
	case st.mode == passed:
		s.close(ByBrokenReply)
	case e.Tag == tagSpecial:
		s.endAwait()
		s.clock.stop()
		if s.pin == c {
			s.pin = nil
		}
		s.conn.Flush()
	case e.Tag == tagQueued:
		s.concludeQueued(e, []byte("*"))
		if s.tx != nil {
			s.tx.broken = true
		}
	default:
		s.settle(e)
		s.conn.Flush()
	}
	return true
}

// emitPart passes a part of a reply on, except for what the client got of it from a node that has died. It returns
// false if the session had to be closed because this reply is another one.
func (s *Session) emitPart(part []byte, last bool) bool {
	old := s.behind
	if old == nil {
		s.emit(part)
		return true
	}
	if s.repeated == nil {
		s.repeated = &delivery{}
	}
	n := min(len(part), old.n-s.repeated.n)
	s.repeated.add(part[:n])
	if s.repeated.n == old.n {
		same := s.repeated.hash.Sum64() == old.hash.Sum64()
		s.behind, s.repeated = nil, nil
		if same {
			s.emit(part[n:])
			return true
		}
	} else if !last {
		return true
	}
	s.close(ByBrokenReply)
	return false
}
