package eventloop

import (
	"container/heap"
	"time"
)

// timers holds what is due later, the earliest first.
type timers []*timer

type timer struct {
	at    time.Time
	f     func()
	index int // in the heap; -1 when it is no longer there
	owner *timers
}

func (ts *timers) add(at time.Time, f func()) *timer {
	t := &timer{at: at, f: f, owner: ts}
	heap.Push(ts, t)
	return t
}

// Stop implements Timer.
func (t *timer) Stop() {
	if t.index >= 0 {
		heap.Remove(t.owner, t.index)
	}
}

// next returns how long it is from now until something is due, or ok false when nothing is.
func (ts timers) next(now time.Time) (d time.Duration, ok bool) {
	if len(ts) == 0 {
		return 0, false
	}
	return max(0, ts[0].at.Sub(now)), true
}

// run calls everything that is due at now.
func (ts *timers) run(now time.Time) {
	for len(*ts) > 0 && !(*ts)[0].at.After(now) {
		heap.Pop(ts).(*timer).f()
	}
}

// The methods below are heap.Interface.

func (ts timers) Len() int           { return len(ts) }
func (ts timers) Less(i, j int) bool { return ts[i].at.Before(ts[j].at) }
func (ts timers) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].index, ts[j].index = i, j
}

func (ts *timers) Push(x any) {
	t := x.(*timer)
	t.index = len(*ts)
	*ts = append(*ts, t)
}

func (ts *timers) Pop() any {
	old := *ts
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*ts = old[:len(old)-1]
	t.index = -1
	return t
}
