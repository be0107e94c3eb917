package resp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// whole and byte by byte, as ways to cut a stream.
func inOnePiece() int { return 1 << 30 }
func byteByByte() int { return 1 }

// parse finds the first request in stream.
func parse(t *testing.T, l Limits, stream string) (args []string, n int, reencode bool, errText string) {
	t.Helper()
	p := RequestParser{Limits: l}
	n, err := p.Parse([]byte(stream))
	if err != nil {
		var protocol *ProtocolError
		if !errors.As(err, &protocol) {
			t.Fatalf("error is a %T, want *ProtocolError", err)
		}
		return nil, n, p.Reencode, err.Error()
	}
	for _, arg := range p.Args {
		args = append(args, string(arg))
	}
	return args, n, p.Reencode, ""
}

func TestMultibulkRequestYieldsItsArguments(t *testing.T) {
	for _, tt := range []struct {
		stream string
		args   []string
		n      int
	}{
		{"*1\r\n$4\r\nPING\r\n", []string{"PING"}, 14},
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n", []string{"GET", "k"}, 20},
		{"*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n", []string{"", "\r\n"}, 18},
		{"*1\r\n$11\r\nhello\x00world\r\n", []string{"hello\x00world"}, 22},
		{"*12\r\n" + strings.Repeat("$1\r\nx\r\n", 12), strings.Split(strings.Repeat("x", 12), ""), 5 + 12*7},
		{"\r\nPING\r\n", nil, 2},
		{"\n", nil, 1},
		{"*0\r\nPING", nil, 4},
		{"*-1\r\n", nil, 5},
		{"*-9223372036854775808\r\n", nil, 23},
		{"*1\r\n$4\r\nPING\r", nil, 0},
		{"*", nil, 0},
		{"", nil, 0},
	} {
		args, n, reencode, errText := parse(t, DefaultLimits, tt.stream)
		if !reflect.DeepEqual(args, tt.args) || n != tt.n || errText != "" {
			t.Errorf("%q: got %q, %d bytes, error %q; want %q, %d bytes", tt.stream, args, n, errText, tt.args, tt.n)
		}
		if len(args) > 0 && reencode {
			t.Errorf("%q: marked for re-encoding", tt.stream)
		}
	}
}

func TestInlineRequestIsSplitLikeAShellWould(t *testing.T) {
	for line, want := range map[string][]string{
		"PING":                          {"PING"},
		"  SET\tk   v ":                 {"SET", "k", "v"},
		`SET k "a b"`:                   {"SET", "k", "a b"},
		`ECHO "\n\r\t\b\a\x41\xfF\q\""`: {"ECHO", "\n\r\t\b\aA\xffq\""},
		`ECHO "\x4"`:                    {"ECHO", "x4"},
		`ECHO "\xg1\x"`:                 {"ECHO", "xg1x"},
		`ECHO 'a\'b\n"'`:                {"ECHO", `a'b\n"`},
		`ECHO ""`:                       {"ECHO", ""},
		`ECHO foo"bar baz"`:             {"ECHO", "foobar baz"},
		`ECHO foo'bar'`:                 {"ECHO", "foobar"},
		"ECHO a\vb \v c\r":              {"ECHO", "a\vb", "c"},
		`a\nb`:                          {`a\nb`},
		"   ":                           nil,
		"\r":                            nil,
		"$3":                            {"$3"},
	} {
		for _, end := range []string{"\n", "\r\n"} {
			args, n, reencode, errText := parse(t, DefaultLimits, line+end)
			if !reflect.DeepEqual(args, want) || n != len(line+end) || errText != "" {
				t.Errorf("%q: got %q, %d bytes, error %q; want %q", line+end, args, n, errText, want)
			}
			if !reencode {
				t.Errorf("%q: not marked for re-encoding", line+end)
			}
		}
	}
}

