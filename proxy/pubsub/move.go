package pubsub

import "github.com/understudy/understudy/proxy/upstream"

// A hub moves to a new master without missing what is published through Understudy, and without hearing anything twice. What
// is published waits until the hubs of all loops are there (upstream.Gate). Meanwhile a hub hears the former master out, if
// that is alive: all that it has sent before is delivered first. It is left before the first subscription is sent to the
// new one, because as a replica it repeats what that one says.

// move is what a hub knows of its way to a new master.
type move struct {
	next   *upstream.Conn // to it, until it takes the place of the other; nil: there is none
	heard  bool           // nothing is to come any more from the former master
	moving bool           // the subscriptions are not all at the new one
	hurry  bool           // the former master is not heard out: it has had its time, and may hang
}

// Advance implements upstream.Vanguard.
func (hs *Hubs) Advance() {
	for _, h := range hs.hubs {
		if h.there() {
			continue
		}
		if h.book.Empty() {
			h.disconnect()
			continue
		}
		h.moving = true
		h.renew()
	}
	hs.report()
}

// Hurry implements upstream.Vanguard: the former master has not answered in time, or the new one.
func (hs *Hubs) Hurry() {
	for _, h := range hs.hubs {
		if h.moving {
			h.heard, h.hurry = true, true
			h.takeOver()
		}
	}
}

// report tells the pool where the subscriptions are, unless they are on their way.
func (hs *Hubs) report() {
	any := false
	for _, h := range hs.hubs {
		if !h.book.Empty() && !h.there() {
			return
		}
		any = any || !h.book.Empty()
	}
	hs.pool.Subscribed(any)
}

// there reports whether all that the hub's clients listen to is subscribed to at the master.
func (h *Hub) there() bool { return h.conn != nil && h.conn.Current() && !h.book.Renewing() }

// arrived notes the end of a move.
func (h *Hub) arrived() {
	if h.moving && (h.book.Empty() || h.there()) {
		h.moving, h.hurry = false, false
		h.hubs.report()
	}
}

// approach begins to connect to the master, unless that is under way, and reports whether it is now.
func (h *Hub) approach() bool {
	if h.next != nil {
		return true
	}
	c := h.group.PinSubscriber(h)
	if c == nil {
		return false
	}
	c.Up = h.takeOver
	h.next, h.heard = c, h.conn == nil || h.hurry
	if !h.heard {
		h.book.Mark(func() {
			if h.next == c {
				h.heard = true
				h.takeOver()
			}
		})
		h.flush()
	}
	return true
}

// takeOver has the connection that was made take the place of the former one, which has to be heard out.
func (h *Hub) takeOver() {
	c := h.next
	if c == nil || h.conn != nil && !(h.heard && c.Ready()) {
		return
	}
	if h.conn != nil {
		h.group.Unpin(h.conn, false)
	}
	h.conn, h.next, h.large = c, nil, nil
	h.book.Lost()
	h.book.Renew()
	h.flush()
}

// disconnect gives the connections up. Nobody listens.
func (h *Hub) disconnect() {
	for _, c := range []*upstream.Conn{h.conn, h.next} {
		if c != nil {
			h.group.Unpin(c, false)
		}
	}
	h.conn, h.next, h.large = nil, nil, nil
}
