package resp

import (
	"bytes"
	"math"
)

// RequestParser finds requests in the byte stream of one client. Its zero value is ready, with [DefaultLimits].
//
// It accepts a stream exactly when redis-server does, and reads the same arguments from it. That includes what the server
// is lax about: it looks for '\r' at the end of a header line and skips the byte after it unseen, and skips two bytes
// after each argument unseen. Such a request is marked by Reencode, so that nobody downstream has to be as lax in exactly
// the same way.
//
// A RequestParser must not be used from several goroutines at once.
type RequestParser struct {
	// Limits applies to headers that have not been parsed yet; it may be changed between any two calls of Parse. A client's
	// requests after an AUTH must not be parsed before the AUTH has been answered, if its answer changes Limits.
	Limits Limits

	// Args are the arguments of the request that Parse has just found, empty for what a server ignores. Arguments of a
	// multibulk request are slices of Parse's buffer; those of an inline request are in memory of the parser. They are valid
	// until the next call of Parse or Reset, or until the buffer changes.
	Args [][]byte

	// Reencode says that the bytes of the request must not be forwarded as they are, because it was inline or lax: write it
	// anew with AppendRequest.
	Reencode bool

	stage   stage
	nul     bool // the current line holds a NUL, behind which the server never finds its end
	pos     int  // offset in the buffer of the current line or argument
	scanned int  // how many bytes of the current line are known not to end it
	count   int  // arguments of the request
	left    int  // arguments not yet complete, the current one included
	bulk    int  // length of the current argument
	have    int  // length of the buffer when Parse last asked for more
	err     *ProtocolError
	text    []byte // arguments of an inline request, one after the other
}

// stage is what pos points at.
type stage uint8

const (
	atStart  stage = iota // the first byte of a request
	inInline              // an inline request
	atCount               // "*3\r\n"
	atLength              // "$5\r\n"
	inBulk                // an argument and the two bytes behind it
	failed                // the stream is broken; err says how
)

// Argument slots and inline text beyond these sizes are given back after the request that needed them. A request with
// more arguments than that costs an allocation; one connection in a thousand holding megabytes for ever costs more.
const (
	keptArgs = 1024
	keptText = 4096
)

// smallestArg is the least number of bytes an argument takes: "$0\r\n\r\n".
const smallestArg = 6

// Parse examines buf, whose first byte is the first one not consumed yet.
//
// If n > 0, buf[:n] is one whole request; Args and Reencode describe it. Args is empty for what a server ignores: an empty
// line, or a count of zero or less.
//
// If n == 0 and err is nil, more bytes are needed. The next call must pass the same bytes with more appended, though they
// may have moved in memory. The parser resumes where it stopped.
//
// err is a [*ProtocolError], and stays until Reset.
func (p *RequestParser) Parse(buf []byte) (n int, err error) {
	if p.stage == atStart {
		if cap(p.Args) > keptArgs || cap(p.text) > keptText {
			p.release()
		}
		p.Args = p.Args[:0]
		p.Reencode = false
		if n := p.parseStrict(buf); n > 0 {
			return n, nil
		}
	}
	return p.resume(buf)
}

// Missing returns a lower bound of how many more bytes the incomplete request needs after Parse asked for more: at least 1,
// and as large as a client cares to announce within Limits, so the caller must cap what it allocates for it.
func (p *RequestParser) Missing() int {
	n := int64(1)
	switch p.stage {
	case atLength:
		n = smallestArg*int64(p.left) - int64(p.have-p.pos)
	case inBulk:
		rest := int64(p.bulk) - int64(p.have-p.pos) // >= -1
		tail := 2 + smallestArg*int64(p.left-1)
		if rest > math.MaxInt64-tail {
			return math.MaxInt
		}
		n = rest + tail
	}
	return int(min(max(n, 1), math.MaxInt))
}

// Reset makes the parser ready for another stream with the same Limits, and gives back memory beyond a small amount.
func (p *RequestParser) Reset() {
	args, text := p.Args[:0], p.text[:0]
	clear(args[:cap(args)]) // so that the parser keeps no buffer alive
	*p = RequestParser{Limits: p.Limits, Args: args, text: text}
	if cap(args) > keptArgs || cap(text) > keptText {
		p.release()
	}
}

