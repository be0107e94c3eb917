package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/admin/client"
)

func TestColumnsStandUnderTheirHeading(t *testing.T) {
	var out strings.Builder
	s := &script{out: &out}
	cells := []cell{{"127.0.0.1:20001", "master", 430}, {"127.0.0.1:20002", "replica", 123456}, {"127.0.0.1:20003", "master down", 0}}
	r := row{nodes: cells, rate: 1740.4, longest: 14 * time.Millisecond, sum: counts{errors: 1, unknown: 2}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	s.heading(r)
	s.line(at, r)
	r.nodes, r.proxies = cells[:1], []cell{{"127.0.0.1:6380", "leader", 870}, {"127.0.0.1:6381", "dead", 0}}
	s.heading(r)
	s.line(at, r)
	lines := strings.Split(out.String(), "\n")
	want := []string{
		"time      node :20001, req/s     node :20002, req/s     node :20003, req/s     clients req/s  longest  errors  unknown",
		"03:04:05  master            430  replica        123456  master down         0           1740     14ms       1        2",
		"time      node :20001, req/s     proxy :6380       proxy :6381       clients req/s  longest  errors  unknown",
		"03:04:05  master            430  leader       870  dead           0           1740     14ms       1        2",
		"",
	}
	for i, w := range want {
		if lines[i] != w {
			t.Errorf("line %d is\n%q, want\n%q", i, lines[i], w)
		}
	}
}

func TestColoursAreOnlyForTerminals(t *testing.T) {
	for _, color := range []bool{false, true} {
		var out strings.Builder
		s := &script{out: &out, color: color}
		s.event("something happened")
		s.line(time.Now(), row{nodes: []cell{{"127.0.0.1:1", "master", 1}}, rate: 1})
		if got := strings.Contains(out.String(), "\x1b["); got != color {
			t.Errorf("color %v writes %q", color, out.String())
		}
	}
}

func TestARoleIsWhatANodeIsInOneWord(t *testing.T) {
	for want, n := range map[string]client.Fields{
		"master":      {"role": "master", "health": "online"},
		"replica":     {"role": "replica", "health": "online"},
		"syncing":     {"role": "replica", "health": "syncing"},
		"master down": {"role": "master", "health": "down"},
		"returning":   {"role": "none", "health": "returning"},
	} {
		if got := role(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
}
