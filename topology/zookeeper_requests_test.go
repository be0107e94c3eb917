package topology

import (
	"testing"
	"time"
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
