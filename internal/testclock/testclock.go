// Package testclock makes times for tests that no clock of this process shows.
package testclock

import (
	"time"
	"unsafe"
)

// Suspended returns t as a machine has it that was suspended for d before: its monotonic clock stood still. Go has no
// way to make such a time but to let time pass, so this writes into it.
func Suspended(t time.Time, d time.Duration) time.Time {
	type layout struct {
		wall      uint64
		monotonic int64
		zone      *time.Location
	}
	t = t.Add(d)
	(*layout)(unsafe.Pointer(&t)).monotonic -= int64(d)
	return t
}
