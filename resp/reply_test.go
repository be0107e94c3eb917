package resp

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// repliesOf runs a ReplyScanner over stream in pieces whose lengths next yields, each in memory of its own, and returns
// where replies ended and whether the stream broke.
func repliesOf(t *testing.T, s *ReplyScanner, stream string, next func() int) (ends []int, broke bool) {
	t.Helper()
	at := 0
	for at < len(stream) {
		piece := []byte(stream[at:min(len(stream), at+max(next(), 1))])
		for len(piece) > 0 {
			pending := s.Pending()
			n, done, err := s.Scan(piece)
			if err != nil {
				var protocol *ProtocolError
				if !errors.As(err, &protocol) {
					t.Fatalf("error is a %T, want *ProtocolError", err)
				}
				return ends, true
			}
			if !done && n != len(piece) {
				t.Fatalf("%s: %d of %d bytes consumed without an end", quote(stream), n, len(piece))
			}
			if done && n < pending {
				t.Fatalf("%s: the reply ended after %d bytes, Pending promised %d", quote(stream), n, pending)
			}
			at += n
			piece = piece[n:]
			if done {
				ends = append(ends, at)
			}
			if (s.Pending() == 0) != done {
				t.Fatalf("%s: done %v, but Pending is %d", quote(stream[:at]), done, s.Pending())
			}
		}
	}
	return ends, false
}

// naiveReplies is what repliesOf returns, by the naive parser.
func naiveReplies(stream string, depth int) (ends []int, broke bool) {
	at := 0
	for at < len(stream) {
		n := naiveReply(stream[at:], depth)
		if n < 0 {
			return ends, true
		}
		if n == 0 {
			break
		}
		at += n
		ends = append(ends, at)
	}
	return ends, false
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestEveryTypeOfReplyEndsWhereItEnds(t *testing.T) {
	for _, reply := range oddReplies {
		var s ReplyScanner
		n, done, err := s.Scan([]byte(reply + "+next\r\n"))
		if n != len(reply) || !done || err != nil {
			t.Errorf("%s: %d bytes, done %v, error %v; want all %d bytes", quote(reply), n, done, err, len(reply))
		}
	}
}

func TestRepliesAreFoundHoweverTheStreamIsCut(t *testing.T) {
	for _, reply := range oddReplies {
		stream := reply + "$3\r\nabc\r\n" + reply
		want := []int{len(reply), len(reply) + 9, 2*len(reply) + 9}
		check := func(how string, next func() int) {
			t.Helper()
			var s ReplyScanner
			if got, broke := repliesOf(t, &s, stream, next); broke || !equalInts(got, want) {
				t.Errorf("%s, %s: replies end at %v, broken %v; want %v", quote(reply), how, got, broke, want)
			}
		}
		check("byte by byte", byteByByte)
		for cut := 1; cut < len(stream); cut++ {
			pieces := []int{cut, len(stream)}
			check("cut in two", func() int {
				k := pieces[0]
				pieces = pieces[1:]
				return k
			})
		}
	}
}

func TestAPrefixOfAReplyIsNeverAReply(t *testing.T) {
	for _, reply := range oddReplies {
		for end := range len(reply) {
			var s ReplyScanner
			if n, done, err := s.Scan([]byte(reply[:end])); n != end || done || err != nil {
				t.Errorf("%s: %d bytes, done %v, error %v", quote(reply[:end]), n, done, err)
			}
		}
	}
}

func TestBrokenRepliesAreErrorsHoweverTheyAreCut(t *testing.T) {
	for _, stream := range brokenReplies {
		for _, next := range []func() int{inOnePiece, byteByByte} {
			var s ReplyScanner
			if ends, broke := repliesOf(t, &s, stream, next); !broke || len(ends) > 0 {
				t.Errorf("%s: broken %v, ends %v", quote(stream), broke, ends)
				continue
			}
			if n, done, err := s.Scan([]byte("+OK\r\n")); n != 0 || done || err == nil {
				t.Errorf("%s: the error did not stay", quote(stream))
			}
			s.Reset()
			if n, done, err := s.Scan([]byte("+OK\r\n")); n != 5 || !done || err != nil {
				t.Errorf("%s: after Reset: %d bytes, done %v, error %v", quote(stream), n, done, err)
			}
		}
	}
}

func TestAnErrorSaysHowManyBytesMadeSense(t *testing.T) {
	var s ReplyScanner
	n, done, err := s.Scan([]byte("*2\r\n:1\r\nx"))
	if n != 8 || done || err == nil {
		t.Fatalf("%d bytes, done %v, error %v; want 8 and an error", n, done, err)
	}
}

func TestRandomRepliesMatchTheNaiveParser(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		stream := randomReply(rng, 4) + randomReply(rng, 2)
		if rng.IntN(2) == 0 {
			stream = mutate(rng, stream, "*$%~|>;.?-+0123456789\r\nx")
		}
		depth := 1 + rng.IntN(6)
		want, wantBroke := naiveReplies(stream, depth)
		for _, next := range []func() int{inOnePiece, byteByByte, func() int { return rng.IntN(12) }} {
			s := ReplyScanner{MaxDepth: depth}
			if got, broke := repliesOf(t, &s, stream, next); !equalInts(got, want) || broke != wantBroke {
				t.Fatalf("%q at depth %d: replies end at %v, broken %v; want %v, %v", stream, depth, got, broke, want, wantBroke)
			}
		}
	}
}

