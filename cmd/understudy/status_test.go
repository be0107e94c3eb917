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

func TestTheStatusSaysForWhatWritesWaitAndWhoPausedInTheWordsOfTheCommandLine(t *testing.T) {
	var out bytes.Buffer
	err := printStatus(&out, client.Fields{"master": "m:1", "phase": "stable", "grant": "none", "grant_waits": "for the end of a session", "paused": "1",
		"paused_by": "ops", "alarms": "1", "alarm0": "PROXY FAILOVER with FORCE has this one take place, PROXY RESUME has all"})
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"WRITES wait for the end of a session", "ago: no failover takes place", "understudy failover --force has this one take place, understudy resume has all"} {
		if !strings.Contains(told, want) {
			t.Errorf("the status does not say %q:\n%s", want, out.String())
		}
	}
}
