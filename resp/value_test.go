package resp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// show writes a value in a notation of its own, every field of it.
func show(v Value) string {
	var b strings.Builder
	if v.Attr != nil {
		fmt.Fprintf(&b, "@%s", showAll(v.Attr))
	}
	fmt.Fprintf(&b, "%c", v.Kind)
	switch {
	case v.Null:
		b.WriteString("null")
	case v.Array != nil:
		b.WriteString(showAll(v.Array))
	case v.Kind == ':' || v.Kind == '#':
		fmt.Fprintf(&b, "%d", v.Int)
	default:
		fmt.Fprintf(&b, "%s%q", v.Format, v.Str)
	}
	return b.String()
}

func showAll(values []Value) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = show(v)
	}
	return "[" + strings.Join(all, " ") + "]"
}

func TestDecodeUnderstandsEveryType(t *testing.T) {
	for reply, want := range map[string]string{
		"+OK\r\n":                        `+"OK"`,
		"+a\rb\nc\r\n":                   `+"a\rb\nc"`,
		"-ERR x\r\n":                     `-"ERR x"`,
		":-12\r\n":                       `:-12`,
		"$3\r\na\r\n\r\n":                `$"a\r\n"`,
		"$0\r\n\r\n":                     `$""`,
		"$-1\r\n":                        `$null`,
		"*-1\r\n":                        `*null`,
		"_\r\n":                          `_null`,
		"#t\r\n":                         `#1`,
		"#f\r\n":                         `#0`,
		",1.5\r\n":                       `,"1.5"`,
		",-inf\r\n":                      `,"-inf"`,
		",nan\r\n":                       `,"nan"`,
		"(12345678901234567890\r\n":      `("12345678901234567890"`,
		"!5\r\nERR x\r\n":                `!"ERR x"`,
		"=7\r\ntxt:a\r\n\r\n":            `=txt"a\r\n"`,
		"*0\r\n":                         `*[]`,
		"*2\r\n:1\r\n*1\r\n+a\r\n":       `*[:1 *[+"a"]]`,
		"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n": `%[+"a" :1 +"b" :2]`,
		"~1\r\n+a\r\n":                   `~[+"a"]`,
		">2\r\n+a\r\n+b\r\n":             `>[+"a" +"b"]`,
		"|1\r\n+a\r\n:1\r\n+x\r\n":       `@[+"a" :1]+"x"`,
		"|1\r\n:1\r\n:2\r\n|1\r\n:3\r\n:4\r\n_\r\n": `@[:1 :2 :3 :4]_null`,
		"*2\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n":      `*[:1 @[+"a" :1]:2]`,
		"$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n":       `$"abc"`,
		"*?\r\n:1\r\n:2\r\n.\r\n":                   `*[:1 :2]`,
		"%?\r\n+a\r\n~?\r\n.\r\n.\r\n":              `%[+"a" ~[]]`,
		"*2\r\n$-1\r\n-ERR in an array\r\n":         `*[$null -"ERR in an array"]`,
	} {
		v, n, err := Decode([]byte(reply + "+next\r\n"))
		if got := show(v); got != want || n != len(reply) || err != nil {
			t.Errorf("%q: got %s, %d bytes, error %v; want %s", reply, got, n, err, want)
		}
	}
}

func TestDecodeWaitsForTheWholeReply(t *testing.T) {
	for _, reply := range oddReplies {
		for end := 0; end < len(reply); end++ {
			if v, n, err := Decode([]byte(reply[:end])); n != 0 || err != nil {
				t.Fatalf("%q: got %s, %d bytes, error %v", reply[:end], show(v), n, err)
			}
		}
		if _, n, err := Decode([]byte(reply)); n != len(reply) || err != nil {
			t.Errorf("%s: %d bytes, error %v", quote(reply), n, err)
		}
	}
}

func TestDecodeRefusesWhatIsNoReply(t *testing.T) {
	contents := []string{":\r\n", ":1x\r\n", ":9223372036854775808\r\n", ",\r\n", ",x\r\n", "#\r\n", "#x\r\n", "_x\r\n", "=3\r\ntxt\r\n", "=4\r\ntext\r\n", "*1\r\n:x\r\n"}
	for _, stream := range append(contents, brokenReplies...) {
		if v, n, err := Decode([]byte(stream)); n != 0 || err == nil {
			t.Errorf("%s: got %s, %d bytes, error %v", quote(stream), show(v), n, err)
		}
	}
}

func TestDecodeFindsTheSameEndsAsTheScanner(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 5000 {
		reply := randomReply(rng, 4)
		if _, n, err := Decode([]byte(reply + ":1\r\n")); n != len(reply) || err != nil {
			t.Fatalf("%q: %d bytes, error %v; want %d", reply, n, err, len(reply))
		}
	}
}

func TestDecodeAllocatesByBytesNotByAnnouncement(t *testing.T) {
	buf := []byte("*1000000000\r\n*1000000000\r\n$1000000000\r\nabc")
	if got := allocated(func() {
		if _, n, err := Decode(buf); n != 0 || err != nil {
			t.Error(n, err)
		}
	}); got > 1024 {
		t.Errorf("%d bytes allocated", got)
	}
}

func TestErrorCodeIsTheFirstWordOfAnError(t *testing.T) {
	for frame, want := range map[string]string{
		"-READONLY You can't write against a read only replica.\r\n": "READONLY",
		"-ERR\r\n":                         "ERR",
		"-\r\n":                            "",
		"-LOADING":                         "LOADING",
		"!21\r\nSYNTAX invalid syntax\r\n": "SYNTAX",
	} {
		if got := ErrorCode([]byte(frame)); string(got) != want || got == nil {
			t.Errorf("%q: got %q, want %q", frame, got, want)
		}
	}
	for _, frame := range []string{"", "+OK\r\n", "*1\r\n-ERR x\r\n", "$3\r\n-AB\r\n"} {
		if got := ErrorCode([]byte(frame)); got != nil {
			t.Errorf("%q: got %q, want nil", frame, got)
		}
	}
	v, _, err := Decode([]byte("!5\r\nERR x\r\n"))
	if err != nil || !v.IsError() {
		t.Errorf("blob error: IsError is %v, error %v", v.IsError(), err)
	}
}
