package session

import (
	"bytes"
	"strconv"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// redirect is the redirection of a CLIENT TRACKING at hand, until that is answered.
type redirect struct {
	found bool // otherwise it is being looked for
	lost  bool // the target has another ear by now
	to    redirection
}

// redirected returns where in the arguments of CLIENT TRACKING the number of a client stands that invalidations are to be
// redirected to, and that number; 0 if there is none. What is no number the server has a word for.
func redirected(args [][]byte) (at int, id uint64) {
	for i := 3; i+1 < len(args); i++ {
		switch word := args[i]; {
		case command.EqualFold(word, "PREFIX"):
			i++ // whatever it is, it is a prefix
		case command.EqualFold(word, "REDIRECT"):
			n, err := strconv.ParseInt(string(args[i+1]), 10, 64)
			if err != nil || strconv.FormatInt(n, 10) != string(args[i+1]) {
				return 0, 0
			}
			return i + 1, uint64(n)
		}
	}
	return 0, 0
}

// findTarget looks for the client that a CLIENT TRACKING wants to redirect to. The request waits in the input meanwhile,
// as one does for a master. It returns true if the wait has been in vain and the request was declined.
func (s *Session) findTarget(id uint64) (declined bool) {
	if s.gaveUp {
		if s.redirect = nil; s.group.Writable() {
			s.gaveUp = false // there is a master; it is the ear that could not be had, which may be tried again
		}
		s.decline()
		return true
	}
	s.waitInLine()
	if r := s.redirect; r != nil && !r.found {
		return false
	}
	wanted := &redirect{}
	s.redirect = wanted
	s.env.Directory.Find(s, id, func(target *Session) {
		if target == nil {
			s.foundTarget(wanted, redirection{})
			return
		}
		target.env.Loop.Post(func() {
			target.listenFor(s, func(r redirection) { s.env.Loop.Post(func() { s.foundTarget(wanted, r) }) })
		})
	})
	return false
}

// foundTarget goes on with the request for which a target was looked for, unless it has been given up.
func (s *Session) foundTarget(wanted *redirect, r redirection) {
	if s.closed || s.redirect != wanted {
		if s.closed || s.redirect == nil { // another one may want the same target
			s.dismiss(r.target)
		}
		return
	}
	wanted.found, wanted.to = true, r
	s.Resume()
}

// dismiss has a session that was to hear for this one forget it, unless it does hear for it.
func (s *Session) dismiss(target *Session) {
	if target != nil && (s.closed || s.track == nil || s.track.to.target != target) {
		target.env.Loop.Post(func() { target.unfollowed(s) })
	}
}

// withNumber returns CLIENT TRACKING with the number that the server knows in place of the client's here.
func (r *redirection) withNumber(args [][]byte, at int) []byte {
	said := append([][]byte(nil), args...)
	if said[at] = nobody[1]; r.target != nil {
		said[at] = r.number
	}
	return resp.AppendRequest(nil, said...)
}

// withoutRedirect returns CLIENT TRACKING without the option whose value is at that place; 0: it has none.
func withoutRedirect(args [][]byte, at int) []byte {
	said := append([][]byte(nil), args...)
	if at > 0 {
		said = append(said[:at-1], said[at+1:]...)
	}
	return resp.AppendRequest(nil, said...)
}

var noTarget = []byte("-ERR The client ID you want redirect to does not exist")

// outdated reports whether the server does not know the ear any more that it was told of: the master has changed.
func (r *redirection) outdated(frame []byte) bool {
	return r.target != nil && bytes.HasPrefix(frame, noTarget)
}

// again returns a request that turned tracking on as it is to be said now.
func (t *tracking) again(said []byte) []byte {
	if t.to.target == nil {
		return said
	}
	parser := resp.RequestParser{Limits: resp.DefaultLimits}
	if n, err := parser.Parse(said); n != len(said) || err != nil {
		panic("session: what has turned tracking on is not one request") // it was made of one
	}
	return resp.AppendRequest(nil, append(append([][]byte(nil), parser.Args...), []byte("REDIRECT"), t.to.number)...)
}

// redirectTo follows where an accepted CLIENT TRACKING ON redirects to.
func (t *tracking) redirectTo(to redirection) {
	was := t.to.target
	t.to, t.broken = to, false
	if was != to.target {
		t.s.dismiss(was)
	}
}

// find asks the session that is redirected to for its ear on this master, unless that is under way.
func (t *tracking) find() {
	if t.finding {
		return
	}
	t.finding = true
	s, target := t.s, t.to.target
	target.env.Loop.Post(func() {
		target.listenFor(s, func(r redirection) { s.env.Loop.Post(func() { t.found(target, r) }) })
	})
}

// found turns tracking on again, now that it is known where to.
func (t *tracking) found(target *Session, r redirection) {
	t.finding = false
	s := t.s
	switch {
	case s.closed || s.track != t || t.to.target != target:
		s.dismiss(target)
		return
	case r.target == nil || r.refusal != nil: // nobody would hear of what this client reads
		s.close(ByLostPin)
		return
	}
	t.to = r
	t.renew()
	if s.held {
		s.Resume()
	}
}

// unheard says that what this session redirects to target does not arrive there any more.
func (s *Session) unheard(target *Session, life uint64) {
	if r := s.redirect; r != nil && r.to.target == target && r.to.life == life {
		r.lost = true
	}
	if t := s.track; !s.closed && t != nil && t.to.target == target && t.to.life == life {
		t.to.number, t.dirty = nil, true
		t.clean()
	}
}

// targetGone says that what this session redirects to target arrives nowhere any more. The server will notice by itself.
func (s *Session) targetGone(target *Session) {
	if t := s.track; t != nil && t.to.target == target {
		t.broken = true
	}
}

// clean begins tracking anew where that has to be, as soon as no request is under way that would be lost.
func (t *tracking) clean() {
	if !t.dirty || t.s.outstanding > 0 || t.s.tx != nil {
		return
	}
	t.dirty = false
	if t.pin != nil {
		t.pin.Close()
	}
}

// translated is a reply about tracking as the client gets it: with the number of a client here.
func (t *tracking) translated(frame []byte) []byte {
	if t.to.target == nil || frame[0] == '-' {
		return frame
	}
	ours := append(strconv.AppendUint([]byte(":"), t.to.id, 10), '\r')
	theirs := append(append([]byte(":"), t.to.number...), '\r')
	return bytes.Replace(frame, theirs, ours, 1)
}
