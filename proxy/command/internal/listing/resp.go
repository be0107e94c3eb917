package listing

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxDepth bounds nesting. COMMAND DOCS nests deepest, by about ten levels for the arguments of arguments.
const maxDepth = 32

var errTruncated = errors.New("reply is cut short")

// value is a decoded reply. An aggregate of any kind is a list of its elements; a map is a list of keys and values in turn.
type value struct {
	kind byte // the type byte of the protocol
	text string
	list []value
}

// decode reads the one reply at the start of buf. A large reply is decoded once per connection to a master at most, so
// this copies strings rather than keeping the buffer alive.
func decode(buf []byte) (value, error) {
	d := decoder{rest: buf}
	return d.value(0)
}

type decoder struct{ rest []byte }

func (d *decoder) line() ([]byte, error) {
	i := bytes.Index(d.rest, []byte("\r\n"))
	if i < 1 {
		return nil, errTruncated
	}
	line := d.rest[:i]
	d.rest = d.rest[i+2:]
	return line, nil
}

func (d *decoder) value(depth int) (value, error) {
	line, err := d.line()
	if err != nil {
		return value{}, err
	}
	v := value{kind: line[0]}
	switch v.kind {
	case '+', '-', ':', ',', '#', '_', '(':
		v.text = string(line[1:])
		return v, nil
	case '$', '=', '!':
		n, err := strconv.Atoi(string(line[1:]))
		if err != nil || n < -1 {
			return value{}, fmt.Errorf("bad length %q in reply", line)
		}
		if n == -1 {
			return v, nil
		}
		// Not n+2 > len: a hostile length near the largest int would wrap around.
		if n > len(d.rest)-2 {
			return value{}, errTruncated
		}
		v.text = string(d.rest[:n])
		d.rest = d.rest[n+2:]
		return v, nil
	case '*', '~', '>', '%':
		return d.aggregate(v, line, depth)
	default:
		return value{}, fmt.Errorf("unexpected byte %q in reply", line[0])
	}
}

func (d *decoder) aggregate(v value, line []byte, depth int) (value, error) {
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < -1 {
		return value{}, fmt.Errorf("bad length %q in reply", line)
	}
	if depth == maxDepth {
		return value{}, fmt.Errorf("reply is nested more than %d levels deep", maxDepth)
	}
	// Every element takes at least three bytes ("_\r\n"), so a larger count is a lie and must not be allocated for.
	if n > len(d.rest)/3 {
		return value{}, errTruncated
	}
	if v.kind == '%' {
		n *= 2
	}
	for range max(n, 0) {
		e, err := d.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.list = append(v.list, e)
	}
	return v, nil
}

// field returns the value under a name in a list of names and values in turn.
func (v value) field(name string) value {
	for i := 0; i+1 < len(v.list); i += 2 {
		if v.list[i].text == name {
			return v.list[i+1]
		}
	}
	return value{}
}

func (v value) number() (int, error) {
	n, err := strconv.Atoi(v.text)
	if err != nil {
		return 0, fmt.Errorf("%q in reply is not a number", v.text)
	}
	return n, nil
}

// numberField is field for numbers; a name that is missing is an error, since 0 has a meaning of its own.
func (v value) numberField(name string) (int, error) {
	n, err := v.field(name).number()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}
