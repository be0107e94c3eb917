package command

import (
	"strings"
	"testing"
)

func TestARequestThatNamesNothingIsAnUnknownWrite(t *testing.T) {
	for _, args := range [][][]byte{nil, {}, {nil}, {[]byte("")}, {[]byte("CONFIG|GET")}, {[]byte("GET\x00")}, {[]byte("\xc7\xc5\xd4")}, {[]byte("G\x05T")}} {
		c, class := Builtin().Classify(args)
		if c.Known() || class != Write || c.Keyed() || !c.Script() || !c.Unbounded(args) {
			t.Errorf("%q is %+v of class %v", args, c, class)
		}
	}
}

func TestNamesAreFoundWhateverTheirCaseAndLength(t *testing.T) {
	for c := range Builtin().All() {
		for _, name := range []string{c.Name, strings.ToLower(c.Name), strings.ToLower(c.Name[:1]) + c.Name[1:]} {
			if got := Builtin().Lookup(words(strings.ReplaceAll(name, "|", " "))); got != c {
				t.Errorf("%s is found as %q", name, got.Name)
			}
		}
		// Every byte counts, in long names too.
		for i := range c.Name {
			for _, change := range []byte{0x20, 0x80, 0x01} {
				name := []byte(c.Name)
				if name[i] == '|' || change == 0x20 && 'A' <= name[i] && name[i] <= 'Z' {
					continue
				}
				name[i] ^= change
				parts := strings.SplitN(string(name), "|", 2)
				args := [][]byte{[]byte(parts[0])}
				if len(parts) == 2 {
					args = append(args, []byte(parts[1]))
				}
				if got := Builtin().Lookup(args); got == c {
					t.Errorf("%q is found as %s", name, c.Name)
				}
			}
		}
	}
}
