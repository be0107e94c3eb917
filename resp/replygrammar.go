package resp

import (
	"bytes"
	"math"
)

// WholeLeaf returns the length of the value at the start of p, if that is no aggregate, lies whole in p and is written in
// the usual way; otherwise 0. It is the quick path of [ReplyScanner.Scan], which accepts whatever it accepts.
func WholeLeaf(p []byte) int {
	if len(p) < 3 {
		return 0
	}
	switch p[0] {
	case '$':
		digit := p[1] - '0'
		if digit > 9 {
			if len(p) >= 5 && string(p[:5]) == "$-1\r\n" {
				return 5
			}
			return 0
		}
		n, i := int64(digit), 2
		if n != 0 {
			for i < len(p) {
				digit = p[i] - '0'
				if digit > 9 {
					break
				}
				if n = n*10 + int64(digit); n > math.MaxInt32 {
					return 0
				}
				i++
			}
		}
		end := i + 4 + int(n)
		if end > len(p) || p[i] != '\r' || p[i+1] != '\n' || p[end-2] != '\r' || p[end-1] != '\n' {
			return 0
		}
		return end
	case '+', '-', ':', '_', '#', ',', '(':
		if len(p) >= 5 && string(p[:5]) == "+OK\r\n" { // which most writes are answered by
			return 5
		}
		if i := bytes.IndexByte(p, '\n'); i > 0 && p[i-1] == '\r' {
			return i + 1
		}
	}
	return 0
}

// typeByte begins a value, or ends a streamed aggregate.
func (s *ReplyScanner) typeByte(c byte) {
	switch c {
	case '+', '-', ':', '_', '#', ',', '(':
		s.beginValue()
		s.state, s.carriage = inLine, false
	case '$', '!', '=', '*', '~', '%':
		s.beginValue()
		s.beginNumber(c)
	case '>':
		// Behind an attribute it would look like a reply to those who go by the first byte.
		if s.depth > 0 || s.attributed {
			s.fail(errReplyMisplaced)
			return
		}
		s.beginValue()
		s.beginNumber(c)
	case '|':
		s.beginNumber(c) // no value itself: the level still needs as many
	case '.':
		if s.level.need != openEnded || s.attributed {
			s.fail(errReplyDot)
			return
		}
		s.level.need = 0
		s.state = atDot
	default:
		s.fail(errReplyType)
	}
}

// beginValue counts a value of the current level.
func (s *ReplyScanner) beginValue() {
	s.attributed = false
	switch {
	case s.level.need > 0:
		s.level.need--
	case s.level.kind == '%':
		s.level.need = openEnded + oddEnded - s.level.need // the other of the two
	}
}

// endValue closes every level that the end of a value completes, and reports whether that was the reply.
func (s *ReplyScanner) endValue() bool {
	for s.level.need == 0 {
		if s.depth == 0 {
			s.state = idle
			return true
		}
		s.pop()
	}
	s.state = atValue
	return false
}

// beginNumber begins to read the length or count of a value of the given type.
func (s *ReplyScanner) beginNumber(kind byte) {
	s.state, s.kind = inNumber, kind
	s.number, s.digits, s.minus = 0, 0, false
}

// numberByte reads one byte of a length or count, up to the '\r'. Only what servers write is accepted: "0", digits without
// leading zeros, "-1", "?".
func (s *ReplyScanner) numberByte(c byte) {
	d := int64(c - '0')
	switch {
	case c == '\r' && (s.digits > 0 || s.number == streamed):
		s.state = afterNumber
	case s.number == streamed:
		s.fail(errReplyNumber)
	case d <= 9:
		if s.digits > 0 && (s.number == 0 || s.minus) || s.minus && d != 1 || s.number > (math.MaxInt64-d)/10 {
			s.fail(errReplyNumber)
			return
		}
		s.number = s.number*10 + d
		s.digits++
	case c == '-' && s.digits == 0 && !s.minus:
		s.minus = true
	case c == '?' && s.digits == 0 && !s.minus:
		s.number = streamed
	default:
		s.fail(errReplyNumber)
	}
}

// headerEnd acts on a complete length or count, and reports whether it was the end of the reply.
func (s *ReplyScanner) headerEnd() bool {
	n := s.number
	if s.minus {
		if s.kind != '$' && s.kind != '*' {
			s.fail(errReplyNumber)
			return false
		}
		return s.endValue()
	}
	switch s.kind {
	case '$', '!', '=', ';':
		switch {
		case n == streamed && s.kind == '$':
			s.state = atChunk
		case n == streamed || n > math.MaxInt64-2:
			s.fail(errReplyNumber)
		case s.kind == ';' && n == 0:
			return s.endValue()
		case s.kind == ';':
			s.state, s.left = inChunk, n+2
		default:
			s.state, s.left = inBody, n+2
		}
		return false
	case '%', '|':
		if n > math.MaxInt64/2 {
			s.fail(errReplyNumber)
			return false
		}
		if n != streamed {
			n *= 2
		}
	}
	switch {
	case n == streamed && (s.kind == '|' || s.kind == '>'):
		s.fail(errReplyNumber) // not in the specification, and nothing sends it
	case n == 0:
		if s.kind == '|' {
			s.attributed = true
		}
		return s.endValue()
	default:
		s.push(level{need: n, kind: s.kind})
	}
	return false
}

// line consumes text from p[i:] and leaves the state inLine unless it ended. Bare newlines are text: modules do send them.
func (s *ReplyScanner) line(p []byte, i int) int {
	for i < len(p) {
		k := bytes.IndexByte(p[i:], '\n')
		if k < 0 {
			s.carriage = p[len(p)-1] == '\r'
			return len(p)
		}
		ended := s.carriage && k == 0 || k > 0 && p[i+k-1] == '\r'
		s.carriage = false
		i += k + 1
		if ended {
			s.state = atValue
			return i
		}
	}
	return i
}

// push opens a level within the current one.
func (s *ReplyScanner) push(l level) {
	limit := s.MaxDepth
	if limit == 0 {
		limit = DefaultMaxDepth
	}
	if s.depth >= limit {
		s.fail(errReplyDepth)
		return
	}
	if s.MaxValues > 0 {
		if l.need > s.MaxValues-s.values {
			s.fail(errReplyValues)
			return
		}
		s.values += max(l.need, 0)
	}
	if s.depth < len(s.near) {
		s.near[s.depth] = s.level
	} else {
		s.far = append(s.far, s.level)
	}
	s.depth++
	s.level = l
	s.state = atValue
}

// pop closes the current level.
func (s *ReplyScanner) pop() {
	s.attributed = s.level.kind == '|'
	s.depth--
	s.level = *s.outer(s.depth)
	if s.depth >= len(s.near) {
		s.far = s.far[:s.depth-len(s.near)]
		if len(s.far) == 0 && cap(s.far) > keptLevels {
			s.far = nil
		}
	}
}

// keptLevels is how much of the stack outlives the reply that needed it.
const keptLevels = 64

// outer is the d'th level around the current one, counted from the outside.
func (s *ReplyScanner) outer(d int) *level {
	if d < len(s.near) {
		return &s.near[d]
	}
	return &s.far[d-len(s.near)]
}

// fail makes err the end of the stream.
func (s *ReplyScanner) fail(err *ProtocolError) { s.state, s.err = broken, err }

// saturatingAdd adds two numbers that are not negative.
func saturatingAdd(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
