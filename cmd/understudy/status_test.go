package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/admin/client"
)

func TestTheStatusTellsWhoHasRaisedAnAlarm(t *testing.T) {
	var out bytes.Buffer
	err := printStatus(&out, client.Fields{"master": "m:1", "alarms": "3", "alarm0": "own", "alarm1": "first", "alarm2": "second",
		"alarms_of_leader": "2", "alarms_leader": "web-2"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		if text, ok := strings.CutPrefix(line, "alarm "); ok {
			got = append(got, strings.TrimSpace(text))
		}
	}
	want := "own|first (raised by web-2, which leads)|second (raised by web-2, which leads)"
	if strings.Join(got, "|") != want {
		t.Errorf("the alarms are %q, want %q", strings.Join(got, "|"), want)
	}
}
