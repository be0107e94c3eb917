package topology

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestWhoWatchesRequestsIsToldOfThoseOfBeforeFirst(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	leaderOf(t, a)
	id, err := a.Submit(t.Context(), Request{Kind: Resume, By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Answer(t.Context(), id, Done, "resumed"); err != nil {
		t.Fatal(err)
	}
	told := make(chan []Request, 10)
	// One that has read nothing yet does not say that there are none: those of before would seem to be new.
	defer new(ZooKeeper).WatchRequests(func(list []Request) { t.Errorf("%v is told before anything is known", list) })()
	b := open(t, memberConfig(t, servers, "b"))
	defer b.WatchRequests(func(list []Request) { told <- list })()
	var first []Request
	select {
	case first = <-told:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is told of requests")
	}
	if len(first) != 1 || first[0].ID != id || first[0].Answer != Done {
		t.Errorf("the first that a new member tells of requests is %+v", first)
	}
}

func TestARequestWhoseAnswerWasLostIsUncertainAndIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	leaderOf(t, open(t, memberConfig(t, servers, "a")))
	b := open(t, memberConfig(t, through, "b"))
	ways.each(func(r *testcluster.Relay) { r.Freeze(testcluster.Downward) })
	_, err := b.Submit(t.Context(), Request{Kind: Resume, By: "ops"})
	if !errors.Is(err, ErrUncertain) || !strings.Contains(err.Error(), ErrUnreachable.Error()) || strings.Contains(err.Error(), "%!") {
		t.Errorf("the error is %v", err)
	}
	ways.heal()
	c := open(t, memberConfig(t, servers, "c"))
	if _, err := c.Submit(t.Context(), Request{Kind: Pause, By: "ops"}); err != nil {
		t.Fatal(err)
	}
	if list := c.Requests(); len(list) != 2 || list[0].Kind != Resume || list[1].Kind != Pause {
		t.Errorf("the requests are %+v", list)
	}
}