// release gives back memory that only an unusual request needed.
func (p *RequestParser) release() {
	if cap(p.Args) > keptArgs {
		p.Args = nil
	}
	if cap(p.text) > keptText {
		p.text = nil
	}
}

// parseStrict is the quick path: a multibulk request that lies whole in buf and is written as every client library writes
// it. It returns its length. On anything else it returns 0, with the state set such that resume continues at the first
// thing not understood.
func (p *RequestParser) parseStrict(buf []byte) int {
	if len(buf) < 4 || buf[0] != '*' {
		return 0
	}
	digit := buf[1] - '0'
	if digit == 0 || digit > 9 {
		return 0
	}
	count, pos := int(digit), 2
	for pos < len(buf) {
		digit = buf[pos] - '0'
		if digit > 9 {
			break
		}
		if count = count*10 + int(digit); count > math.MaxInt32 {
			return 0
		}
		pos++
	}
	if pos+1 >= len(buf) || buf[pos] != '\r' || buf[pos+1] != '\n' || count > p.Limits.args() {
		return 0
	}
	pos += 2

	maxBulk := p.Limits.bulk()
	args := p.Args
	if args == nil {
		args = make([][]byte, 0, 8)
	}
	for left := count; ; left-- {
		if left == 0 {
			p.Args = args
			return pos
		}
		start, end := strictBulk(buf, pos)
		if end < 0 || int64(end-start) > maxBulk {
			p.stage, p.pos, p.scanned, p.nul, p.count, p.left = atLength, pos, 0, false, count, left
			p.Args = args[:0]
			return 0
		}
		args = append(args, buf[start:end:end])
		pos = end + 2
	}
}

// strictBulk finds the argument whose header "$n\r\n" starts at pos. It returns end < 0 if the argument is not wholly in
// buf or not written in the usual way.
func strictBulk(buf []byte, pos int) (start, end int) {
	b := buf[pos:]
	if len(b) < smallestArg || b[0] != '$' {
		return 0, -1
	}
	digit := b[1] - '0'
	if digit > 9 {
		return 0, -1
	}
	n, i := int(digit), 2
	if n != 0 {
		for i < len(b) {
			digit = b[i] - '0'
			if digit > 9 {
				break
			}
			if n = n*10 + int(digit); n > math.MaxInt32 {
				return 0, -1
			}
			i++
		}
	}
	last := i + 2 + n + 1 // where the '\n' behind the argument is
	if last >= len(b) || b[i] != '\r' || b[i+1] != '\n' || b[last-1] != '\r' || b[last] != '\n' {
		return 0, -1
	}
	return pos + i + 2, pos + last - 1
}

// resume is the careful path: any request, from any stage, one stage after the other.
func (p *RequestParser) resume(buf []byte) (int, error) {
	for {
		switch p.stage {
		case atStart:
			if len(buf) == 0 {
				p.have = 0
				return 0, nil
			}
			p.pos, p.scanned, p.nul = 0, 0, false
			p.stage = inInline
			if buf[0] == '*' {
				p.stage = atCount
			}

		case inInline:
			end, err := p.lineEnd(buf, '\n', errTooBigInline)
			if end < 0 {
				return p.stop(buf, err)
			}
			line := buf[:end]
			if end > 0 && line[end-1] == '\r' {
				line = line[:end-1]
			}
			if !p.splitInline(line) {
				return p.stop(buf, errUnbalancedQuotes)
			}
			p.Reencode = true
			p.stage = atStart
			return end + 1, nil

		case atCount:
			n, next, err := p.header(buf, errTooBigCount, errInvalidCount)
			if next < 0 {
				return p.stop(buf, err)
			}
			if n <= 0 {
				p.stage = atStart
				return next, nil
			}
			if err := p.Limits.checkCount(n); err != nil {
				return p.stop(buf, err)
			}
			p.count, p.left = int(n), int(n)
			p.stage, p.pos = atLength, next

		case atLength:
			n, next, err := p.header(buf, errTooBigBulkHeader, errInvalidBulk)
			if next < 0 {
				return p.stop(buf, err)
			}
			if n < 0 {
				return p.stop(buf, errInvalidBulk)
			}
			if err := p.Limits.checkBulk(n); err != nil {
				return p.stop(buf, err)
			}
			p.bulk = int(n)
			p.stage, p.pos = inBulk, next

		case inBulk:
			if len(buf)-p.pos-2 < p.bulk {
				return p.stop(buf, nil)
			}
			end := p.pos + p.bulk
			if buf[end] != '\r' || buf[end+1] != '\n' {
				p.Reencode = true
			}
			p.pos = end + 2
			if p.left--; p.left == 0 {
				p.collect(buf)
				p.stage = atStart
				return p.pos, nil
			}
			p.stage = atLength

		case failed:
			return 0, p.err
		}
	}
}

