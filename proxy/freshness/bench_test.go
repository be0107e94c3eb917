package freshness

import (
	"testing"

	"github.com/understudy/understudy/proxy/command"
)

func BenchmarkNeedsOfGET(b *testing.B) {
	l := NewTracker().NewLoop(command.Builtin)
	args, _ := request("GET", "some:key:1234")
	cmd, _ := command.Builtin().Classify(args)
	var reads []Mark
	b.ReportAllocs()
	for b.Loop() {
		reads = l.AppendKeys(reads[:0], cmd, args)
		l.Needs(reads...)
	}
}

func BenchmarkStampOfSET(b *testing.B) {
	l := NewTracker().NewLoop(command.Builtin)
	args, _ := request("SET", "some:key:1234", "value")
	cmd, _ := command.Builtin().Classify(args)
	b.ReportAllocs()
	for b.Loop() {
		l.Answered(l.Mark(cmd, args))
	}
}