func TestRequestErrorsHaveTheTextsOfRedis(t *testing.T) {
	long := strings.Repeat("1", 64<<10)
	for _, tt := range []struct {
		stream string
		limits Limits
		want   string
	}{
		{"*01\r\n", DefaultLimits, "invalid multibulk length"},
		{"*+1\r\n", DefaultLimits, "invalid multibulk length"},
		{"*\r\n", DefaultLimits, "invalid multibulk length"},
		{"*-\r\n", DefaultLimits, "invalid multibulk length"},
		{"*-0\r\n", DefaultLimits, "invalid multibulk length"},
		{"* 1\r\n", DefaultLimits, "invalid multibulk length"},
		{"*1\n\r\n", DefaultLimits, "invalid multibulk length"},
		{"*1000000000\r\n", DefaultLimits, "invalid multibulk length"},
		{"*1048577\r\n", DefaultLimits, "invalid multibulk length"},
		{"*2147483648\r\n", DefaultLimits, "invalid multibulk length"},
		{"*-9223372036854775809\r\n", DefaultLimits, "invalid multibulk length"},
		{"*99999999999999999999\r\n", DefaultLimits, "invalid multibulk length"},
		{"*1\r\n$9223372036854775807\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$18446744073709551617\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$536870913\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$-1\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$+3\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$03\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n$4\nPING\r\n", DefaultLimits, "invalid bulk length"},
		{"*1\r\n:4\r\n", DefaultLimits, "expected '$', got ':'"},
		{"*1\r\n\r\n", DefaultLimits, "expected '$', got ' '"},
		{"*1\r\n\n$4\r\n", DefaultLimits, "expected '$', got ' '"},
		{"*1\r\n\xff\r\n", DefaultLimits, "expected '$', got '\xff'"},
		{"*2\r\n$1\r\nx\r\nx\r\n", DefaultLimits, "expected '$', got 'x'"},
		{"ECHO \"a\r\n", DefaultLimits, "unbalanced quotes in request"},
		{"ECHO 'a\r\n", DefaultLimits, "unbalanced quotes in request"},
		{"ECHO \"a\"b\r\n", DefaultLimits, "unbalanced quotes in request"},
		{"ECHO 'a'b\r\n", DefaultLimits, "unbalanced quotes in request"},
		{"ECHO \"a\\\r\n", DefaultLimits, "unbalanced quotes in request"},
		{"x" + long, DefaultLimits, "too big inline request"},
		{"*" + long, DefaultLimits, "too big mbulk count string"},
		{"*1\r\n$" + long, DefaultLimits, "too big bulk count string"},
		{"*11\r\n", UnauthenticatedLimits, "unauthenticated multibulk length"},
		{"*2147483648\r\n", UnauthenticatedLimits, "invalid multibulk length"},
		{"*1\r\n$16385\r\n", UnauthenticatedLimits, "unauthenticated bulk length"},
		{"*1\r\n$536870913\r\n", UnauthenticatedLimits, "invalid bulk length"},
		{"*3\r\n", Limits{MaxArgs: 2}, "invalid multibulk length"},
		{"*1\r\n$3\r\n", Limits{MaxBulk: 2}, "invalid bulk length"},
		{"abcd", Limits{MaxInline: 3}, "too big inline request"},
	} {
		_, n, _, errText := parse(t, tt.limits, tt.stream)
		if want := "Protocol error: " + tt.want; errText != want || n != 0 {
			t.Errorf("%s: got error %q after %d bytes, want %q", quote(tt.stream), errText, n, want)
		}
	}
}

func TestRequestAtALimitIsAccepted(t *testing.T) {
	for _, tt := range []struct {
		stream string
		limits Limits
		args   int
	}{
		{strings.Repeat("x", 64<<10) + "\n", DefaultLimits, 1},
		{"*10\r\n" + strings.Repeat("$0\r\n\r\n", 10), UnauthenticatedLimits, 10},
		{"*1\r\n$16384\r\n" + strings.Repeat("x", 16384) + "\r\n", UnauthenticatedLimits, 1},
		{strings.Repeat("x ", 11) + "\r\n", UnauthenticatedLimits, 11},
		{"*2\r\n$2\r\nab\r\n$2\r\ncd\r\n", Limits{MaxArgs: 2, MaxBulk: 2}, 2},
	} {
		args, n, _, errText := parse(t, tt.limits, tt.stream)
		if len(args) != tt.args || n != len(tt.stream) || errText != "" {
			t.Errorf("%s: got %d arguments, %d bytes, error %q", quote(tt.stream), len(args), n, errText)
		}
	}
}

