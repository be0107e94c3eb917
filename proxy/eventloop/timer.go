package eventloop

import (
	"container/heap"
	"time"
)

// timers holds what is due later.
type timers struct {
	heap timerHeap
	last uint64 // sequence number given last
}

type timer struct {
	at    time.Time
	seq   uint64 // of two that are due at the same instant, the one that was added first comes first
	f     func()
	index int // in the heap; -1 when it is no longer there
	owner *timers
}

func (ts *timers) add(at time.Time, f func()) *timer {
	t := &timer{at: at, f: f, owner: ts}
	ts.push(t)
	return t
}

func (ts *timers) push(t *timer) {
	ts.last++
	t.seq = ts.last
	heap.Push(&ts.heap, t)
}

// Stop implements Timer.
func (t *timer) Stop() {
	if t.index >= 0 {
		heap.Remove(&t.owner.heap, t.index)
	}
}

// Reset implements Timer.
func (t *timer) Reset(d time.Duration) {
	t.Stop()
	t.at = time.Now().Add(max(0, d))
	t.owner.push(t)
}

// next returns how long it is from now until something is due, or ok false when nothing is.
func (ts *timers) next(now time.Time) (d time.Duration, ok bool) {
	if len(ts.heap) == 0 {
		return 0, false
	}
	return max(0, ts.heap[0].at.Sub(now)), true
}

// run calls everything that is due at now. What is added meanwhile waits for the next turn, even if it is due at once,
// so that a timer that renews itself cannot keep the loop from its connections.
func (ts *timers) run(now time.Time) {
	last := ts.last
	for len(ts.heap) > 0 {
		if t := ts.heap[0]; t.at.After(now) || t.seq > last {
			return
		}
		heap.Pop(&ts.heap).(*timer).f()
	}
}

// timerHeap is ordered by when its timers are due. It implements heap.Interface.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
