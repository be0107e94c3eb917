package pubsub

import (
	"time"

	"github.com/understudy/understudy/proxy/upstream"
)

const (
	// idleTime is how long the connection of a hub that nobody uses stays open.
	idleTime = time.Minute
	// heartbeat is how long it rests before it is used for a PING, so that no middlebox forgets it.
	heartbeat = 10 * time.Second
)

// Hubs are the hubs of one event loop, by user.
type Hubs struct {
	pool *upstream.Pool
	now  func() time.Time
	hubs map[upstream.Key]*Hub
}

// NewHubs returns the hubs of pool's loop, which go to each new master before all others.
func NewHubs(pool *upstream.Pool, now func() time.Time) *Hubs {
	hs := &Hubs{pool: pool, now: now, hubs: map[upstream.Key]*Hub{}}
	pool.Precede(hs)
	return hs
}

// Hub is the subscriptions of one user's clients on one event loop. It belongs to the loop.
type Hub struct {
	book  Book
	hubs  *Hubs
	key   upstream.Key
	group *upstream.Group
	conn  *upstream.Conn // nil: there is none
	move
	held    bool           // it waits for a master
	place   upstream.Place // where
	large   []byte         // a message that is arriving in parts
	lastUse time.Time
}

// Hub returns the hub of the user that key names.
func (hs *Hubs) Hub(key upstream.Key) *Hub {
	key.DB, key.Proto = 0, 2
	h := hs.hubs[key]
	if h == nil {
		h = &Hub{hubs: hs, key: key, group: hs.pool.Group(key)}
		hs.hubs[key] = h
	}
	return h
}

// Tend closes what has been idle for long and keeps the rest alive.
func (hs *Hubs) Tend() {
	now := hs.now()
	for key, h := range hs.hubs {
		idle := now.Sub(h.lastUse)
		switch {
		case h.book.Empty() && (h.conn == nil || idle > idleTime):
			h.disconnect()
			h.place.Leave()
			h.group.Release()
			delete(hs.hubs, key)
		case h.conn != nil && idle > heartbeat && !h.book.Empty():
			h.book.Ask(nil, pingRequest)
			h.flush()
		}
	}
	hs.report()
}

var pingRequest = []byte("*1\r\n$4\r\nPING\r\n")

// Count is how many clients listen to something, and on how many connections to the master they are subscribers there.
type Count struct{ Clients, Connections int }

// Add returns the sum of two counts.
func (c Count) Add(d Count) Count {
	return Count{c.Clients + d.Clients, c.Connections + d.Connections}
}

// Count counts the clients of the loop that listen to a topic.
func (hs *Hubs) Count(at Topic) (c Count) {
	for _, h := range hs.hubs {
		n, live := h.book.Number(at)
		c.Clients += n
		if live {
			c.Connections++
		}
	}
	return c
}

// Conn returns the connection; nil if there is none.
func (h *Hub) Conn() *upstream.Conn { return h.conn }

// Connected reports whether there is a connection, or one is being made.
func (h *Hub) Connected() bool { return h.conn != nil }

// Connect makes a connection unless there is one, and reports whether there is now.
func (h *Hub) Connect() bool {
	if h.conn == nil && h.approach() {
		h.takeOver()
	}
	return h.conn != nil
}

// Subscribe asks for names on behalf of a client. The hub must be connected.
func (h *Hub) Subscribe(who Subscriber, k Kind, names []string) {
	h.book.Subscribe(who, k, names)
	h.flush()
}

// Unsubscribe ends a client's listening to names, which may be none. The hub must be connected.
func (h *Hub) Unsubscribe(who Subscriber, k Kind, names []string) {
	h.book.Unsubscribe(who, k, names)
	h.flush()
}

// Ask has the server answer a request that only a subscriber's connection answers like this. who listens to something,
// and the hub is connected.
func (h *Hub) Ask(who Subscriber, request []byte) {
	h.book.Ask(who, append([]byte(nil), request...))
	h.flush()
}

// Leave forgets a client, which listens to topics.
func (h *Hub) Leave(who Subscriber, topics map[Topic]int) {
	h.book.Leave(who, topics)
	h.flush()
}

func (h *Hub) flush() {
	h.lastUse = h.hubs.now()
	if h.conn == nil {
		h.book.Lost() // all that matters is said when there is a connection
	} else if out := h.book.Unsent(); len(out) > 0 {
		h.conn.Raw(out)
	}
	h.arrived()
}

// Push implements upstream.Listener.
func (h *Hub) Push(c *upstream.Conn, frame []byte) {
	if !c.Ready() { // the user is not welcome any more
		h.disconnect()
		h.book.Expel(frame)
		h.arrived()
		return
	}
	if c != h.conn {
		return
	}
	h.book.Frame(frame)
	h.flush()
}

// PushPart implements upstream.Listener. What many will get is put together first.
func (h *Hub) PushPart(c *upstream.Conn, part []byte, last bool) {
	if c != h.conn || !c.Keeps(len(h.large)+len(part)) {
		return
	}
	h.large = append(h.large, part...)
	if last {
		frame := h.large
		h.large = nil
		h.Push(c, frame)
	}
}

// PinLost implements upstream.Listener.
func (h *Hub) PinLost(c *upstream.Conn) {
	switch c {
	case h.next:
		h.next = nil
	case h.conn:
		h.conn, h.large = nil, nil
		h.book.Lost()
	default:
		return
	}
	h.renew()
}

// Resume implements upstream.Waiter.
func (h *Hub) Resume() {
	h.held = false
	h.renew()
}

// renew makes a connection to the master for those who listen, as soon as there is one.
func (h *Hub) renew() {
	switch {
	case h.book.Empty(), h.conn != nil && h.conn.Current():
	case h.approach():
		h.takeOver()
	case !h.held:
		h.held = true
		h.hubs.pool.Attend(&h.place, h)
	}
}
