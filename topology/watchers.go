package topology

import (
	"slices"
	"sync"
)

// watchers delivers values, Snapshots or lists of requests, to those who watch: in order, never two calls at once, and with no lock held, so that
// what is called may call the coordinator in turn. There is no goroutine: whoever publishes delivers, and if somebody
// is delivering already (perhaps further up the same stack), leaves the rest to that one.
type watchers[T any] struct {
	mu         sync.Mutex
	last       int // the number of the newest watcher
	watching   []watcher[T]
	pending    []delivery[T]
	delivering bool
}

type watcher[T any] struct {
	number int
	call   func(T)
}

// delivery is one value on its way to the watchers with numbers in [from, to]: those that came after it was queued
// began with it or with a newer one.
type delivery[T any] struct {
	value    T
	from, to int
}

// watch registers f and queues first for it, if it is not nil. The caller holds whatever lock orders the values and
// calls deliver after releasing it. stop does not wait for a call that is being made.
func (w *watchers[T]) watch(f func(T), first *T) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	number := w.last
	w.watching = append(w.watching, watcher[T]{number, f})
	if first != nil {
		w.pending = append(w.pending, delivery[T]{*first, number, number})
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		// A new slice: deliver may be walking the old one.
		w.watching = slices.DeleteFunc(slices.Clone(w.watching), func(x watcher[T]) bool { return x.number == number })
	}
}

// queue adds a value for everybody who watches. Called and completed like watch.
func (w *watchers[T]) queue(v T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, delivery[T]{v, 0, w.last})
}

// deliver makes the calls that are due.
func (w *watchers[T]) deliver() {
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
				x.call(d.value)
				w.mu.Lock()
			}
		}
	}
	w.delivering = false
}

// watches reports whether the watcher has not been stopped meanwhile, by a call just made.
func (w *watchers[T]) watches(number int) bool {
	return slices.ContainsFunc(w.watching, func(x watcher[T]) bool { return x.number == number })
}
