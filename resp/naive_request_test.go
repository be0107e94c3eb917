package resp

import (
	"bytes"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// The parsers here are written to be obviously right and nothing else: they look at all bytes from the start each time, and
// share no code with the package.

// outcome is one request as a server sees it.
type outcome struct {
	args     []string
	bytes    int
	reencode bool
}

func (o outcome) String() string {
	return fmt.Sprintf("%.200q (%d bytes, reencode %v)", o.args, o.bytes, o.reencode)
}

// naiveRequests takes all whole requests from stream. The rest is what an incomplete or refused request starts with.
func naiveRequests(stream string, l Limits) (requests []outcome, rest, errText string) {
	for stream != "" {
		var o outcome
		if stream[0] == '*' {
			o, errText = naiveMultibulk(stream, l)
		} else {
			o, errText = naiveInline(stream, l)
		}
		if o.bytes == 0 {
			break
		}
		requests = append(requests, o)
		stream = stream[o.bytes:]
	}
	return requests, stream, errText
}

// naiveLine is the line of s up to end, or false if there is none (yet, or ever).
func naiveLine(s, end string, max int) (line string, found, tooBig bool) {
	visible, _, _ := strings.Cut(s, "\x00")
	line, _, found = strings.Cut(visible, end)
	if found && len(line) <= max {
		return line, true, false
	}
	return "", false, len(s) > max
}

func naiveInline(s string, l Limits) (o outcome, errText string) {
	line, found, tooBig := naiveLine(s, "\n", l.MaxInline)
	if tooBig {
		return o, "Protocol error: too big inline request"
	}
	if !found {
		return o, ""
	}
	args, ok := naiveSplit(strings.TrimSuffix(line, "\r"))
	if !ok {
		return o, "Protocol error: unbalanced quotes in request"
	}
	return outcome{args, len(line) + 1, true}, ""
}

// naiveSplit is a state machine over single characters.
func naiveSplit(line string) (args []string, ok bool) {
	const between, word, double, single, closed = 0, 1, 2, 3, 4
	state := between
	current := ""
	for line != "" {
		c := line[0]
		skip := 1
		space := strings.ContainsRune(" \t\n\v\f\r", rune(c))
		switch state {
		case closed:
			if !space {
				return nil, false
			}
			state = between
		case between:
			if space {
				break
			}
			current, state = "", word
			skip = 0
		case word:
			switch {
			case strings.ContainsRune(" \t\n\r", rune(c)):
				args = append(args, current)
				state = between
			case c == '"':
				state = double
			case c == '\'':
				state = single
			default:
				current += line[:1]
			}
		case double:
			hex, err := strconv.ParseUint(fmt.Sprintf("%.2s", line[min(2, len(line)):]), 16, 8)
			isHex := err == nil && len(line) >= 4 && !strings.ContainsAny(line[2:4], "+-_")
			switch {
			case strings.HasPrefix(line, `\x`) && isHex:
				current += string([]byte{byte(hex)})
				skip = 4
			case c == '\\' && len(line) > 1:
				if escaped := strings.IndexByte("nrtba", line[1]); escaped >= 0 {
					current += "\n\r\t\b\a"[escaped : escaped+1]
				} else {
					current += line[1:2]
				}
				skip = 2
			case c == '"':
				args = append(args, current)
				state = closed
			default:
				current += line[:1]
			}
		case single:
			switch {
			case strings.HasPrefix(line, `\'`):
				current += "'"
				skip = 2
			case c == '\'':
				args = append(args, current)
				state = closed
			default:
				current += line[:1]
			}
		}
		line = line[skip:]
	}
	if state == word {
		args = append(args, current)
	}
	return args, state != double && state != single
}

// naiveNumber converts with big integers and then asks whether that is how the number is written.
func naiveNumber(s string) (*big.Int, bool) {
	n, ok := new(big.Int).SetString(s, 10)
	return n, ok && n.String() == s && n.IsInt64()
}

func naiveMultibulk(s string, l Limits) (o outcome, errText string) {
	all := s
	line, found, tooBig := naiveLine(s, "\r", l.MaxInline)
	if tooBig {
		return o, "Protocol error: too big mbulk count string"
	}
	if !found || len(s) < len(line)+2 {
		return o, ""
	}
	count, ok := naiveNumber(line[1:])
	switch {
	case !ok || count.Cmp(big.NewInt(1<<31-1)) > 0:
		return o, "Protocol error: invalid multibulk length"
	case count.Cmp(big.NewInt(int64(l.MaxArgs))) > 0 && l.Unauthenticated:
		return o, "Protocol error: unauthenticated multibulk length"
	case count.Cmp(big.NewInt(int64(l.MaxArgs))) > 0:
		return o, "Protocol error: invalid multibulk length"
	}
	lax := s[len(line)+1] != '\n'
	s = s[len(line)+2:]
	var args []string
	for i := int64(0); i < count.Int64(); i++ {
		line, found, tooBig := naiveLine(s, "\r", l.MaxInline)
		if tooBig {
			return o, "Protocol error: too big bulk count string"
		}
		if !found || len(s) < len(line)+2 {
			return o, ""
		}
		if s[0] != '$' {
			got := strings.NewReplacer("\r", " ", "\n", " ").Replace(s[:1])
			return o, "Protocol error: expected '$', got '" + got + "'"
		}
		length, ok := naiveNumber(line[1:])
		switch {
		case !ok || length.Sign() < 0 || length.Cmp(big.NewInt(512<<20)) > 0:
			return o, "Protocol error: invalid bulk length"
		case length.Cmp(big.NewInt(l.MaxBulk)) > 0 && l.Unauthenticated:
			return o, "Protocol error: unauthenticated bulk length"
		case length.Cmp(big.NewInt(l.MaxBulk)) > 0:
			return o, "Protocol error: invalid bulk length"
		}
		lax = lax || s[len(line)+1] != '\n'
		s = s[len(line)+2:]
		n := int(length.Int64())
		if len(s) < n+2 {
			return o, ""
		}
		args = append(args, s[:n])
		lax = lax || s[n:n+2] != "\r\n"
		s = s[n+2:]
	}
	return outcome{args, len(all) - len(s), lax}, ""
}

// quote shows the start of a stream in a failure.
func quote(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%q... (%d bytes)", s[:200], len(s))
	}
	return strconv.Quote(s)
}

