package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheFiguresOfRedisBenchmarkAreFoundByName(t *testing.T) {
	got, err := parseOutcome([]byte(`"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"GET small:__rand_int__","93603.75","0.278","0.088","0.271","0.375","0.495","3.935"
`))
	if want := (outcome{perSecond: 93603.75, p50: 0.271, p99: 0.495}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, text := range []string{"", "\"test\",\"rps\"\n\"GET\",\"1\"\n", "\"test\",\"rps\",\"p50_latency_ms\",\"p99_latency_ms\"\n"} {
		if got, err := parseOutcome([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestTheMedianIsOfAllRoundsWhateverTheirOrder(t *testing.T) {
	r := &results{samples: map[cell][]sample{}}
	for _, used := range []float64{9, 1, 4} {
		r.add("GET", understudy, sample{cpu: used})
	}
	for _, used := range []float64{6, 10} {
		r.add("GET", haproxy, sample{cpu: used})
	}
	if median, least, most, ok := r.spread("GET", understudy, cpu); median != 4 || least != 1 || most != 9 || !ok {
		t.Errorf("%v, %v to %v, %v", median, least, most, ok)
	}
	if got, ok := r.ratio("GET", haproxy, cpu); got != 0.5 || !ok {
		t.Errorf("ratio %v, %v, want 0.5", got, ok)
	}
	if got, ok := r.ratio("GET", twemproxy, cpu); ok {
		t.Errorf("ratio %v to a proxy that was not measured", got)
	}
}

func TestAReportLeavesOutProxiesThatAreNotInstalled(t *testing.T) {
	r := &results{loads: []string{"GET c50"}, targets: []string{direct, understudy}, samples: map[cell][]sample{}}
	r.add("GET c50", direct, sample{perSecond: 50_000, p50: 0.5, p99: 1})
	r.add("GET c50", understudy, sample{perSecond: 40_000, cpu: 7, p50: 0.55, p99: 1.5})
	text := (&report{opts: options{rounds: 1}, results: r}).markdown()
	for _, want := range []string{"| GET c50 | 7.00 |\n", "| GET c50 | 50.0 | 40.0 |\n", "| GET c50 | 0.500 / 1.000 | 0.550 / 1.500 | +50 µs |\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
}

func TestAReportReplacesTheOneBeforeAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	first, second := beginReport+"first\n"+endReport, beginReport+"second\n"+endReport
	if err := writeReport(path, first); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# Title\n\n"+first+"\nWords.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeReport(path, second); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "# Title\n\n"+second+"\nWords.\n" {
		t.Errorf("%q, %v", got, err)
	}
	const foreign = "somebody's notes\n"
	if err := os.WriteFile(path, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeReport(path, second); err == nil {
		t.Error("a file without a place for the report was accepted")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != foreign {
		t.Errorf("the file now says %q, %v", got, err)
	}
}

func TestQuickShortensEveryLoad(t *testing.T) {
	all := regexp.MustCompile("")
	long, short := chooseLoads(options{loads: all}), chooseLoads(options{loads: all, quick: true})
	if len(long) != len(short) || len(long) == 0 {
		t.Fatalf("%d loads, %d with --quick", len(long), len(short))
	}
	for i := range long {
		if short[i].requests*quickDivisor > long[i].requests || short[i].requests < short[i].clients {
			t.Errorf("%s: %d requests, %d with --quick", long[i].name, long[i].requests, short[i].requests)
		}
	}
}
