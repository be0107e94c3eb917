package session

import (
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// attachment is a pin that a session keeps because the server holds state for its connection: MONITOR, and what newer
// servers may have.
// Requests pass as they are. Replies are told from pushed messages by their first byte, so that the session knows when
// it may leave the pin, and when it may answer something itself without overtaking a reply.
//
// A session is closed when the pin is lost: its client would otherwise rely on something that is gone.
type attachment struct {
	pin      *upstream.Conn
	expected []expected
	stateful bool   // the server holds something for it
	spoiled  bool   // the pin is no longer as it was lent, even without all that
	opaque   bool   // replies cannot be told from what the server sends by itself: MONITOR
	large    *large // the frame that is arriving in parts
	wrote    bool   // something else than reads was passed on and may not be answered
}

// large is what a frame that arrives in parts was found to be at its beginning.
type large struct {
	push bool
	scan []byte // what has come of a reply whose cursor is to be changed; nil for others
}

// expected is a reply that the server has yet to send.
type expected struct {
	selects  bool // to a SELECT of db
	db       int
	monitors bool
	scan     bool // the reply has a cursor in it
	size     int  // of the request
}

// attachFor begins a life on a pin.
func (s *Session) attachFor(cmd *command.Command, args [][]byte, request []byte) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.answered() // by whatever it will say
	c.Passthrough = true
	s.attach = &attachment{pin: c}
	s.passOn(cmd, cmd.Class, args, request)
	return true
}

// passOn sends a request on the attachment's pin.
func (s *Session) passOn(cmd *command.Command, class command.Class, args [][]byte, request []byte) {
	s.note(cmd, args)
	if cmd.Class == command.Scan {
		request = pinnedScan(cmd, args, request)
	}
	s.attach.wrote = s.attach.wrote || cmd.Class != command.Read && cmd.Class != command.MasterRead && cmd.Class != command.Subscribe
	if a := s.attach; !a.opaque {
		a.expected[len(a.expected)-1].size = len(request)
		s.underway += len(request)
	}
	s.attach.pin.Raw(request)
	s.tallyPinned(s.attach.pin, cmd, class, freshness.ByPin)
}

// handleAttached deals with one request of a session that lives on a pin.
func (s *Session) handleAttached(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	a := s.attach
	beside, foreign := beside(cmd, class), foreign(a.pin, cmd, class, args)
	if (beside || foreign || class != command.Subscribe && !a.lasting()) && len(a.expected) > 0 && !a.opaque {
		s.draining = true
		return false
	}
	if beside {
		return s.besideAttachment(cmd, class, args, request)
	}
	if foreign {
		s.emit(errorReply(cursorElsewhere))
		return true
	}
	if s.unloaded(cmd, args) {
		if len(a.expected) > 0 && !a.opaque {
			s.draining = true
			return false
		}
		if s.loadFirst(cmd, args) {
			return false
		}
	}
	s.remembered(cmd, args)
	if !s.env.Pool.Granted() {
		if s.hold(); s.gaveUp && len(a.expected) == 0 {
			s.decline()
			return true
		}
		s.draining = s.gaveUp
		return false
	}
	s.release()
	s.passOn(cmd, class, args, request)
	return true
}

// lasting reports whether the session will stay attached when all that is expected has come.
func (a *attachment) lasting() bool {
	return a.stateful || a.opaque
}

// beside reports whether a request of an attached session is not passed on.
func beside(cmd *command.Command, class command.Class) bool {
	switch class {
	case command.Session:
		return cmd.Name != "PING" && cmd.Name != "ECHO" && cmd.Name != "SELECT" && cmd.Name != "CLIENT|NO-TOUCH"
	case command.Refused, command.Failover, command.Proxy, command.Subscribe:
		return true
	}
	return cmd.Name == "CLIENT|REPLY"
}

// besideAttachment deals with a request that concerns the proxy. Every reply before its own has been delivered.
func (s *Session) besideAttachment(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	switch {
	case cmd.Known() && !cmd.Accepts(len(args)):
		s.emit(errorReply(cmd.ArityError()))
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.local(cmd, args, request)
	case class == command.Subscribe:
		return s.subscribe(cmd, args)
	case class == command.Refused:
		s.emit(errorReply(cmd.Refusal()))
	case cmd.Name == "CLIENT|REPLY":
		s.clientReply(args)
	case strings.HasPrefix(cmd.Name, "CLIENT"):
		return s.client(cmd, args, request)
	case class == command.Proxy:
		return s.operate(args, request)
	default:
		s.emit(errorReply("ERR " + cmd.Name + " is not supported on this connection through Understudy"))
	}
	return true
}

// room reports whether another request may be passed on. Session.underway bounds the bytes of those that are not answered.
func (a *attachment) room() bool {
	if a.opaque { // it is not known what has been answered
		return a.pin.Unsent() < maxRequestBytes
	}
	return len(a.expected) < maxOutstanding
}

