package session

import (
	"bytes"
	"slices"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// tracking is what CLIENT TRACKING makes of a session: it has a lane of its own to the master, which is the connection
// whose reads the server remembers. Everything that would go to a lane goes there, reads as well: what a replica was
// asked, nobody would tell the client the end of.
//
// What the client redirects, the server tells somebody else: see ear.
//
// When the pin is lost, the client is told at once that all it has cached may have changed, as a client tells itself
// that has to connect anew, and tracking is turned on again on the next master before anything is read there.
type tracking struct {
	s     *Session
	pin   *upstream.Conn  // nil between two masters
	group *upstream.Group // that the pin belongs to
	said  [][]byte        // what has turned tracking on: to be said again
	wide  bool            // BCAST: it is about keys that others may have read for this client
	held  bool            // it waits for a master
	place upstream.Place  // where

	caching caching
	behind  behind

	to      redirection // whom the server tells instead, if it has a target: see ear
	finding bool        // what to say to the server for that is being asked
	dirty   bool        // the target has another ear, so tracking has to begin anew
	broken  bool        // the target has gone
}

// tracksClients reports whether a command is about client tracking.
func tracksClients(cmd *command.Command) bool {
	switch cmd.Name {
	case "CLIENT|TRACKING", "CLIENT|CACHING", "CLIENT|TRACKINGINFO", "CLIENT|GETREDIR":
		return true
	}
	return false
}

// trackClient handles CLIENT TRACKING and its kin. Nothing is outstanding.
func (s *Session) trackClient(cmd *command.Command, args [][]byte, request []byte) bool {
	at, id := 0, uint64(0)
	if cmd.Name == "CLIENT|TRACKING" {
		at, id = redirected(args)
	}
	on := cmd.Name == "CLIENT|TRACKING" && command.EqualFold(args[2], "ON")
	asked, to := bytes.Clone(request), redirection{}
	if at > 0 {
		if r := s.redirect; r == nil || !r.found || r.lost {
			return s.findTarget(id)
		}
		to = s.redirect.to
		if request = to.withNumber(args, at); to.refusal != nil {
			s.redirect = nil
			s.emit(to.refusal)
			return true
		}
	}
	if s.track == nil && !on { // a connection without tracking is as good as any other
		return s.askMaster(asked, request, func(frame []byte) {
			s.redirect = nil
			s.dismiss(to.target)
			s.emit(frame)
		})
	}
	if s.track == nil && !s.beginTracking() || s.choose(toMaster) == nil {
		return s.declined()
	}
	t := s.track
	kept, said := keep(args), withoutRedirect(args, at)
	s.ask(t.pin, upstream.Repeatable, request, 1, &await{
		again: asked,
		reply: func(_ *upstream.Conn, frame []byte) {
			r := s.redirect
			if s.redirect = nil; to.outdated(frame) {
				s.recover(redo{request: asked})
				return
			}
			t.answered(kept, on, said, to, frame)
			s.emit(t.translated(frame))
			if r != nil && r.lost { // what the server was told is true no more
				t.dirty = true
			}
		},
	})
	return true
}

// beginTracking takes a pin for tracking: that of the transaction under way, if keys are watched on it.
func (s *Session) beginTracking() bool {
	c := s.pin
	if s.tx == nil || c == nil {
		if c = s.choosePin(); c == nil {
			return false
		}
	}
	s.track = &tracking{s: s, pin: c, group: s.pinGroup}
	return true
}

// answered follows what a command about tracking has become. request is what has to be said to turn it on again, and to is
// where it redirects to.
func (t *tracking) answered(args [][]byte, on bool, request []byte, to redirection, frame []byte) {
	ok := frame[0] == '+'
	if on && ok {
		t.redirectTo(to)
	} else {
		t.s.dismiss(to.target)
	}
	has := func(word string) bool {
		return slices.ContainsFunc(args[2:], func(a []byte) bool { return command.EqualFold(a, word) })
	}
	switch name := command.Word(args[1]); {
	case on && ok:
		if !slices.ContainsFunc(t.said, func(said []byte) bool { return bytes.Equal(said, request) }) {
			t.said = append(t.said, request)
		}
		t.wide = t.wide || has("BCAST")
	case on && len(t.said) == 0, name == "TRACKING" && !on && ok:
		t.s.later = t.s.endTracking
	case name == "CACHING" && ok && has("YES"):
		t.caching.yes, t.caching.spent = request, false
	}
}

// chooseTracked returns the connection for requests of a session with tracking, as choose does.
func (s *Session) chooseTracked() *upstream.Conn {
	t := s.track
	if s.outstanding > 0 {
		if s.lane == t.pin && t.pin != nil && s.group.Writable() {
			t.use()
			return t.pin
		}
		s.draining = true
		return nil
	}
	t.clean()
	switch {
	case !s.group.Writable():
		s.hold()
		return nil
	case t.connect():
	case t.finding:
		s.waitInLine()
		return nil
	default:
		s.hold()
		return nil
	}
	s.release()
	if t.caching.spent {
		t.caching.yes = nil
	}
	t.caching.spent = true
	t.use()
	return t.pin
}

// connect takes another pin if there is none, and has tracking turned on there.
func (t *tracking) connect() bool {
	switch {
	case t.pin != nil:
		return true
	case t.to.target != nil && t.to.number == nil:
		t.find()
		return false
	}
	c := t.s.group.Pin(t.s)
	if c == nil {
		return false
	}
	t.pin, t.group = c, t.s.group
	for i, request := range t.said {
		c.Send(renewal{Session: t.s, tracking: t, last: i == len(t.said)-1}, upstream.Repeatable, tagPlain, t.again(request), 1)
	}
	if t.caching.yes != nil {
		c.Send(renewal{Session: t.s, tracking: t}, upstream.Repeatable, tagPlain, t.caching.yes, 1)
	}
	return true
}

// lost is called when the pin has ended.
func (t *tracking) lost() {
	t.pin, t.to.number = nil, nil // the next master knows another one
	t.caching.stale = false
	if len(t.said) == 0 { // it was not on yet
		t.s.track = nil
		return
	}
	t.flush()
	t.behind.asking = false
	t.s.tellAll()
	t.renew()
}

// renew turns tracking on again as soon as there is a master: with BCAST it must not wait for the next request.
func (t *tracking) renew() {
	if !t.held && !t.connect() && !t.finding {
		t.held = true
		t.s.env.Pool.Attend(&t.place, t)
	}
}

// Resume implements upstream.Waiter.
func (t *tracking) Resume() {
	t.held = false
	if t.s.track == t && !t.s.closed {
		t.renew()
	}
}

// flush tells the client, or the one that it redirects to, that everything it has cached may have changed.
func (t *tracking) flush() {
	everything := resp.AppendNull(nil, t.s.key.Proto)
	switch target := t.to.target; {
	case target != nil:
		target.env.Loop.Post(func() { target.invalidated(everything) })
	case t.s.key.Proto == 3:
		t.s.invalidated(everything)
	}
}

// pushed passes on what the server pushes. An invalidation tells of a write, by whomever.
func (t *tracking) pushed(frame []byte) {
	s := t.s
	if s.policy == Causal {
		s.env.Freshness.RaiseFloor()
	}
	s.observed(t.pin)
	s.push(t.translated(frame)[1:], false) // it may be that the client redirected to has gone
	s.relieve(t.pin)
}

// discardTracked answers EXEC of a transaction of which the server does not know that it is aborted, on the connection with
// tracking: that is not given up, which would invalidate all that the client has cached.
func (s *Session) discardTracked(request []byte) {
	s.tx.broken = true // should the connection be lost meanwhile, the transaction is aborted no less
	s.ask(s.pin, upstream.Repeatable, resp.AppendRequestStrings(nil, "DISCARD"), 1, &await{
		again: bytes.Clone(request),
		reply: func(_ *upstream.Conn, frame []byte) {
			done := frame[0] == '+' // or the user lacks the permission
			s.emit(errorReply(execAborted))
			s.later = func() { s.endTransaction(done) }
		},
	})
}

// endTracking makes of the session one without tracking.
func (s *Session) endTracking() {
	t := s.track
	if t == nil {
		return
	}
	s.tellAll()
	s.track = nil
	t.place.Leave()
	s.dismiss(t.to.target)
	switch {
	case t.pin == nil:
	case t.pin == s.pin: // a transaction goes on there
		s.tx.moved = true
	default:
		t.group.Unpin(t.pin, false)
	}
}

// renewal is the owner of what turns tracking on again. What it cannot renew, the client must not rely on.
type renewal struct {
	*Session
	tracking *tracking
	last     bool
}

// Reply implements upstream.Owner.
func (r renewal) Reply(c *upstream.Conn, _ *upstream.Entry, frame []byte) {
	switch {
	case r.closed || r.track != r.tracking:
	case r.tracking.to.outdated(frame):
		c.Close() // and it is asked for the one that there is now
	case frame[0] == '-':
		r.close(ByLostPin)
	case r.last && r.tracking.wide: // what others have read for it in between
		r.tracking.flush()
	}
}

// Lost implements upstream.Owner: PinLost follows.
func (renewal) Lost(*upstream.Conn, *upstream.Entry, []byte, bool, bool) {}

// Stream implements upstream.Owner: there are no large replies.
func (renewal) Stream(*upstream.Conn, *upstream.Entry, []byte, bool) {}

// Yields implements upstream.Owner.
func (renewal) Yields(*upstream.Entry) bool { return false }

// Yield implements upstream.Owner.
func (renewal) Yield(*upstream.Conn, *upstream.Entry, []byte) {}
