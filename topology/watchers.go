package topology

import (
	"slices"
	"sync"
)

// watchers delivers Snapshots to those who watch: in order, never two calls at once, and with no lock held, so that
// what is called may call the coordinator in turn. There is no goroutine: whoever publishes delivers, and if somebody
// is delivering already (perhaps further up the same stack), leaves the rest to that one.
type watchers struct {
	mu         sync.Mutex
	last       int // the number of the newest watcher
	watching   []watcher
	pending    []delivery
	delivering bool
}

type watcher struct {
	number int
	call   func(Snapshot)
}

// delivery is one Snapshot on its way to the watchers with numbers in [from, to]: those that came after it was queued
// began with it or with a newer one.
type delivery struct {
	snapshot Snapshot
	from, to int
}

// watch registers f and queues first for it, if there is a State. The caller holds whatever lock orders Snapshots and
// calls deliver after releasing it. stop does not wait for a call that is being made.
func (w *watchers) watch(f func(Snapshot), first Snapshot) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	number := w.last
	w.watching = append(w.watching, watcher{number, f})
	if first.State != nil {
		w.pending = append(w.pending, delivery{first, number, number})
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		// A new slice: deliver may be walking the old one.
		w.watching = slices.DeleteFunc(slices.Clone(w.watching), func(x watcher) bool { return x.number == number })
	}
}

// queue adds a Snapshot for everybody who watches. Called and completed like watch.
func (w *watchers) queue(s Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, delivery{s, 0, w.last})
}

// deliver makes the calls that are due.
func (w *watchers) deliver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.delivering {
		return
	}
	w.delivering = true
	for len(w.pending) > 0 {
		d := w.pending[0]
		w.pending = w.pending[1:]
		for _, x := range w.watching {
			if d.from <= x.number && x.number <= d.to && w.watches(x.number) {
				w.mu.Unlock()
				x.call(d.snapshot)
				w.mu.Lock()
			}
		}
	}
	w.delivering = false
}

// watches reports whether the watcher has not been stopped meanwhile, by a call just made.
func (w *watchers) watches(number int) bool {
	return slices.ContainsFunc(w.watching, func(x watcher) bool { return x.number == number })
}