func TestRepliesNestUpToTheLimit(t *testing.T) {
	for _, limit := range []int{1, 6, 7, 100} {
		nested := strings.Repeat("*1\r\n", limit) + ":1\r\n"
		s := ReplyScanner{MaxDepth: limit}
		if n, done, err := s.Scan([]byte(nested)); n != len(nested) || !done || err != nil {
			t.Errorf("limit %d: %d bytes, done %v, error %v", limit, n, done, err)
		}
		if _, _, err := s.Scan([]byte("*1\r\n" + nested)); err == nil {
			t.Errorf("limit %d: one level more was accepted", limit)
		}
	}
}

func TestTheDeepestReplyOfALuaScriptPasses(t *testing.T) {
	nested := strings.Repeat("*1\r\n", 7995) + "-ERR reached lua stack limit\r\n"
	var s ReplyScanner
	if n, done, err := s.Scan([]byte(nested)); n != len(nested) || !done || err != nil {
		t.Fatalf("%d bytes, done %v, error %v", n, done, err)
	}
	if cap(s.far) > keptLevels {
		t.Errorf("room for %d levels is kept", cap(s.far))
	}
}

func TestPendingCountsWhatHeadersAnnounced(t *testing.T) {
	for _, tt := range []struct {
		stream string
		want   int
	}{
		{"", 0},
		{"+", 2},
		{"+OK\r", 1},
		{"+OK\r\n", 0},
		{"$", 3},
		{"$1", 2},
		{"$1000\r", 1},
		{"$1000\r\n", 1002},
		{"$1000\r\n" + strings.Repeat("x", 1000), 2},
		{"$1000\r\n" + strings.Repeat("x", 1000) + "\r", 1},
		{"*3\r\n", 9},
		{"*3\r\n$100\r\n", 108},
		{"%3\r\n", 18},
		{"|1\r\n", 9},
		{"*2\r\n*2\r\n:1\r\n", 6},
		{"*?\r\n", 3},
		{"%?\r\n+a\r\n", 6},
		{"%?\r\n+a\r\n+b\r\n.", 2},
		{"$?\r\n", 4},
		{"$?\r\n;10\r\n", 12 + 4},
		{"*9223372036854775807\r\n", math.MaxInt},
		{"*9223372036854775807\r\n*9223372036854775807\r\n", math.MaxInt},
		{"$9223372036854775805\r\n", math.MaxInt},
	} {
		var s ReplyScanner
		if _, _, err := s.Scan([]byte(tt.stream)); err != nil {
			t.Fatalf("%q: %v", tt.stream, err)
		}
		if got := s.Pending(); got != tt.want {
			t.Errorf("%q: Pending is %d, want %d", tt.stream, got, tt.want)
		}
	}
}

func TestAnnouncedSizesOfRepliesAllocateNothing(t *testing.T) {
	for _, stream := range []string{
		"*9223372036854775807\r\n:1\r\n", "%4611686018427387903\r\n", "~1000000000\r\n", "$9223372036854775805\r\nabc", "$?\r\n;1000000000\r\n",
	} {
		buf := []byte(stream)
		if got := allocated(func() {
			var s ReplyScanner
			if n, done, err := s.Scan(buf); n != len(buf) || done || err != nil {
				t.Errorf("%q: %d bytes, done %v, error %v", stream, n, done, err)
			}
		}); got > 1024 {
			t.Errorf("%q: %d bytes allocated", stream, got)
		}
	}
}

func TestScanningAllocatesNothing(t *testing.T) {
	var s ReplyScanner
	for _, reply := range oddReplies[:len(oddReplies)-4] { // the last ones nest deeply
		buf := []byte(reply)
		if got := testing.AllocsPerRun(10, func() {
			if n, done, err := s.Scan(buf); n != len(buf) || !done || err != nil {
				t.Fatal(n, done, err)
			}
			for i := range buf {
				if _, _, err := s.Scan(buf[i : i+1]); err != nil {
					t.Fatal(err)
				}
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", quote(reply), got)
		}
	}
}

func TestAReplyOneByteAtATimeCostsLinearTime(t *testing.T) {
	start := time.Now()
	for _, reply := range []string{
		"$4194304\r\n" + strings.Repeat("x", 4<<20) + "\r\n",
		"+" + strings.Repeat("\n", 4<<20) + "\r\n",
		"*1048576\r\n" + strings.Repeat(":1\r\n", 1<<20),
	} {
		var s ReplyScanner
		buf := []byte(reply)
		for i := range buf {
			if _, done, err := s.Scan(buf[i : i+1]); err != nil || done != (i == len(buf)-1) {
				t.Fatalf("at %d: done %v, error %v", i, done, err)
			}
		}
	}
	if took := time.Since(start); took > generous {
		t.Fatalf("took %v", took)
	}
}

func TestValuesBeyondTheLimitAreRefusedWhenTheyAreAnnounced(t *testing.T) {
	for reply, fits := range map[string]bool{
		"*3\r\n:1\r\n:2\r\n:3\r\n": true,
		"*1\r\n*2\r\n:1\r\n:2\r\n": true,
		"*-1\r\n":                  true,
		"*4\r\n":                   false,
		"*2\r\n*1\r\n:1\r\n*1\r\n": false,
		"%2\r\n":                   false,
		"*9223372036854775807\r\n": false,
		"*3\r\n:1\r\n:2\r\n*9223372036854775807\r\n":    false,
		"*2\r\n:1\r\n$9223372036854775\r\nannounced...": true,
	} {
		s := ReplyScanner{MaxValues: 3}
		for range 2 { // each reply has the limit to itself
			n, _, err := s.Scan([]byte(reply))
			if fits != (err == nil) {
				t.Errorf("%q: %d, %v", reply, n, err)
			}
			if !fits {
				s.Reset()
			} else if n < len(reply) || strings.HasSuffix(reply, "...") {
				break
			}
		}
	}
}