// note follows what a request makes of the attachment.
func (s *Session) note(cmd *command.Command, args [][]byte) {
	a := s.attach
	a.spoiled = a.spoiled || cmd.Soils()
	if e := a.plain(cmd, args); !a.opaque {
		a.expected = append(a.expected, e)
	}
}

// expectNothing forgets what was expected on the attachment's pin.
func (s *Session) expectNothing() {
	for _, e := range s.attach.expected {
		s.underway -= e.size
	}
	s.attach.expected = nil
}

// plain returns what is expected of a request, and follows what it makes of the attachment.
func (a *attachment) plain(cmd *command.Command, args [][]byte) (e expected) {
	switch cmd.Name {
	case "SELECT":
		e.selects, e.db = true, database(args, -1)
		return e
	case "MONITOR":
		e.monitors = true
		return e
	}
	switch cmd.Class {
	case command.Scan:
		e.scan = true
	case command.Pinned, command.Transaction:
		a.stateful = true
	}
	return e
}

// deliver passes a frame of the pin on to the client.
func (a *attachment) deliver(s *Session, frame []byte) {
	if a.opaque {
		if !s.env.Pool.Asked(frame) {
			a.sees(s, false)
			s.emit(frame)
		}
		return
	}
	push, answered := a.match(frame)
	s.underway -= answered.size
	if answered.selects && frame[0] == '+' {
		a.spoiled = true
		key := s.key
		key.DB = answered.db
		s.regroup(key)
	}
	if answered.monitors && frame[0] == '+' {
		a.opaque = true
		s.expectNothing()
	}
	if answered.scan && !push {
		frame = s.cursored(a.pin, frame)
	}
	a.emit(s, frame, push)
	a.delivered(s)
}

// emit passes a frame or a part of one on.
func (a *attachment) emit(s *Session, part []byte, push bool) {
	a.sees(s, push)
	if !push {
		s.emit(part)
		return
	}
	s.put(part) // also to a client that CLIENT REPLY has silenced
	s.conn.Flush()
}

// sees notes what the client is about to learn. A message often has something looked at over another connection of the
// client's pool. And it is not known which reply is that to a write.
func (a *attachment) sees(s *Session, push bool) {
	if a.wrote || push && s.policy == Causal {
		s.env.Freshness.RaiseFloor()
	}
	s.observed(a.pin)
}

// deliverPart passes a part of a large frame on: a message, or a reply that only a plain request can have.
func (a *attachment) deliverPart(s *Session, part []byte, last bool) {
	if a.large == nil {
		a.large = &large{}
		if !a.opaque {
			push, answered := a.match(part)
			s.underway -= answered.size
			a.large.push = push
			if answered.scan && !push {
				a.large.scan = []byte{}
			}
		}
	}
	switch {
	case a.large.scan == nil:
		a.emit(s, part, a.large.push)
	case last:
		s.emit(s.cursored(a.pin, append(a.large.scan, part...)))
	default:
		a.large.scan = append(a.large.scan, part...)
	}
	if last {
		a.large = nil
		a.delivered(s)
	}
}

// delivered goes on after a frame: a session without anything that needs a pin leaves it.
func (a *attachment) delivered(s *Session) {
	if a.opaque || len(a.expected) > 0 {
		return
	}
	s.draining, a.wrote = false, false
	s.conn.Flush() // what waited for this goes on
	if a.lasting() {
		return
	}
	s.later = func() {
		if s.attach == a && a.pin != nil {
			a.pin.Passthrough = false
			s.pin, s.attach = a.pin, nil
			s.dropPin(!a.spoiled)
		}
	}
}

// match finds what a frame answers, and reports whether it is pushed.
func (a *attachment) match(frame []byte) (push bool, answered expected) {
	if frame[0] == '>' {
		return true, expected{}
	}
	if len(a.expected) > 0 {
		answered = a.expected[0]
		a.expected = a.expected[1:]
	}
	return false, answered
}

// lost is called when the pin has ended.
func (a *attachment) lost(s *Session) {
	a.pin = nil
	a.over(s)
	if a.large != nil {
		s.close(ByBrokenReply)
		return
	}
	s.close(ByLostPin)
}

// detach gives up the attachment, and with it what the server holds for the connection.
func (s *Session) detach() {
	if a := s.attach; a != nil {
		s.expectNothing()
		s.attach = nil
		a.over(s)
		if a.pin != nil {
			s.pin = a.pin
			s.dropPin(false)
		}
	}
}

// over notes that nothing more is heard of what was passed on.
func (a *attachment) over(s *Session) {
	if a.wrote {
		a.wrote = false
		s.env.Freshness.RaiseFloor()
	}
}
