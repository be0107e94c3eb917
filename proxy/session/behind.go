package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/upstream"
)

// A server writes to one connection what happens in the order in which it happens: the invalidation of a key that was set, and
// then the message that was published after it. Here the two come over different connections. A client in RESP3 that caches and
// listens on one would read from its cache, because of the message, what the invalidation is about to take from there. So its
// messages wait until the connection with tracking has answered a request that was sent when the message was there.

// maxBehind is how many bytes of messages wait: beyond it the master does not answer.
const maxBehind = 1 << 20

// behind are the messages of a client with tracking that wait for the invalidations which the server has sent before them.
type behind struct {
	messages []behindOne
	size     int  // of all bodies
	told     int  // how many have been passed on before these
	asking   bool // a request is under way
}

type behindOne struct {
	body   []byte
	shared bool
}

// message passes a message on to the client, behind the invalidations that belong before it.
func (s *Session) message(body []byte, shared bool) {
	t := s.track
	if t == nil {
		s.push(body, shared)
		return
	}
	if !t.asks() || t.behind.size > maxBehind {
		t.tell(len(t.behind.messages))
		s.push(body, shared)
		return
	}
	if !shared {
		body = bytes.Clone(body)
	}
	t.behind.messages = append(t.behind.messages, behindOne{body, shared})
	t.behind.size += len(body)
	t.askBehind()
}

// asks reports whether the server can be asked on the connection with tracking without the client noticing: in a transaction that
// would become part of it, and CLIENT CACHING is about the next request. What is redirected comes over another one.
func (t *tracking) asks() bool {
	return t.pin != nil && t.pin.Ready() && t.pin.Usable() && len(t.said) > 0 && t.to.target == nil && t.s.tx == nil && !t.caching.armed
}

func (t *tracking) askBehind() {
	if b := &t.behind; !b.asking && len(b.messages) > 0 {
		b.asking = true
		o := overtaken{renewal{Session: t.s, tracking: t}, b.told + len(b.messages)}
		t.pin.Send(o, upstream.Repeatable, tagPlain, harmless, 1)
	}
}

// tell passes the first n messages that wait on.
func (t *tracking) tell(n int) {
	b := &t.behind
	for _, m := range b.messages[:n] {
		b.size -= len(m.body)
		t.s.push(m.body, m.shared)
	}
	clear(b.messages[:n])
	b.messages = b.messages[n:]
	b.told += n
	if len(b.messages) == 0 {
		b.messages = nil
	}
}

// tellAll is tell for all messages that wait, before something that they must not come behind.
func (s *Session) tellAll() {
	if t := s.track; t != nil {
		t.tell(len(t.behind.messages))
	}
}

// overtaken is the owner of the request by whose reply everything has arrived that the server has sent before it.
type overtaken struct {
	renewal
	upTo int // the number of the last message that had come before it was sent
}

// Reply implements upstream.Owner.
func (o overtaken) Reply(c *upstream.Conn, _ *upstream.Entry, _ []byte) {
	t := o.tracking
	if o.closed || o.track != t || t.pin != c { // whatever ended the connection has told all
		return
	}
	t.behind.asking = false
	t.tell(max(0, o.upTo-t.behind.told))
	if t.asks() {
		t.askBehind()
	} else {
		o.tellAll()
	}
}
