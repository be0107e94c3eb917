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
	tagScan                 // as plain, with the node's run put into the cursor
	tagOpaque               // as plain, of code that only reads: its errors may be its own
)

// unknownResult is the reply to a write of which it cannot be known whether it was applied.
const unknownResult = "-UNKNOWNRESULT connection to the master was lost after the command was sent; it may or may not have been applied\r\n"

// promotionGrace is how long after a promotion -NOREPLICAS is taken for a consequence of it: the other replicas have
// yet to be pointed at the new master.
const promotionGrace = 5 * time.Second

// Reply implements upstream.Owner.
func (s *Session) Reply(c *upstream.Conn, e *upstream.Entry, frame []byte) {
	if s.closed {
		if len(frame) >= loneReply { // more of them may follow, for nobody
			c.Isolate()
			c.Forsake(s)
		}
		return
	}
	if c.Rejected() { // the user was deleted or has another password, and a server closes the connection
		s.close(ByCredentials)
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
	s.settle(e)
	s.measure(1, len(frame))
	if len(frame) >= largeReply {
		s.sawReply(c, len(frame))
	}
	if e.Tag == tagScan {
		frame = s.cursored(c, frame)
	}
	if frame[0] == '-' && bytes.HasPrefix(frame, noScript) {
		s.noScript(c)
	}
	switch {
	case frame[0] == '-' && !c.Master() && forMaster(e, frame):
		s.againAt(true, c.Request(nil), bytes.Clone(frame))
		return
	case frame[0] == '-' && e.Tag != tagOpaque && s.retry(c, e, frame):
		s.again(c.Request(nil), bytes.Clone(frame))
		return
	case e.Kind == upstream.Repeatable && len(s.recovered) > 0: // it is asked again behind what comes before it
		var otherwise []byte
		if s.writes > 0 {
			otherwise = bytes.Clone(frame)
		}
		s.again(c.Request(nil), otherwise)
		return
	case e.Kind == upstream.Repeatable && s.outdated(c):
		s.again(c.Request(nil), nil)
		return
	case s.mayAskAgain(e) && s.swamped(c):
		s.again(c.Request(nil), nil)
		return
	}
	if len(s.recovered) == 0 {
		s.answered()
	}
	if s.doubtful(c, e.Kind, e.Sight, frame) {
		s.unknown()
		return
	}
	s.sees(c, e.Sight, frame)
	pledged := s.pledges(e.Kind, e.Sight, frame)
	if len(s.recovered) > 0 { // an earlier request is to be sent again, and its reply comes before this one
		s.recover(redo{reply: bytes.Clone(frame), effect: true, write: c.Request(nil), pledged: pledged})
		return
	}
	s.yielded = 0
	if pledged {
		s.pledge()
		defer s.seal()
	}
	if s.emitPart(frame, true) {
		s.relieve(c)
	}
}

// Replies implements upstream.Joiner: what Reply does with an ordinary reply that there is nothing to be said about.
func (s *Session) Replies(c *upstream.Conn, e *upstream.Entry, n, size, largest int, frames []byte) bool {
	switch {
	case s.closed:
		return true
	case c.Rejected(), len(s.recovered) > 0, s.behind != nil, s.backlog()+len(frames) >= hardOutput:
		return false
	case e.Kind == upstream.Repeatable && s.outdated(c), s.doubtful(c, e.Kind, e.Sight, frames):
		return false
	}
	s.outstanding -= n
	s.underway -= size
	if e.Kind != upstream.Repeatable {
		s.writes -= n
	}
	s.measure(n, largest)
	s.answered()
	s.yielded = 0
	s.sees(c, e.Sight, frames)
	s.emit(frames)
	return true
}

// outdated reports whether a read by the master may have missed what another one has answered since: the reply has come
// when this member held its lease no more.
func (s *Session) outdated(c *upstream.Conn) bool { return c.Master() && !s.env.Pool.Answerable(c) }

// settle keeps the books when an ordinary request is over.
func (s *Session) settle(e *upstream.Entry) {
	s.outstanding--
	s.underway -= e.Size
	if e.Kind != upstream.Repeatable {
		s.writes--
	}
}

// mayAskAgain reports whether a request that is over may be sent again although it was answered: a read, unless a write
// stands behind it, whose effect it would see.
func (s *Session) mayAskAgain(e *upstream.Entry) bool {
	return e.Kind == upstream.Repeatable && s.writes == 0
}

// relieve stops the replies on c from piling up in front of a client that does not read.
func (s *Session) relieve(c *upstream.Conn) {
	// What is withheld does not wait for the client, and may wait for the rest of the reply that is arriving.
	limit := hardOutput
	if !c.Shared() {
		limit = aloneOutput
	}
	if s.out.Len() >= limit && s.lanePaused == nil && c.Pause() {
		s.lanePaused = c
	}
}

// swamped reports whether there is no room for another reply that comes on c, because the client does not read and
// writes of others wait behind its replies, so that reading from c cannot stop. What can be asked again is, once there
// is room: a client that reads slowly is not to be closed for the company it is in.
func (s *Session) swamped(c *upstream.Conn) bool {
	s.relieve(c)
	return s.backlog() >= hardOutput && s.lanePaused == nil
}

// Yields implements upstream.Owner.
func (s *Session) Yields(e *upstream.Entry) bool {
	return s.closed || e.Tag != tagQueued && s.writes == 0
}

// Yield implements upstream.Owner.
func (s *Session) Yield(c *upstream.Conn, e *upstream.Entry, request []byte) {
	if s.closed {
		return
	}
	if len(s.recovered) == 0 {
		if s.yielded++; s.yielded >= patience {
			s.largeAt = s.env.Loop.Now()
		}
		if s.replySize == 0 { // nothing is known of its replies: one will tell
			s.window = 1
		}
	}
	if e.Tag == tagSpecial {
		s.lostSpecial(c, e, request, false)
		return
	}
	s.settle(e)
	s.again(request, nil)
}

// forMaster reports whether an error with which a replica answered a read is one that the master is asked about, without
// any doubt of the replica.
//
// A replica says -READONLY before it looks closer: to EVAL_RO and FCALL_RO of code that is not declared to write nothing, where
// a master says what is wrong with the request. And what code says may be its own. If it is the node that cannot serve
// now, another one can; if it is the code, the master will say the same, and nobody else pays for it.
func forMaster(e *upstream.Entry, frame []byte) bool {
	switch string(resp.ErrorCode(frame)) {
	case "READONLY":
		return e.Kind == upstream.Repeatable && (e.Tag == tagPlain || e.Tag == tagOpaque)
	case "LOADING", "MASTERDOWN":
		return e.Tag == tagOpaque
	}
	return false
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

// again has a request sent once more when nothing is outstanding. otherwise is the reply that it got, if it is known:
// see redo.
func (s *Session) again(request, otherwise []byte) { s.againAt(false, request, otherwise) }

// againAt is again; with atMaster, no replica is asked.
func (s *Session) againAt(atMaster bool, request, otherwise []byte) {
	behind := s.behind
	s.behind, s.repeated = nil, nil
	s.recover(redo{request: request, otherwise: otherwise, behind: behind, atMaster: atMaster})
}

// recover adds to what will be done again once nothing is outstanding.
func (s *Session) recover(item redo) {
	s.recovered = append(s.recovered, item)
	if s.due += len(item.reply) + len(item.otherwise); s.due+s.backlog() > s.env.Config.OutputLimit {
		s.close(ByOutputLimit)
		return
	}
	s.conn.Flush()
}

// unknown answers a write whose outcome cannot be known.
func (s *Session) unknown() { s.unknownTo(false) }

// unknownTo is unknown; with personal, for a client whose user may have been deleted, which is why.
func (s *Session) unknownTo(personal bool) {
	s.env.Stats.Unknown++
	if s.env.Config.CloseAmbiguous {
		s.close(ByAmbiguity)
		return
	}
	if personal || len(s.recovered) > 0 {
		s.recover(redo{reply: []byte(unknownResult), effect: true, personal: personal})
		return
	}
	s.emit([]byte(unknownResult))
}

// Lost implements upstream.Owner.
func (s *Session) Lost(c *upstream.Conn, e *upstream.Entry, request []byte, sent, partial bool) {
	if s.closed {
		return
	}
	if st := s.stream; partial && st != nil {
		s.stream = nil
		if s.lostStream(c, e, st, request) {
			return
		}
	}
	switch e.Tag {
	case tagSpecial:
		s.lostSpecial(c, e, request, sent)
		return
	case tagQueued:
		s.lostQueued(e, request, sent)
		return
	}
	s.settle(e)
	if sent && e.Kind != upstream.Repeatable {
		s.env.Stats.Unknown++
		if s.env.Config.CloseAmbiguous {
			s.close(ByAmbiguity)
			return
		}
		s.recover(redo{reply: []byte(unknownResult), effect: true, write: request})
		return
	}
	s.again(request, nil)
}
