package resp

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// feedGrowing gives the parser ever longer prefixes of stream, step bytes at a time.
func feedGrowing(p *RequestParser, stream []byte, step int) (n int, err error) {
	for end := 0; end < len(stream) && n == 0 && err == nil; {
		end = min(end+step, len(stream))
		n, err = p.Parse(stream[:end:end])
	}
	return n, err
}

// Quadratic cost would be 10^12 steps for the streams below, hours.
const generous = 20 * time.Second

func TestManyArgumentsInSmallSegmentsCostLinearTime(t *testing.T) {
	stream := []byte("*160001\r\n$4\r\nMSET\r\n" + strings.Repeat("$3\r\nabc\r\n", 160000))
	start := time.Now()
	for _, step := range []int{1, 7, 1460} {
		var p RequestParser
		n, err := feedGrowing(&p, stream, step)
		if n != len(stream) || err != nil || len(p.Args) != 160001 || string(p.Args[160000]) != "abc" {
			t.Fatalf("steps of %d: %d bytes, %d arguments, error %v", step, n, len(p.Args), err)
		}
	}
	if took := time.Since(start); took > generous {
		t.Fatalf("took %v", took)
	}
}

func TestOneByteAtATimeCostsLinearTime(t *testing.T) {
	start := time.Now()
	value := strings.Repeat("v", 1<<20)
	for _, stream := range []string{
		"*2\r\n$4\r\nECHO\r\n$1048576\r\n" + value + "\r\n",
		strings.Repeat("x", 4<<20) + "\n",
	} {
		p := RequestParser{Limits: Limits{MaxInline: 4 << 20}}
		if n, err := feedGrowing(&p, []byte(stream), 1); n != len(stream) || err != nil {
			t.Fatalf("%s: %d bytes, error %v", quote(stream), n, err)
		}
	}
	if took := time.Since(start); took > generous {
		t.Fatalf("took %v", took)
	}
}

func TestAStreamThatAlwaysEndsInsideACommandCostsLinearTime(t *testing.T) {
	const command = "*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n"
	stream := []byte(strings.Repeat(command, 50000))
	start := time.Now()
	var p RequestParser
	requests, consumed := 0, 0
	for end := len(command) / 2; end < len(stream); end += len(command) {
		for {
			n, err := p.Parse(stream[consumed:end])
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			consumed += n
			requests++
		}
	}
	if requests != 49999 {
		t.Fatalf("%d requests, want 49999", requests)
	}
	if took := time.Since(start); took > generous {
		t.Fatalf("took %v", took)
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAnnouncedSizesOfRequestsAllocateNothing(t *testing.T) {
	for _, stream := range []string{
		"*1048576\r\n", "*1048576\r\n$1\r\n", "*1000000000\r\n", "*1\r\n$536870912\r\n", "*1\r\n$9223372036854775807\r\n",
	} {
		buf := []byte(stream)
		if got := allocated(func() {
			var p RequestParser
			if n, _ := p.Parse(buf); n != 0 {
				t.Errorf("%q is a whole request", stream)
			}
		}); got > 4096 {
			t.Errorf("%q: %d bytes allocated", stream, got)
		}
	}
}

func TestParsingAllocatesNothingInSteadyState(t *testing.T) {
	get := AppendRequestStrings(nil, "GET", "some:key")
	inline := []byte("SET some:key \"a value\\n\"\r\n")
	ignored := []byte("*0\r\n")
	var p RequestParser
	for name, f := range map[string]func(){
		"whole":  func() { mustParse(t, &p, get) },
		"inline": func() { mustParse(t, &p, inline) },
		"in steps": func() {
			if n, err := feedGrowing(&p, get, 5); n != len(get) || err != nil {
				t.Fatal(n, err)
			}
		},
		"ignored": func() { mustParse(t, &p, ignored) },
	} {
		f()
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func mustParse(t *testing.T, p *RequestParser, buf []byte) {
	if n, err := p.Parse(buf); n != len(buf) || err != nil {
		t.Fatalf("%q: %d bytes, error %v", buf, n, err)
	}
}

func TestMemoryOfAnUnusualRequestIsGivenBack(t *testing.T) {
	var p RequestParser
	huge := []byte("*50000\r\n" + strings.Repeat("$0\r\n\r\n", 50000))
	mustParse(t, &p, huge)
	mustParse(t, &p, []byte("PING\r\n"))
	if cap(p.Args) > keptArgs {
		t.Errorf("room for %d arguments is kept", cap(p.Args))
	}
	mustParse(t, &p, []byte(strings.Repeat("x", 60000)+"\r\n"))
	p.Reset()
	if cap(p.text) > keptText {
		t.Errorf("%d bytes of text are kept", cap(p.text))
	}
}

func TestResetKeepsNoBufferAlive(t *testing.T) {
	var p RequestParser
	mustParse(t, &p, []byte("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"))
	p.Reset()
	for i, arg := range p.Args[:cap(p.Args)] {
		if arg != nil {
			t.Errorf("slot %d still points into the buffer", i)
		}
	}
}
