package topology

import (
	"bytes"
	"strings"
	"testing"
)

func TestAStateWithDurableWritesIsRefusedByVersionsThatWouldLoseThem(t *testing.T) {
	plain := example()
	durable := example()
	durable.Durable = &Durable{Acks: 1, Holders: []Holder{{Addr: "r:1", RunID: "run"}}}
	for _, c := range []struct {
		what   string
		state  *State
		format string
	}{
		{"without durable writes", plain, `"format": 1,`}, // an older build reads it
		{"with durable writes", durable, `"format": 2,`},  // an older build, which understands 1, refuses it
	} {
		data, err := Encode(c.state)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), c.format) {
			t.Errorf("%s: %s has no %s", c.what, data, c.format)
		}
		read, err := Decode(data)
		if err != nil || !read.Equal(c.state) {
			t.Errorf("%s: read is %+v, %v", c.what, read, err)
		}
	}
	// What was written before the format grew is read, and written as it should have been.
	data, err := Encode(durable)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Decode(bytes.Replace(data, []byte(`"format": 2,`), []byte(`"format": 1,`), 1))
	if err != nil || !read.Equal(durable) {
		t.Errorf("the state of before is read as %+v, %v", read, err)
	}
	if durable.Format != Format {
		t.Errorf("encoding has changed the State: format %d", durable.Format)
	}
}
