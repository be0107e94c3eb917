package resp

import (
	"bytes"
	"math"
)

// DefaultMaxDepth is how deep aggregates in a reply may nest unless the scanner says otherwise. Redis itself nests up to
// nine levels; a Lua script can return tables nested as deep as Lua's stack allows, a little under 8000.
const DefaultMaxDepth = 8192

// ReplyScanner finds where replies end in the byte stream of a server. It keeps no bytes: each call of Scan is given the
// bytes that follow those it was given before. Its zero value is ready, at the start of a stream.
//
// It knows all types of RESP2 and RESP3, streamed strings and aggregates included. Lengths and counts must be written as
// servers write them; anything else is an error, because a stream that surprises cannot be trusted to be in step.
//
// A ReplyScanner must not be used from several goroutines at once.
type ReplyScanner struct {
	// MaxDepth is how deep aggregates may nest; 0 means DefaultMaxDepth. It may be changed between replies.
	MaxDepth int

	state      replyState
	kind       byte  // type of the value whose header is being read
	attributed bool  // an attribute has ended and the value it belongs to has not begun
	carriage   bool  // inLine: the byte before was '\r'
	digits     uint8 // inNumber: how many have been read
	minus      bool  // inNumber: the number began with '-'
	number     int64 // inNumber: its magnitude; streamed is "?"
	left       int64 // inBody, inChunk: bytes to come, the last two of them "\r\n"

	level level    // the aggregate being read, or at depth 0 the reply itself
	depth int      // how many levels are open around level
	near  [6]level // the first of them
	far   []level  // the others
	err   *ProtocolError
}

// level is an aggregate that is not complete.
type level struct {
	need int64 // values that have not begun yet; openEnded or oddEnded in a streamed aggregate
	kind byte
}

const (
	openEnded = -1 // any number of values, and '.' may come now
	oddEnded  = -2 // a streamed map between key and value
	streamed  = -1 // as a number: "?"
)

// replyState is what the next byte is.
type replyState uint8

const (
	idle        replyState = iota // the first byte of a reply
	atValue                       // the type byte of a value within one
	inLine                        // text up to "\r\n"
	inNumber                      // a length or count
	afterNumber                   // the '\n' behind it
	inBody                        // the content of a string
	atChunk                       // the ';' of a streamed string's next chunk
	inChunk                       // the content of a chunk
	atDot                         // the '\r' behind the '.' that ends a streamed aggregate
	afterDot                      // the '\n' behind that
	broken                        // the stream makes no sense; err says why
)

var (
	errReplyType      = &ProtocolError{"Protocol error: reply with an unknown type byte"}
	errReplyNumber    = &ProtocolError{"Protocol error: reply with an invalid length or count"}
	errReplyEnd       = &ProtocolError{"Protocol error: reply not ended by a newline where its length says"}
	errReplyChunk     = &ProtocolError{"Protocol error: reply with an invalid streamed string"}
	errReplyDot       = &ProtocolError{"Protocol error: reply with an unexpected end of an aggregate"}
	errReplyDepth     = &ProtocolError{"Protocol error: reply nested too deeply"}
	errReplyMisplaced = &ProtocolError{"Protocol error: push message within a reply"}
)

