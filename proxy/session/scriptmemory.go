package session

import (
	"bytes"
	"container/list"
	"crypto/sha1"
	"sync"
	"sync/atomic"

	"github.com/understudy/understudy/proxy/upstream"
)

const (
	// scriptMemory is how many bytes of scripts a process remembers. Programs have a few dozen of some KB.
	scriptMemory = 16 << 20
	// scriptOverhead is what one costs besides its text.
	scriptOverhead = 200
)

// Scripts remembers scripts by their digest, those used last, for all loops of a process. Its methods may be called
// from any goroutine. The zero value is empty.
type Scripts struct {
	mu      sync.Mutex
	size    int
	bodies  map[upstream.SHA]*list.Element // of *script
	recent  list.List                      // the one used last in front
	flushes atomic.Uint64
}

type script struct {
	sha  upstream.SHA
	body []byte
}

func (s *script) cost() int { return len(s.body) + scriptOverhead }

// Remember keeps a copy of a script and returns its digest.
func (m *Scripts) Remember(body []byte) upstream.SHA {
	sha := upstream.SHA(sha1.Sum(body))
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.bodies[sha]; e != nil {
		m.recent.MoveToFront(e)
		return sha
	}
	kept := &script{sha, bytes.Clone(body)}
	if kept.cost() > scriptMemory {
		return sha
	}
	if m.bodies == nil {
		m.bodies = map[upstream.SHA]*list.Element{}
	}
	m.bodies[sha] = m.recent.PushFront(kept)
	for m.size += kept.cost(); m.size > scriptMemory; {
		oldest := m.recent.Remove(m.recent.Back()).(*script)
		delete(m.bodies, oldest.sha)
		m.size -= oldest.cost()
	}
	return sha
}

// Body returns the script with that digest, or nil. It must not be changed.
func (m *Scripts) Body(sha upstream.SHA) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.bodies[sha]
	if e == nil {
		return nil
	}
	m.recent.MoveToFront(e)
	return e.Value.(*script).body
}

// Forget forgets one script.
func (m *Scripts) Forget(sha upstream.SHA) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.bodies[sha]; e != nil {
		m.size -= m.recent.Remove(e).(*script).cost()
		delete(m.bodies, sha)
	}
}

// Flush forgets everything.
func (m *Scripts) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies, m.size = nil, 0
	m.recent.Init()
	m.flushes.Add(1)
}

// Flushes returns how often Flush was called.
func (m *Scripts) Flushes() uint64 { return m.flushes.Load() }

// parseSHA reads a digest as servers do: forty hexadecimal digits in any case.
func parseSHA(text []byte) (sha upstream.SHA, ok bool) {
	if len(text) != 2*len(sha) {
		return sha, false
	}
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return sha, false
		}
		sha[i/2] = sha[i/2]<<4 | c
	}
	return sha, true
}