// stop ends a call of Parse that found no whole request: more bytes are needed, or err.
func (p *RequestParser) stop(buf []byte, err *ProtocolError) (int, error) {
	p.have = len(buf)
	p.Args = p.Args[:0]
	if err != nil {
		p.stage, p.err = failed, err
		return 0, err
	}
	return 0, nil
}

// header reads the number of the line at pos. next is the offset behind the line, or < 0 when the line is incomplete (err
// is nil) or wrong.
func (p *RequestParser) header(buf []byte, tooBig, invalid *ProtocolError) (n int64, next int, err *ProtocolError) {
	end, err := p.lineEnd(buf, '\r', tooBig)
	if end < 0 {
		return 0, -1, err
	}
	if end+1 >= len(buf) {
		p.scanned = end - p.pos // look at the '\r' again when the byte behind it is here
		return 0, -1, nil
	}
	// The server gets to see a wrong first byte only now, with the line complete.
	if p.stage == atLength && buf[p.pos] != '$' {
		return 0, -1, errExpectedBulk(buf[p.pos])
	}
	n, ok := parseInt(buf[p.pos+1 : end])
	if !ok {
		return 0, -1, invalid
	}
	if buf[end+1] != '\n' {
		p.Reencode = true
	}
	p.scanned = 0
	return n, end + 2, nil
}

// lineEnd finds the end of the line at pos, as strchr(3) does for the server: a NUL hides what comes after it, so a line
// with a NUL is never found and at last is too big. It returns -1 when there is no end yet.
//
// The server looks for the end in all it has read, so how long a line it accepts depends on how the bytes arrive. Here a
// line is too big when it is longer than the limit, which is what the server does with bytes that arrive singly.
func (p *RequestParser) lineEnd(buf []byte, end byte, tooBig *ProtocolError) (int, *ProtocolError) {
	window := buf[p.pos:]
	limit := p.Limits.inline()
	over := len(window) > limit
	if over {
		window = window[:limit+1]
	}
	p.scanned = min(p.scanned, len(window)) // Limits may have been lowered since
	if fresh := window[p.scanned:]; !p.nul {
		i := bytes.IndexByte(fresh, end)
		if i >= 0 {
			fresh = fresh[:i]
		}
		if bytes.IndexByte(fresh, 0) >= 0 {
			p.nul = true
		} else if i >= 0 {
			return p.pos + p.scanned + i, nil
		}
		p.scanned = len(window)
	}
	if over {
		return -1, tooBig
	}
	return -1, nil
}

// collect fills Args from the complete and checked request in buf. Walking over the headers a second time is cheaper than
// remembering where each argument was: nothing has to be stored while a request of a million arguments arrives.
func (p *RequestParser) collect(buf []byte) {
	args := p.Args[:0]
	if cap(args) < p.count {
		args = make([][]byte, 0, max(p.count, 8))
	}
	pos := bytes.IndexByte(buf, '\r') + 2
	for range p.count {
		length := 0
		pos++
		for ; buf[pos] != '\r'; pos++ {
			length = length*10 + int(buf[pos]-'0')
		}
		pos += 2
		args = append(args, buf[pos:pos+length:pos+length])
		pos += length + 2
	}
	p.Args = args
}

// parseInt reads a decimal number as strictly as the server's string2ll: no sign but '-', no leading zeros, no space.
func parseInt(s []byte) (int64, bool) {
	if len(s) == 1 && s[0] == '0' {
		return 0, true
	}
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	// 19 digits cannot overflow the uint64 below.
	if len(s) == 0 || len(s) > 19 || s[0] == '0' {
		return 0, false
	}
	var v uint64
	for _, c := range s {
		if c -= '0'; c > 9 {
			return 0, false
		} else {
			v = v*10 + uint64(c)
		}
	}
	if negative {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v <= math.MaxInt64
}
