package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestAVariableThatIsNoOptionIsWarnedOfWithTheNearestOne(t *testing.T) {
	parser, err := newParser(&cli{}, &fileResolver{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	warnOfStrangers([]string{
		"HOME=/root", "UNDERSTUDY_NODES=a:1", "UNDERSTUDY_ADDR=:1", "UNDERSTUDY_STATE=", "UNDERSTUDY_HOLDTIMEOUT=secret", "UNDERSTUDY_ZOOKEPER=zk",
		"UNDERSTUDY_SERVICE_HOST=10.0.0.1", "UNDERSTUDY_PORT_6379_TCP_ADDR=10.0.0.1",
	}, variables(parser), slog.New(slog.NewTextHandler(&out, nil)))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("logged %q", lines)
	}
	for i, want := range []string{"variable=UNDERSTUDY_HOLDTIMEOUT nearest=UNDERSTUDY_HOLD_TIMEOUT", "variable=UNDERSTUDY_ZOOKEPER nearest=UNDERSTUDY_ZOOKEEPER"} {
		if !strings.Contains(lines[i], want) || strings.Contains(lines[i], "secret") {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
}

func TestEditsAreCounted(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"abc", "acb", 2}, {"abc", "abc", 0}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q it takes %d edits, want %d", c.a, c.b, got, c.want)
		}
	}
}
