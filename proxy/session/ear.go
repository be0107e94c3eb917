package session

import (
	"bytes"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// ear is how a session hears of invalidations that other clients have redirected to it (CLIENT TRACKING ... REDIRECT):
// a connection of its own to the master, in RESP3, whose number there they name to the server in place of the client's
// number here. So whatever redirection means is the server's affair. It is there from the first redirection until the
// session ends, and when it ends, the server tells those who redirect, as it would if the client itself had gone.
//
// It belongs to the session's loop. Those who redirect may be on others: they are called by Post.
type ear struct {
	s         *Session
	group     *upstream.Group
	pin       *upstream.Conn // nil: there is none
	number    []byte         // at this master, once it is known
	life      uint64         // how many pins there were: numbers may come again after a failover
	waiting   []func(redirection)
	followers map[*Session]struct{} // who redirects, or is about to
	held      bool                  // it waits for a master
	place     upstream.Place        // where
	used      time.Time
}

// redirection is what another session needs to redirect to this one.
type redirection struct {
	id      uint64   // of the client here
	target  *Session // nil: there is no such client
	number  []byte   // of its ear
	life    uint64   // of that
	refusal []byte   // or why there is no ear: an error of the server
}

const (
	// earPause is the time between two attempts to have an ear.
	earPause = 50 * time.Millisecond
	// earRest is how long one rests before it is used for a PING, so that neither server nor middlebox ends it.
	earRest = 10 * time.Second
)

var clientIDRequest = resp.AppendRequestStrings(nil, "CLIENT", "ID")

// listenFor has the session hear what follower redirects to it, and calls done when that is possible: with a redirection
// without a target if the session has ended.
func (s *Session) listenFor(follower *Session, done func(redirection)) {
	if s.closed {
		done(redirection{})
		return
	}
	if s.ear == nil {
		s.ear = &ear{s: s, group: s.env.Pool.OwnPushing(), followers: map[*Session]struct{}{}}
	}
	e := s.ear
	e.followers[follower] = struct{}{}
	if e.number != nil {
		done(e.redirection())
		return
	}
	e.waiting = append(e.waiting, done)
	e.connect()
}

// unfollowed says that follower does not redirect to the session any more.
func (s *Session) unfollowed(follower *Session) {
	if s.ear != nil {
		delete(s.ear.followers, follower)
	}
}

func (e *ear) redirection() redirection {
	return redirection{id: e.s.id, target: e.s, number: e.number, life: e.life}
}

// connect takes a pin unless there is one.
func (e *ear) connect() {
	if e.pin != nil || e.held {
		return
	}
	c := e.group.Pin(e)
	if c == nil {
		e.held = true
		e.s.env.Pool.Attend(&e.place, e)
		return
	}
	e.pin = c
	e.life++
	e.ask(clientIDRequest)
}

func (e *ear) ask(request []byte) {
	e.used = e.s.env.Loop.Now()
	e.pin.Send(e, upstream.Repeatable, tagPlain, request, 1)
}

// tend keeps a connection alive on which seldom anything is said.
func (e *ear) tend(now time.Time) {
	if e.number != nil && now.Sub(e.used) > earRest {
		e.ask(clientIDRequest)
	}
}

// tell answers those who wait.
func (e *ear) tell(r redirection) {
	waiting := e.waiting
	e.waiting = nil
	for _, done := range waiting {
		done(r)
	}
}

// end closes the ear, because its session ends.
func (e *ear) end() {
	e.place.Leave()
	if e.pin != nil {
		e.group.Unpin(e.pin, false)
	}
	e.group.Release()
	e.tell(redirection{})
	for follower := range e.followers {
		follower.env.Loop.Post(func() { follower.targetGone(e.s) })
	}
}

// Resume implements upstream.Waiter.
func (e *ear) Resume() {
	if e.held = false; !e.s.closed && len(e.waiting) > 0 {
		e.connect()
	}
}

// Push implements upstream.Listener. What is redirected tells of a write, by whomever.
func (e *ear) Push(c *upstream.Conn, frame []byte) {
	_, keys, found := bytes.Cut(frame, []byte("\r\n$10\r\ninvalidate\r\n"))
	if e.s.closed || !found {
		return
	}
	if e.s.policy == Causal {
		e.s.env.Freshness.RaiseFloor()
	}
	e.s.observed(c)
	e.s.invalidated(keys)
}

// PushPart implements upstream.Listener: the pin is none on which everything is pushed.
func (*ear) PushPart(*upstream.Conn, []byte, bool) {}

// PinLost implements upstream.Listener. Who redirects has to begin anew; until then the server invalidates nothing.
func (e *ear) PinLost(c *upstream.Conn) {
	if e.s.closed || c != e.pin {
		return
	}
	e.pin, e.number = nil, nil
	life := e.life
	for follower := range e.followers {
		follower.env.Loop.Post(func() { follower.unheard(e.s, life) })
	}
	if len(e.waiting) > 0 {
		e.s.env.Loop.After(earPause, e.Resume)
	}
}

// Reply implements upstream.Owner: it is the number of the connection. One whose number the server does not tell is of no use.
func (e *ear) Reply(c *upstream.Conn, _ *upstream.Entry, frame []byte) {
	switch {
	case e.s.closed || c != e.pin:
	case frame[0] == ':':
		e.number = bytes.Clone(bytes.TrimSpace(frame[1:]))
		e.tell(e.redirection())
	case e.number == nil:
		refusal := bytes.Clone(frame)
		e.pin = nil
		e.group.Unpin(c, false)
		e.tell(redirection{target: e.s, refusal: refusal})
	}
}

// Lost implements upstream.Owner: PinLost follows.
func (*ear) Lost(*upstream.Conn, *upstream.Entry, []byte, bool, bool) {}

// Stream implements upstream.Owner: there are no large replies.
func (*ear) Stream(*upstream.Conn, *upstream.Entry, []byte, bool) {}

// Yields implements upstream.Owner.
func (*ear) Yields(*upstream.Entry) bool { return false }

// Yield implements upstream.Owner.
func (*ear) Yield(*upstream.Conn, *upstream.Entry, []byte) {}

var (
	invalidatePush    = []byte("2\r\n$10\r\ninvalidate\r\n")
	invalidateMessage = []byte("3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n")
)

// invalidated tells the client of keys that another one has cached: an array, or null for all. In RESP2 only a client
// with subscriptions can be told, to whatever it is.
func (s *Session) invalidated(keys []byte) {
	switch {
	case s.closed:
	case s.key.Proto == 3:
		s.push(append(bytes.Clone(invalidatePush), keys...), false)
	case s.listening():
		s.push(append(bytes.Clone(invalidateMessage), keys...), false)
	}
}
