package topology

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

func TestARequestIsAnsweredOnceAndSeenByWhoWatches(t *testing.T) {
	l := openLocal(t, "")
	ctx := context.Background()
	var seen []string
	defer l.WatchRequests(func(list []Request) {
		line := ""
		for _, r := range list {
			line += fmt.Sprintf("%s:%s:%s ", r.ID, r.Kind, r.Answer)
		}
		seen = append(seen, line)
	})()
	first, err := l.Submit(ctx, Request{Kind: Pause, By: "ops", Answer: Done})
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.Submit(ctx, Request{Kind: Switchover, By: "ops"})
	if err != nil || second <= first {
		t.Fatalf("the ids are %s and %s (%v)", first, second, err)
	}
	if err := l.Answer(ctx, second, Refused, "paused"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{second, "0000000009"} {
		if err := l.Answer(ctx, id, Done, "again"); !errors.Is(err, ErrNoRequest) {
			t.Errorf("answering %s: %v", id, err)
		}
	}
	want := []string{"", "0000000001:pause: ", "0000000001:pause: 0000000002:switchover: ", "0000000001:pause: 0000000002:switchover:refused "}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
	list := l.Requests()
	if len(list) != 2 || list[1].Text != "paused" || list[1].Answered.IsZero() || time.Since(list[0].At) > time.Minute {
		t.Errorf("requests %+v", list)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Submit(ctx, Request{}); !errors.Is(err, ErrClosed) {
		t.Errorf("submit after close: %v", err)
	}
}

func TestOldAnswersAreForgottenAndOpenRequestsAreNot(t *testing.T) {
	l := openLocal(t, "")
	ctx := context.Background()
	open, err := l.Submit(ctx, Request{Kind: Pause})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * keptRequests {
		id, err := l.Submit(ctx, Request{Kind: Resume})
		if err == nil {
			err = l.Answer(ctx, id, Done, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	list := l.Requests()
	if len(list) != keptRequests+1 || list[0].ID != open || list[len(list)-1].ID != fmt.Sprintf("%010d", 2*keptRequests+1) {
		t.Errorf("%d requests are kept, from %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
}

func TestAPauseAndAnOutcomeSurviveARestartAndNoRequestTakesTheOutcomeOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l := openLocal(t, path)
	s := example()
	s.Paused = &Paused{Reason: "maintenance", By: "ops", Since: time.Unix(1700000000, 0).UTC()}
	s.Outcome = &Outcome{Request: "0000000041", Answer: Done, Text: "paused"}
	mustUpdate(t, l, s)
	s.Paused.Reason = "changed behind its back"
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLocal(t, path)
	if p := l.Snapshot().State.Paused; p == nil || p.Reason != "maintenance" || p.Since.Unix() != 1700000000 {
		t.Errorf("after a restart: %+v", p)
	}
	if id, err := l.Submit(context.Background(), Request{Kind: Resume}); id != "0000000042" || err != nil {
		t.Errorf("the id after outcome 41 is %s (%v)", id, err)
	}
}
