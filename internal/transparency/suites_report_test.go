package transparency

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// row is a line of the table of suites.
type row struct {
	client, version, what string
	direct, proxied       int      // tests that passed
	both                  int      // tests that failed either way
	differences           []string // as the table says them, and the races
}

// compare fails the test for everything that passes with a server and not through the proxy, but for the differences
// that are known, for the races, and for those that are not there any more.
func (s suite) compare(t *testing.T, version string, direct, proxied outcomes) row {
	t.Helper()
	r := row{client: s.client, version: version, what: s.what}
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		with, through := direct[name], proxied[name]
		if reason, race := s.races[name]; race {
			t.Logf("%s, a race: with a server %s, through the proxy %s", name, with.result, through.result)
			r.differences = append(r.differences, fmt.Sprintf("`%s`, not judged: %s", name, reason))
			continue
		}
		if with.result == "pass" {
			r.direct++
		}
		if through.result == "pass" {
			r.proxied++
		}
		reason, known := s.differences[name]
		switch {
		case with.result != "pass":
			if through.result == "fail" {
				r.both++
				t.Logf("%s fails with a server, too: %s", name, excerpt(with.said, 0))
			}
		case through.result == "pass":
			if known {
				t.Errorf("%s passes: take it off the list of differences", name)
			}
		case known:
			r.differences = append(r.differences, fmt.Sprintf("`%s`: %s", name, reason))
		default:
			t.Errorf("%s passes with a server; through the proxy its result is %q:\n%s", name, through.result, through.said)
		}
	}
	for name := range s.races {
		if _, run := direct[name]; !run {
			t.Errorf("no test is called %s: take it off the list of races", name)
		}
	}
	for name := range s.differences {
		if _, run := direct[name]; !run {
			t.Errorf("no test is called %s: take it off the list of differences", name)
		}
	}
	t.Logf("%d pass with a server, %d through the proxy, %d in neither way", r.direct, r.proxied, r.both)
	return r
}

const (
	suitesBegin = "<!-- suites: make clients -->\n"
	suitesEnd   = "<!-- end of suites -->\n"
)

// report writes the table of suites into the documentation, if that was asked for and all were run.
func report(t *testing.T, rows []row) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| Client | What was run | Passed with a server | Passed through Understudy | Failed both ways | Differences |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		differences := strings.Join(r.differences, "; ")
		if differences == "" {
			differences = "none"
		}
		fmt.Fprintf(&b, "| %s %s | %s | %d | %d | %d | %s |\n", r.client, r.version, r.what, r.direct, r.proxied, r.both, differences)
	}
	t.Logf("\n%s", b.String())
	if !*rewrite || t.Failed() || len(rows) != len(suites) {
		return
	}
	const path = "../../docs/compatibility.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(doc), suitesBegin)
	_, after, ends := strings.Cut(rest, suitesEnd)
	if !begins || !ends {
		t.Fatalf("%s has no table between %q and %q", path, suitesBegin, suitesEnd)
	}
	if err := os.WriteFile(path, []byte(before+suitesBegin+b.String()+suitesEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
