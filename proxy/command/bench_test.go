package command

import (
	"strings"
	"testing"
)

func BenchmarkLookup(b *testing.B) {
	for _, request := range []string{"GET k", "set k v", "ZRANGEBYSCORE k 0 1", "georadiusbymember_ro k m 1 m", "CONFIG GET x", "NOSUCH k"} {
		b.Run(request, func(b *testing.B) {
			t, args := Builtin(), words(request)
			b.ReportAllocs()
			for b.Loop() {
				t.Lookup(args)
			}
		})
	}
}

func BenchmarkClassify(b *testing.B) {
	for _, request := range []string{"GET k", "SET k v", "XREAD COUNT 1 BLOCK 0 STREAMS k 0", "SORT k BY w GET # STORE d"} {
		b.Run(request, func(b *testing.B) {
			t, args := Builtin(), words(request)
			b.ReportAllocs()
			for b.Loop() {
				t.Classify(args)
			}
		})
	}
}

func BenchmarkKeys(b *testing.B) {
	for _, request := range []string{"GET k", "MSET a 1 b 2 c 3", "EVAL s 2 a b c", "XREAD COUNT 1 STREAMS a b 0 0", "SORT k BY w GET # STORE d"} {
		b.Run(request, func(b *testing.B) {
			args := words(request)
			c := Builtin().Lookup(args)
			keys := make([][]byte, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				keys = c.Keys(keys[:0], args)
			}
		})
	}
}

// BenchmarkStart is what the first use of Builtin costs.
func BenchmarkStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		makeBuiltin()
	}
}

func TestNothingIsAllocatedForARequest(t *testing.T) {
	table := Builtin()
	keys := make([][]byte, 0, 16)
	for _, list := range []string{keyShapes, malformed, "NOSUCH a b", "config get x"} {
		for line := range strings.Lines(list) {
			args := words(line)
			allocs := testing.AllocsPerRun(10, func() {
				c, _ := table.Classify(args)
				keys = c.Keys(keys[:0], args)
				c.Unbounded(args)
			})
			if allocs != 0 {
				t.Errorf("%s costs %v allocations", strings.TrimSpace(line), allocs)
			}
		}
	}
}