func TestLaxRequestIsAcceptedButMarkedForReencoding(t *testing.T) {
	for stream, want := range map[string][]string{
		"*1\rX$4\r\nPING\r\n":                  {"PING"},
		"*1\r\n$4\rXPING\r\n":                  {"PING"},
		"*1\r\n$4\r\nPINGab":                   {"PING"},
		"*1\r\n$4\r\nPING\n\r":                 {"PING"},
		"*2\r\n$4\r\nPING*2$1\r\nx\r\n":        {"PING", "x"},
		"*2\r\n$4\r\nECHO\r\n$2\r\r\r\r\r\n":   {"ECHO", "\r\r"},
		"*2\r\n$4\r\nECHO\r\n$2\r\nab\rX":      {"ECHO", "ab"},
		"*2\r\n$4\r\nECHO\x00\x00$2\r\nab\r\n": {"ECHO", "ab"},
	} {
		args, n, reencode, errText := parse(t, DefaultLimits, stream)
		if !reflect.DeepEqual(args, want) || n != len(stream) || errText != "" || !reencode {
			t.Errorf("%q: got %q, %d bytes, reencode %v, error %q; want %q", stream, args, n, reencode, errText, want)
		}
	}
}

func TestALaxRequestDoesNotMarkTheNextOne(t *testing.T) {
	var p RequestParser
	buf := []byte("*1\r\n$4\r\nPINGab*1\r\n$4\r\nPING\r\n")
	n, err := p.Parse(buf)
	if err != nil || !p.Reencode {
		t.Fatalf("lax request: reencode %v, error %v", p.Reencode, err)
	}
	if _, err := p.Parse(buf[n:]); err != nil || p.Reencode || len(p.Args) != 1 {
		t.Fatalf("strict request: reencode %v, %d arguments, error %v", p.Reencode, len(p.Args), err)
	}
}

func TestNulInALineHidesItsEndAsInRedis(t *testing.T) {
	for _, head := range []string{"PI\x00NG\r\n", "*1\x00\r\n", "*1\r\n$4\x00\r\n"} {
		p := RequestParser{Limits: DefaultLimits}
		buf := []byte(head)
		for len(buf) < 60<<10 {
			if n, err := p.Parse(buf); n != 0 || err != nil {
				t.Fatalf("%q: got %d bytes, error %v before the limit", head, n, err)
			}
			buf = append(buf, strings.Repeat("PING\r\n", 100)...)
		}
		buf = append(buf, strings.Repeat("PING\r\n", 2000)...)
		if n, err := p.Parse(buf); n != 0 || err == nil || !strings.Contains(err.Error(), "too big") {
			t.Fatalf("%q: got %d bytes, error %v beyond the limit, want too big", head, n, err)
		}
	}
}

func TestAppendingToAnArgumentLeavesTheOthersAlone(t *testing.T) {
	for _, stream := range []string{"*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\n\r$1\r\nb\r\n", "a b\r\n"} {
		var p RequestParser
		buf := []byte(stream)
		if _, err := p.Parse(buf); err != nil {
			t.Fatal(err)
		}
		_ = append(p.Args[0], "xxxxxxxxxxxx"...)
		if string(buf) != stream || string(p.Args[1]) != "b" {
			t.Errorf("%q: the buffer is %q and the second argument %q", stream, buf, p.Args[1])
		}
	}
}

func TestAnErrorStaysUntilReset(t *testing.T) {
	var p RequestParser
	if _, err := p.Parse([]byte("*x\r\n")); err == nil {
		t.Fatal("no error")
	}
	if _, err := p.Parse([]byte("PING\r\n")); err == nil {
		t.Fatal("the error did not stay")
	}
	p.Reset()
	if n, err := p.Parse([]byte("PING\r\n")); n != 6 || err != nil {
		t.Fatalf("after Reset: %d bytes, error %v", n, err)
	}
}

