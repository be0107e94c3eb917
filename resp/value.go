package resp

import (
	"bytes"
	"strconv"
)

// Value is a decoded reply. Its text is slices of the buffer it was decoded from, except for that of streamed strings.
type Value struct {
	// Kind is the type byte: one of + - : $ * _ # , ( ! = % ~ >
	Kind byte
	// Null is true for the null of RESP3 and for RESP2's null bulk string and null array.
	Null bool
	// Int is the value of an integer, and 1 for true.
	Int int64
	// Str is the text of everything that has any: strings, errors, and numbers as they were written.
	Str []byte
	// Format is what a verbatim string says of itself, such as "txt".
	Format string
	// Array are the elements of an array, set or push message, and keys and values of a map in turn.
	Array []Value
	// Attr are keys and values, in turn, of the attributes that preceded the value.
	Attr []Value
}

// IsError reports whether the value is an error, simple or blob.
func (v *Value) IsError() bool { return v.Kind == '-' || v.Kind == '!' }

// Decode decodes the reply or request at the start of buf and returns how many bytes it took: 0 if buf does not hold all of
// it. Each call begins anew, so for a reply that is still arriving find its end with a [ReplyScanner] first. err is a
// [*ProtocolError].
func Decode(buf []byte) (v Value, n int, err error) {
	var scanner ReplyScanner
	n, done, err := scanner.Scan(buf)
	if err != nil || !done {
		return Value{}, 0, err
	}
	// All counts and lengths below are true, because the scanner has seen what they count.
	d := decoder{rest: buf[:n]}
	v = d.value()
	if d.err != nil {
		return Value{}, 0, d.err
	}
	return v, n, nil
}

var (
	errValueInt      = &ProtocolError{"Protocol error: reply with an invalid integer"}
	errValueDouble   = &ProtocolError{"Protocol error: reply with an invalid double"}
	errValueBool     = &ProtocolError{"Protocol error: reply with an invalid boolean"}
	errValueNull     = &ProtocolError{"Protocol error: reply with an invalid null"}
	errValueVerbatim = &ProtocolError{"Protocol error: reply with an invalid verbatim string"}
)

// decoder reads values from bytes whose framing has been checked. The first error about content stays in err.
type decoder struct {
	rest []byte
	err  *ProtocolError
}

// value reads one value, attributes first.
func (d *decoder) value() Value {
	kind, head := d.head()
	if kind == '|' {
		attr := d.elements(2 * number(head))
		v := d.value()
		v.Attr = append(attr, v.Attr...)
		return v
	}
	v := Value{Kind: kind}
	switch kind {
	case '+', '-', '(':
		v.Str = head
	case ':':
		v.Str, v.Int = head, d.integer(head)
	case ',':
		v.Str = head
		if _, err := strconv.ParseFloat(string(head), 64); err != nil {
			d.fail(errValueDouble)
		}
	case '#':
		v.Str = head
		if s := string(head); s == "t" {
			v.Int = 1
		} else if s != "f" {
			d.fail(errValueBool)
		}
	case '_':
		v.Null = true
		if len(head) > 0 {
			d.fail(errValueNull)
		}
	case '$', '!', '=':
		v.Null = head[0] == '-'
		if !v.Null {
			v.Str = d.text(head)
		}
		if kind == '=' {
			if len(v.Str) < 4 || v.Str[3] != ':' {
				d.fail(errValueVerbatim)
				return v
			}
			v.Format, v.Str = string(v.Str[:3]), v.Str[4:]
		}
	default: // aggregates
		v.Null = head[0] == '-'
		n := number(head)
		if kind == '%' {
			n *= 2
		}
		if head[0] == '?' {
			v.Array = d.untilDot()
		} else if !v.Null {
			v.Array = d.elements(n)
		}
	}
	return v
}

// head takes the first line of a value: its type byte and what follows up to the end of the line.
func (d *decoder) head() (kind byte, line []byte) {
	end := bytes.Index(d.rest, []byte("\r\n"))
	kind, line = d.rest[0], d.rest[1:end:end]
	d.rest = d.rest[end+2:]
	return kind, line
}

// text takes the content of a string with the given header.
func (d *decoder) text(head []byte) []byte {
	if head[0] != '?' {
		return d.take(number(head))
	}
	text := []byte{}
	for {
		_, head := d.head()
		n := number(head)
		if n == 0 {
			return text
		}
		text = append(text, d.take(n)...)
	}
}

// take takes n bytes and the end of line behind them.
func (d *decoder) take(n int) []byte {
	text := d.rest[:n:n]
	d.rest = d.rest[n+2:]
	return text
}

// elements takes n values.
func (d *decoder) elements(n int) []Value {
	values := make([]Value, 0, n)
	for range n {
		values = append(values, d.value())
	}
	return values
}

// untilDot takes the values of a streamed aggregate and its end.
func (d *decoder) untilDot() []Value {
	values := []Value{}
	for d.rest[0] != '.' {
		values = append(values, d.value())
	}
	d.head()
	return values
}

// integer converts the text of an integer.
func (d *decoder) integer(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		d.fail(errValueInt)
	}
	return n
}

// fail keeps the first error.
func (d *decoder) fail(err *ProtocolError) {
	if d.err == nil {
		d.err = err
	}
}

// number converts a length or count that has been checked; "-1" and "?" count as 0.
func number(text []byte) int {
	n, ok := parseInt(text)
	if !ok || n < 0 {
		return 0
	}
	return int(n)
}

// ErrorCode returns the code of an error reply, such as "READONLY" of "-READONLY You can't write against a read only
// replica.\r\n", also for the blob errors of RESP3. It returns nil if the frame is no error.
func ErrorCode(frame []byte) []byte {
	if len(frame) == 0 {
		return nil
	}
	text := frame[1:]
	switch frame[0] {
	case '-':
	case '!':
		text = text[bytes.IndexByte(text, '\n')+1:]
	default:
		return nil
	}
	if i := bytes.IndexAny(text, " \r\n"); i >= 0 {
		text = text[:i]
	}
	return text
}
