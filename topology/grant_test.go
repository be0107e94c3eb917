package topology

import (
	"testing"
	"time"
	"unsafe"
)

// suspended returns t as a machine has it that was suspended for d before: its monotonic clock stood still. Go has no
// other way to make such a time.
func suspended(t time.Time, d time.Duration) time.Time {
	type layout struct {
		wall      uint64
		monotonic int64
		zone      *time.Location
	}
	t = t.Add(d)
	(*layout)(unsafe.Pointer(&t)).monotonic -= int64(d)
	return t
}

func TestAGrantEndsWhileTheMachineIsSuspended(t *testing.T) {
	now := time.Now()
	g := Grant{Epoch: 3, Until: now.Add(time.Second)}
	if later := suspended(now, 0); !g.Permits(3, later) {
		t.Error("there is no grant within its time")
	}
	later := suspended(now, time.Minute)
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
