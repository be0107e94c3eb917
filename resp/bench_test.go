package resp

import (
	"strings"
	"testing"
)

const pipeline = 16

// benchmarkRequests parses a pipeline of 16 requests per iteration and reports the time of one.
func benchmarkRequests(b *testing.B, args ...string) {
	request := AppendRequestStrings(nil, args...)
	var stream []byte
	for range pipeline {
		stream = append(stream, request...)
	}
	p := RequestParser{Limits: DefaultLimits}
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		for rest := stream; len(rest) > 0; {
			n, err := p.Parse(rest)
			if n == 0 || err != nil || len(p.Args) != len(args) {
				b.Fatal(n, err)
			}
			rest = rest[n:]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pipeline), "ns/request")
}

func BenchmarkRequestGet(b *testing.B) { benchmarkRequests(b, "GET", "key:000000000042") }
func BenchmarkRequestSet(b *testing.B) {
	benchmarkRequests(b, "SET", "key:000000000042", "xxx")
}
func BenchmarkRequestMset100(b *testing.B) {
	benchmarkRequests(b, append([]string{"MSET"}, strings.Split(strings.Repeat("key:000000000042,", 100), ",")...)...)
}
func BenchmarkRequestSet4KB(b *testing.B) {
	benchmarkRequests(b, "SET", "key:000000000042", strings.Repeat("x", 4096))
}

func BenchmarkRequestInline(b *testing.B) {
	stream := []byte("SET key:000000000042 \"a value\"\r\n")
	p := RequestParser{Limits: DefaultLimits}
	b.ReportAllocs()
	for b.Loop() {
		if n, err := p.Parse(stream); n != len(stream) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkRequestCutInTwo(b *testing.B) {
	stream := AppendRequestStrings(nil, "SET", "key:000000000042", "xxx")
	p := RequestParser{Limits: DefaultLimits}
	b.ReportAllocs()
	for b.Loop() {
		if n, err := p.Parse(stream[:30]); n != 0 || err != nil {
			b.Fatal(n, err)
		}
		if n, err := p.Parse(stream); n != len(stream) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// benchmarkReplies scans 16 replies per iteration and reports the time of one.
func benchmarkReplies(b *testing.B, reply string) {
	stream := []byte(strings.Repeat(reply, pipeline))
	var s ReplyScanner
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		for rest := stream; len(rest) > 0; {
			n, done, err := s.Scan(rest)
			if !done || err != nil {
				b.Fatal(n, err)
			}
			rest = rest[n:]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pipeline), "ns/reply")
}

func BenchmarkReplyOK(b *testing.B)   { benchmarkReplies(b, "+OK\r\n") }
func BenchmarkReplyInt(b *testing.B)  { benchmarkReplies(b, ":1000\r\n") }
func BenchmarkReplyBulk(b *testing.B) { benchmarkReplies(b, "$3\r\nxxx\r\n") }
func BenchmarkReplyNull(b *testing.B) { benchmarkReplies(b, "$-1\r\n") }
func BenchmarkReplyArray(b *testing.B) {
	benchmarkReplies(b, "*10\r\n"+strings.Repeat("$3\r\nxxx\r\n", 10))
}
func BenchmarkReplyInts(b *testing.B) { benchmarkReplies(b, "*10\r\n"+strings.Repeat(":1\r\n", 10)) }
func BenchmarkReplyNested(b *testing.B) {
	benchmarkReplies(b, "*10\r\n"+strings.Repeat("*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", 10))
}
func BenchmarkReply64KB(b *testing.B) {
	benchmarkReplies(b, "$65536\r\n"+strings.Repeat("x", 64<<10)+"\r\n")
}
