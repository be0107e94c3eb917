package resp

import (
	"math/rand/v2"
	"testing"
)

// FuzzRequest checks RequestParser against the naive parser, on any bytes cut in any way.
func FuzzRequest(f *testing.F) {
	for i, stream := range oddRequests {
		if len(stream) < 4096 {
			f.Add([]byte(stream), uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if len(stream) > 4096 {
			return // the naive parser, and the copying between steps, take quadratic time
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		for _, l := range []Limits{DefaultLimits, UnauthenticatedLimits, {MaxBulk: 20, MaxArgs: 4, MaxInline: 30}} {
			want, wantRest, wantErr := naiveRequests(string(stream), l)
			for _, next := range []func() int{inOnePiece, byteByByte, func() int { return rng.IntN(20) }} {
				got, rest, errText := requestsOf(string(stream), l, next)
				if !equalRequests(got, want) || rest != wantRest || errText != wantErr {
					t.Fatalf("%q with %+v: got %v rest %q error %q; want %v rest %q error %q", stream, l, got, rest, errText, want, wantRest, wantErr)
				}
			}
			// What is forwarded after re-encoding means the same, and needs no re-encoding again.
			for _, request := range want {
				if len(request.args) == 0 {
					continue
				}
				again := string(AppendRequestStrings(nil, request.args...))
				got, rest, errText := requestsOf(again, DefaultLimits, byteByByte)
				request.bytes, request.reencode = len(again), false
				if !equalRequests(got, []outcome{request}) || rest != "" || errText != "" {
					t.Fatalf("%v re-encoded as %q: got %v rest %q error %q", request, again, got, rest, errText)
				}
			}
		}
	})
}

// FuzzReply checks ReplyScanner against the naive parser, on any bytes cut in any way, and Decode against ReplyScanner.
func FuzzReply(f *testing.F) {
	for i, stream := range append(oddReplies, brokenReplies...) {
		if len(stream) < 4096 {
			f.Add([]byte(stream), uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if len(stream) > 4096 {
			return // the naive parser, and the copying between steps, take quadratic time
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		depth := 1 + int(seed%10)
		want, wantBroke := naiveReplies(string(stream), depth)
		for _, next := range []func() int{inOnePiece, byteByByte, func() int { return rng.IntN(20) }} {
			s := ReplyScanner{MaxDepth: depth}
			if got, broke := repliesOf(t, &s, string(stream), next); !equalInts(got, want) || broke != wantBroke {
				t.Fatalf("%q at depth %d: replies end at %v, broken %v; want %v, %v", stream, depth, got, broke, want, wantBroke)
			}
		}
		if _, n, err := Decode(stream); err == nil {
			end, done, err := new(ReplyScanner).Scan(stream)
			if err != nil || done != (n > 0) || done && end != n {
				t.Fatalf("%q: Decode takes %d bytes; Scan %d, done %v, error %v", stream, n, end, done, err)
			}
		}
	})
}
