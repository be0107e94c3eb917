package listing

import (
	"errors"
	"fmt"

	"github.com/understudy/understudy/resp"
)

var errTruncated = errors.New("the reply is cut short")

// value is a decoded reply with what this package asks of one. An array, a set and a map are lists alike, a map one of
// names and values in turn, so that both protocol versions read the same.
type value struct{ resp.Value }

// decode reads the one reply at the start of buf.
func decode(buf []byte) (value, error) {
	v, n, err := resp.Decode(buf)
	if err != nil {
		return value{}, err
	}
	if n == 0 {
		return value{}, errTruncated
	}
	if v.IsError() {
		return value{}, fmt.Errorf("the server says: %s", v.Str)
	}
	return value{v}, nil
}

// len is the number of elements.
func (v value) len() int { return len(v.Array) }

// at is the element at an index.
func (v value) at(i int) value { return value{v.Array[i]} }

// text copies the string, which would otherwise keep the whole reply in memory.
func (v value) text() string { return string(v.Str) }

// field is the value under a name in a list of names and values in turn, or an empty one.
func (v value) field(name string) value {
	for i := 0; i+1 < len(v.Array); i += 2 {
		if string(v.Array[i].Str) == name {
			return value{v.Array[i+1]}
		}
	}
	return value{}
}

func (v value) number() (int, error) {
	if v.Kind != ':' {
		return 0, fmt.Errorf("%q is not a number", v.Str)
	}
	return int(v.Int), nil
}

// numberFields reads numbers by name. One that is missing is an error, since 0 has a meaning of its own.
func (v value) numberFields(into map[string]*int) error {
	for name, n := range into {
		var err error
		if *n, err = v.field(name).number(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