// equalRequests compares what two parsers found.
func equalRequests(a, b []outcome) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].bytes != b[i].bytes || len(a[i].args) != len(b[i].args) {
			return false
		}
		// What is ignored is never forwarded, so how it was written does not matter.
		if len(a[i].args) > 0 && a[i].reencode != b[i].reencode {
			return false
		}
		for j := range a[i].args {
			if a[i].args[j] != b[i].args[j] {
				return false
			}
		}
	}
	return true
}

// requestsOf runs a RequestParser over stream, given to it in pieces whose lengths next yields. The unconsumed bytes move in
// memory before every call, and the old ones are overwritten.
func requestsOf(stream string, l Limits, next func() int) (requests []outcome, rest, errText string) {
	p := RequestParser{Limits: l}
	var buf []byte
	for {
		n, err := p.Parse(buf)
		if err != nil {
			return requests, string(buf) + stream, err.Error()
		}
		if n > 0 {
			o := outcome{bytes: n, reencode: p.Reencode}
			for _, arg := range p.Args {
				o.args = append(o.args, string(arg))
			}
			requests = append(requests, o)
			buf = buf[n:]
			continue
		}
		if len(p.Args) != 0 {
			return nil, "", fmt.Sprintf("incomplete request has %d arguments", len(p.Args))
		}
		if p.Missing() < 1 {
			return nil, "", fmt.Sprintf("incomplete request misses %d bytes", p.Missing())
		}
		if stream == "" {
			return requests, string(buf), ""
		}
		k := min(max(next(), 1), len(stream))
		moved := append(bytes.Clone(buf), stream[:k]...)
		clear(buf)
		buf, stream = moved, stream[k:]
	}
}
