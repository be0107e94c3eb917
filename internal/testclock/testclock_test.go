package testclock_test

import (
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testclock"
)

func TestTheWallClockGoesOnWhileTheMonotonicOneStandsStill(t *testing.T) {
	now := time.Now()
	later := testclock.Suspended(now.Add(time.Second), time.Hour)
	if got := later.Sub(now); got != time.Second {
		t.Errorf("%v have passed by the monotonic clock", got)
	}
	if got := later.Round(0).Sub(now.Round(0)); got != time.Hour+time.Second {
		t.Errorf("%v have passed by the wall clock", got)
	}
}
