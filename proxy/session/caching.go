package session

import (
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// CLIENT CACHING is about the next request of the client, whatever that is: a server forgets it behind that, unless it is
// CLIENT again. Here many requests do not come over the connection with tracking. The one that should have ended CLIENT
// CACHING there may be such, and then the read that follows would not be tracked, or be it without having been meant. So
// another request is sent ahead of what comes over that connection next.

// caching is what becomes of CLIENT CACHING.
type caching struct {
	// yes is the CLIENT CACHING YES that the next request needs, or that the last one had, which is then spent.
	yes   []byte
	spent bool
	armed bool // the connection has been told YES or NO, and nothing since has ended that
	used  bool // something of the request at hand was sent over the connection
	stale bool // the request that ended it for the client was not
}

// harmless is a request that every user may send, and that changes nothing.
var harmless = resp.AppendRequestStrings(nil, "HELLO")

// use is called before a request of the client is sent over the connection with tracking.
func (t *tracking) use() {
	t.caching.used = true
	if t.caching.stale {
		t.caching.stale = false
		t.pin.Send(unheeded{renewal{Session: t.s, tracking: t}}, upstream.Repeatable, tagPlain, harmless, 1)
	}
}

// took notes what a request that was taken makes of CLIENT CACHING. cmd is nil if it is none that a server has.
func (t *tracking) took(cmd *command.Command) {
	c := &t.caching
	switch {
	case t.s.tx != nil && t.s.tx.multi: // it lasts until EXEC
	case cmd != nil && strings.HasPrefix(cmd.Name, "CLIENT|"):
		c.armed = c.armed || cmd.Name == "CLIENT|CACHING"
	case c.armed:
		if c.armed = false; !c.used {
			c.stale, c.yes = true, nil
		}
	}
}

// unheeded is the owner of a request whose reply does not matter.
type unheeded struct{ renewal }

// Reply implements upstream.Owner.
func (unheeded) Reply(*upstream.Conn, *upstream.Entry, []byte) {}
