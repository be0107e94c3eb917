package topology

import (
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testclock"
)

func TestAGrantEndsWhileTheMachineIsSuspended(t *testing.T) {
	now := time.Now()
	g := Grant{Epoch: 3, Until: now.Add(time.Second)}
	if later := testclock.Suspended(now, 0); !g.Permits(3, later) {
		t.Error("there is no grant within its time")
	}
	later := testclock.Suspended(now, time.Minute)
	if !later.Before(g.Until) {
		t.Fatal("the monotonic clock went on: this test shows nothing")
	}
	if g.Permits(3, later) {
		t.Error("a grant of a second is one still a minute later, after the machine was suspended")
	}
	if late := now.Add(2 * time.Second); g.Permits(3, late) {
		t.Error("a grant of a second is one after two")
	}
}