// Scan consumes the bytes of p that belong to the current reply. It returns how many they are and whether the reply ended
// with them; the next call then begins a new reply. If it did not end, n is len(p).
//
// An attribute and the reply that it precedes are one reply here. A push message (first byte '>') is a reply of its own,
// which the caller tells apart by its first byte.
//
// err is a [*ProtocolError], and stays until Reset; the first n bytes of p made sense.
func (s *ReplyScanner) Scan(p []byte) (n int, done bool, err error) {
	if s.state == idle {
		if n := wholeLeaf(p); n > 0 {
			return n, true, nil
		}
		if len(p) == 0 {
			return 0, false, nil
		}
		s.level = level{need: 1}
		s.state = atValue
	}
	i := 0
	for i < len(p) {
		switch s.state {
		case atValue:
			if n := wholeLeaf(p[i:]); n > 0 {
				i += n
				s.beginValue()
				if s.endValue() {
					return i, true, nil
				}
				continue
			}
			s.typeByte(p[i])

		case inLine:
			i = s.line(p, i)
			if s.state != inLine && s.endValue() {
				return i, true, nil
			}
			continue

		case inNumber:
			s.numberByte(p[i])

		case afterNumber:
			if p[i] != '\n' {
				s.fail(errReplyNumber)
			} else if s.headerEnd() {
				return i + 1, true, nil
			}

		case inBody, inChunk:
			if s.left > 2 {
				k := min(int64(len(p)-i), s.left-2)
				i += int(k)
				s.left -= k
				continue
			}
			if p[i] != "\n\r"[s.left-1] {
				s.fail(errReplyEnd)
			} else if s.left--; s.left == 0 {
				if s.state == inChunk {
					s.state = atChunk
				} else if s.endValue() {
					return i + 1, true, nil
				}
			}

		case atChunk:
			if p[i] != ';' {
				s.fail(errReplyChunk)
			} else {
				s.beginNumber(';')
			}

		case atDot:
			s.state = afterDot
			if p[i] != '\r' {
				s.fail(errReplyDot)
			}

		case afterDot:
			if p[i] != '\n' {
				s.fail(errReplyDot)
			} else {
				s.pop()
				if s.endValue() {
					return i + 1, true, nil
				}
			}
		}
		if s.state == broken {
			return i, false, s.err
		}
		i++
	}
	if s.state == broken {
		return 0, false, s.err
	}
	return len(p), false, nil
}

// Pending returns how many bytes are certainly still missing of the current reply, going by its headers so far: the rest of
// a string, and the least that the elements to come can take. It is 0 between replies. It may be as large as the server
// cares to announce, so the caller must cap what it allocates for it.
func (s *ReplyScanner) Pending() int {
	if s.state == idle || s.state == broken {
		return 0
	}
	sum := s.level.pending()
	for d := range s.depth {
		sum = saturatingAdd(sum, s.outer(d).pending())
	}
	switch s.state {
	case inLine:
		sum = saturatingAdd(sum, 2)
		if s.carriage {
			sum--
		}
	case inNumber:
		sum = saturatingAdd(sum, 2)
		if s.digits == 0 && s.number != streamed {
			sum = saturatingAdd(sum, 1)
		}
	case afterNumber, afterDot:
		sum = saturatingAdd(sum, 1)
	case inBody:
		sum = saturatingAdd(sum, s.left)
	case atChunk:
		sum = saturatingAdd(sum, int64(len(";0\r\n")))
	case inChunk:
		sum = saturatingAdd(sum, saturatingAdd(s.left, int64(len(";0\r\n"))))
	case atDot:
		sum = saturatingAdd(sum, 2)
	}
	return int(min(sum, math.MaxInt))
}

// pending is the least that the values still to come at this level can take.
func (l level) pending() int64 {
	const smallest = int64(len("_\r\n"))
	switch {
	case l.need == openEnded:
		return int64(len(".\r\n"))
	case l.need == oddEnded:
		return smallest + int64(len(".\r\n"))
	case l.need > math.MaxInt64/smallest:
		return math.MaxInt64
	}
	return l.need * smallest
}

// Reset makes the scanner ready for another stream.
func (s *ReplyScanner) Reset() { *s = ReplyScanner{MaxDepth: s.MaxDepth} }

// wholeLeaf is the quick path: the length of the value at the start of p, if that is no aggregate, lies whole in p and is
// written in the usual way; otherwise 0.
func wholeLeaf(p []byte) int {
	if len(p) < 3 {
		return 0
	}
	switch p[0] {
	case '$':
		digit := p[1] - '0'
		if digit > 9 {
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