func TestResetForgetsHalfARequestAndKeepsLimits(t *testing.T) {
	p := RequestParser{Limits: Limits{MaxArgs: 3, MaxBulk: 100, MaxInline: 50}}
	if n, err := p.Parse([]byte("*2\r\n$4\r\nECHO\r\n$90\r\nabc")); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	p.Reset()
	if n, err := p.Parse([]byte("*4\r\n")); n != 0 || err == nil {
		t.Fatalf("got %d bytes, error %v, want the limit of 3 arguments to hold", n, err)
	}
}

func TestLimitsMayChangeWithinARequest(t *testing.T) {
	p := RequestParser{Limits: Limits{MaxInline: 100}}
	line := strings.Repeat("x", 80)
	if n, err := p.Parse([]byte(line)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	p.Limits.MaxInline = 10
	if _, err := p.Parse([]byte(line + "\n")); err == nil {
		t.Fatal("a line over the lowered limit was accepted")
	}
}

func TestMissingIsALowerBoundThatCountsAnnouncedBytes(t *testing.T) {
	for _, tt := range []struct {
		stream string
		want   int
	}{
		{"", 1},
		{"PIN", 1},
		{"*", 1},
		{"*3\r\n", 18},
		{"*3\r\n$3\r\n", 5 + 12},
		{"*3\r\n$3\r\nSET\r\n", 12},
		{"*3\r\n$3\r\nSET\r\n$1", 10},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n" + strings.Repeat("v", 100), 902},
		{"*1\r\n$4\r\nPING\r", 1},
		{"*1\r\n$536870912\r\n", 536870914},
		{"*1048576\r\n", 6 * 1048576},
	} {
		for name, next := range map[string]func() int{"whole": inOnePiece, "byte by byte": byteByByte} {
			p := RequestParser{Limits: DefaultLimits}
			for at := 0; ; {
				at += min(next(), len(tt.stream)-at)
				if n, err := p.Parse([]byte(tt.stream[:at])); n != 0 || err != nil {
					t.Fatalf("%q: %d bytes, error %v", tt.stream, n, err)
				}
				if at == len(tt.stream) {
					break
				}
			}
			if got := p.Missing(); got != tt.want {
				t.Errorf("%s %s: Missing is %d, want %d", quote(tt.stream), name, got, tt.want)
			}
		}
	}
}

func TestRequestsAreTheSameHoweverTheStreamIsCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i, stream := range oddRequests {
		for _, limits := range []Limits{DefaultLimits, UnauthenticatedLimits} {
			want, wantRest, wantErr := naiveRequests(stream, limits)
			check := func(how string, next func() int) {
				t.Helper()
				got, rest, errText := requestsOf(stream, limits, next)
				if !equalRequests(got, want) || rest != wantRest || errText != wantErr {
					t.Errorf("stream %d %s, %s: got %v rest %s error %q; want %v rest %s error %q",
						i, quote(stream), how, got, quote(rest), errText, want, quote(wantRest), wantErr)
				}
			}
			check("whole", inOnePiece)
			if len(stream) > 10000 {
				check("random", func() int { return rng.IntN(1000) })
				continue
			}
			check("byte by byte", byteByByte)
			for cut := 1; cut < len(stream) && len(stream) < 300; cut++ {
				pieces := []int{cut, len(stream)}
				check(fmt.Sprintf("cut at %d", cut), func() int {
					k := pieces[0]
					pieces = pieces[1:]
					return k
				})
			}
		}
	}
}

func TestRandomRequestsMatchTheNaiveParser(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	limits := []Limits{DefaultLimits, UnauthenticatedLimits, {MaxBulk: 8, MaxArgs: 3, MaxInline: 12}}
	for range 20000 {
		stream := randomRequests(rng)
		l := limits[rng.IntN(len(limits))]
		want, wantRest, wantErr := naiveRequests(stream, l)
		for _, next := range []func() int{inOnePiece, byteByByte, func() int { return rng.IntN(12) }} {
			got, rest, errText := requestsOf(stream, l, next)
			if !equalRequests(got, want) || rest != wantRest || errText != wantErr {
				t.Fatalf("%q with %+v: got %v rest %q error %q; want %v rest %q error %q",
					stream, l, got, rest, errText, want, wantRest, wantErr)
			}
		}
	}
}
