package upstream

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/resp"
)

// Touches has the master learn of a sample of the keys that replicas are asked for: its maxmemory-policy may evict what is
// used least, and what is read on replicas alone looks unused there. They go to it as TOUCH, on lanes of the proxy's own user,
// in one request for each database and turn, and what becomes of them is nobody's concern.
//
// While the master has no such policy, or no maxmemory, nothing is taken. It belongs to a pool and its loop.
type Touches struct {
	discard
	pool   *Pool
	turns  int // keys to take in each turn
	left   int // of them; 0 while there is nothing to do
	keys   map[int][][]byte
	asked  time.Time // when the master was asked for its policy
	master *node     // that was asked
	evicts bool      // it evicts what is used least
}

const (
	// touchTurn is the time between two requests. It is short for the clock by which a server measures when a key was used, 1 s.
	touchTurn = 100 * time.Millisecond
	// policyInterval is the time between two questions for the policy, which nearly never changes.
	policyInterval = 30 * time.Second
)

var askMemory = []byte("*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n")

// NewTouches begins to take keys whenever the master's policy asks for it, up to rate keys in a second, for as long as the
// loop runs. With a rate of 0 it returns nil, which takes none.
func NewTouches(p *Pool, rate int) *Touches {
	if rate == 0 {
		return nil
	}
	perSecond := int(time.Second / touchTurn)
	t := &Touches{pool: p, turns: (rate + perSecond - 1) / perSecond, keys: map[int][][]byte{}}
	p.loop.After(touchTurn, t.turn)
	return t
}

// Wanted reports whether there is use for a key that a replica has been asked for. The first ones of each turn are the
// sample.
func (t *Touches) Wanted() bool { return t != nil && t.left > 0 }

// Take takes such a key in a database. It is copied.
func (t *Touches) Take(db int, key []byte) {
	if t.Wanted() {
		t.left--
		t.keys[db] = append(t.keys[db], bytes.Clone(key))
	}
}

// turn sends what was taken, and looks whether it is still of use.
func (t *Touches) turn() {
	for db, keys := range t.keys {
		key := t.pool.ownKey()
		key.DB = db
		t.send(key, resp.AppendRequest(nil, append([][]byte{[]byte("TOUCH")}, keys...)...), tagTouch)
	}
	clear(t.keys)
	if t.left = 0; t.evicts {
		t.left = t.turns
	}
	now := t.pool.loop.Now()
	if t.pool.master != t.master || now.Sub(t.asked) >= policyInterval {
		if t.send(t.pool.ownKey(), askMemory, tagMemory) {
			t.master, t.asked = t.pool.master, now
		}
	}
	t.pool.loop.After(touchTurn, t.turn)
}

const (
	tagTouch uint8 = iota
	tagMemory
)

// send sends a request to the master, and reports whether there is a way to it.
func (t *Touches) send(key Key, request []byte, tag uint8) bool {
	g := t.pool.Group(key)
	defer g.Release()
	lane := g.Master()
	if lane == nil {
		return false
	}
	lane.Send(t, Repeatable, tag, request, 1)
	return true
}

// Reply implements Owner.
func (t *Touches) Reply(_ *Conn, e *Entry, frame []byte) {
	if e.Tag == tagMemory {
		t.evicts = evictsUnused(frame)
	}
}

// evictsUnused reports whether INFO memory tells of a limit and of a policy that looks at when or how often a key was used.
func evictsUnused(info []byte) bool {
	limit, policy := 0, ""
	for line := range bytes.Lines(info) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		switch string(name) {
		case "maxmemory":
			limit, _ = strconv.Atoi(string(value)) // no number is no limit
		case "maxmemory_policy":
			policy = string(value)
		}
	}
	return limit > 0 && (strings.HasSuffix(policy, "lru") || strings.HasSuffix(policy, "lfu"))
}
