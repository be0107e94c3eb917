package resp

import "math"

// DefaultMaxDepth is how deep aggregates in a reply may nest unless the scanner says otherwise. The replies of commands nest
// a few levels; a Lua script can return tables as deep as Lua's stack allows, which in redis-server 7.0 is 7995 levels.
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
	// MaxValues is how many values the aggregates of one reply may announce in all; 0 means any number. It is for readers
	// that make room for what is announced. It may be changed between replies.
	MaxValues int64

	state      replyState
	kind       byte  // type of the value whose header is being read
	attributed bool  // an attribute has ended and the value it belongs to has not begun
	carriage   bool  // inLine: the byte before was '\r'
	digits     uint8 // inNumber: how many have been read
	minus      bool  // inNumber: the number began with '-'
	number     int64 // inNumber: its magnitude; streamed is "?"
	left       int64 // inBody, inChunk: bytes to come, the last two of them "\r\n"

	values int64    // announced by the aggregates of this reply, if there is a limit
	level  level    // the aggregate being read, or at depth 0 the reply itself
	depth  int      // how many levels are open around level
	near   [6]level // the first of them
	far    []level  // the others
	err    *ProtocolError
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
	errReplyValues    = &ProtocolError{"Protocol error: reply with too many values"}
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
		if n := WholeLeaf(p); n > 0 {
			return n, true, nil
		}
		if len(p) == 0 {
			return 0, false, nil
		}
		s.level, s.values = level{need: 1}, 0
		s.state = atValue
	}
	i := 0
	for i < len(p) {
		switch s.state {
		case atValue:
			if n := WholeLeaf(p[i:]); n > 0 {
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
func (s *ReplyScanner) Reset() { *s = ReplyScanner{MaxDepth: s.MaxDepth, MaxValues: s.MaxValues} }
