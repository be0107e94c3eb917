package upstream

import "github.com/understudy/understudy/proxy/freshness"

// Kind is what may be done with a request whose reply does not come.
type Kind uint8

const (
	// Repeatable requests change nothing and may be sent again: reads.
	Repeatable Kind = iota
	// Write requests may have been applied once they were sent; they are never sent twice.
	Write
	// Script requests are writes whose error replies prove nothing: a script can return any error.
	Script
	// Block is a whole MULTI ... EXEC, with one reply for each command in it.
	Block
)

// Entry is one request, or one Block, on its way.
type Entry struct {
	Owner   Owner
	Size    int   // bytes in the log
	Replies int32 // frames still to come
	Nature
	Mark freshness.Mark // what it changes, if it is not Repeatable
}

// Nature is how an Entry is to be treated. Requests of one owner that lie next to each other mostly have the same.
type Nature struct {
	Kind  Kind
	Tag   uint8 // the owner's
	Sight Sight // the owner's, too
	// Joint says that the owner, a Joiner, takes the reply together with those to its neighbours. What the request changes
	// is in its Mark.
	Joint bool
}

// Sight says what a reply lets its reader know of what others have written.
type Sight uint8

const (
	// Seeing is what a reply is taken for unless something is known.
	Seeing Sight = iota
	// Blind replies are +OK whatever others have written: of SET without options. Their errors are not.
	Blind
	// Taking replies hand over what others have left for whoever comes first, if there is anything: of LPOP.
	Taking
	// Conditional replies say by nil or 0 that nothing was changed, because a condition was not met: of SETNX.
	Conditional
)

// Owner is who sent a request and gets its reply: a session. All calls come on the loop's goroutine.
type Owner interface {
	// Reply delivers a whole reply; frame is valid during the call. For a Block it is called for each frame, with
	// e.Replies counting down to zero.
	Reply(c *Conn, e *Entry, frame []byte)
	// Stream delivers a reply that is too large to be held, in parts.
	Stream(c *Conn, e *Entry, part []byte, last bool)
	// Lost says that the connection has ended and e was not answered in full. With sent, the node may have received
	// the whole of it. request is the owner's to keep. Entries are reported in the order in which they were sent,
	// and c takes no more by then. partial says that Stream has already delivered part of the reply.
	Lost(c *Conn, e *Entry, request []byte, sent, partial bool)
	// Yields reports whether e, which is Repeatable and waits behind a reply that is not read because its client does
	// not drain, may be taken back by Yield: nothing of the owner's stands behind it that cannot be asked again.
	Yields(e *Entry) bool
	// Yield gives e back, to be asked for on another connection. request is the owner's to keep. All of an owner's
	// entries on the connection are given back, in the order in which they were sent.
	Yield(c *Conn, e *Entry, request []byte)
}

// Joiner is an Owner of entries that are Joint.
type Joiner interface {
	Owner
	// Replies is Reply for several entries at once: n of the same Nature, the first of which is e. Their replies are in
	// frames, one behind the other. None is an error, all are of one type, and the largest has so many bytes; size is
	// that of the requests. It returns false, and has done nothing, if they must be taken one by one.
	Replies(c *Conn, e *Entry, n, size, largest int, frames []byte) bool
}

// Listener is an Owner of a pin that also takes frames nobody asked for: pushed messages.
type Listener interface {
	// Push delivers a frame for which no request is waiting; frame is valid during the call.
	Push(c *Conn, frame []byte)
	// PushPart delivers such a frame in parts, because it is too large to be held.
	PushPart(c *Conn, part []byte, last bool)
	// PinLost says that the pin has ended, after Lost was called for its entries.
	PinLost(c *Conn)
}

// entries is a queue of Entry in a ring.
type entries struct {
	ring []Entry // length: a power of two
	head int
	n    int
}

// push appends entries. They are copied as a whole: fields that were just written one by one and are read again together
// make a processor wait.
func (q *entries) push(es []Entry) {
	for q.n+len(es) > len(q.ring) {
		q.grow()
	}
	k := copy(q.ring[(q.head+q.n)&(len(q.ring)-1):], es)
	copy(q.ring, es[k:])
	q.n += len(es)
}

func (q *entries) grow() {
	grown := make([]Entry, max(16, 2*len(q.ring)))
	k := copy(grown, q.ring[q.head:])
	copy(grown[k:], q.ring[:q.head])
	q.ring, q.head = grown, 0
}

func (q *entries) front() *Entry { return &q.ring[q.head] }

func (q *entries) at(i int) *Entry { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// pop drops n entries at the front.
func (q *entries) pop(n int) {
	end := q.head + n
	clear(q.ring[q.head:min(end, len(q.ring))])
	if end > len(q.ring) {
		clear(q.ring[:end-len(q.ring)])
	}
	q.head = end & (len(q.ring) - 1)
	q.n -= n
}
