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

func TestTheStatusSaysWhatDurableWritesRestOnAndHowManyWereNot(t *testing.T) {
	const counts = "12 writes answered as durable, 3 answered UNREPLICATED"
	for _, c := range []struct {
		fields client.Fields
		want   string
	}{
		{client.Fields{"durable_writes": "0", "unreplicated_writes": "0"}, ""},
		{client.Fields{"write_acks": "1", "write_acks_holders": "a:1,b:1", "durable_writes": "12", "unreplicated_writes": "3"},
			"write-acks 1, counted at a:1, b:1; " + counts},
		{client.Fields{"write_acks": "2", "write_acks_holders": "", "durable_writes": "12", "unreplicated_writes": "3"},
			"write-acks 2, counted at no replica; " + counts},
		{client.Fields{"durable_writes": "12", "unreplicated_writes": "3"}, "write-acks none in the state; " + counts},
	} {
		var out bytes.Buffer
		if err := printStatus(&out, c.fields); err != nil {
			t.Fatal(err)
		}
		got := ""
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "write-acks") {
				got = strings.Join(strings.Fields(line), " ")
			}
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.fields, got, c.want)
		}
	}
}
