package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheSameComplaintIsLoggedOnceInAWhileWithHowOftenItWasNot(t *testing.T) {
	var out bytes.Buffer
	c := complaints{log: slog.New(slog.NewTextHandler(&out, nil))}
	at := time.Unix(1000, 0)
	for i := range 5 {
		c.about(at.Add(time.Duration(i)*time.Second), "refused", "10.0.0.1:1")
	}
	c.about(at, "another", "10.0.0.2:2", "limit", 7)
	c.about(at.Add(complaintInterval), "refused", "10.0.0.3:3")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{"msg=refused client=10.0.0.1:1", "msg=another client=10.0.0.2:2 limit=7", "msg=refused client=10.0.0.3:3 others_before=4"}
	if len(lines) != len(want) {
		t.Fatalf("logged %q", lines)
	}
	for i := range want {
		if !strings.HasSuffix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
}
