package upstream

import (
	"cmp"
	"slices"
)

// Waiter is a session that waits for a master.
type Waiter interface {
	// Resume tries again; it may Hold anew.
	Resume()
}

// Place is where a Waiter waits, if it does. It is kept by the Waiter, who leaves it when it ends: nobody is remembered who
// has gone, however long there is no master. Its zero value is a place nowhere. It must not be copied.
type Place struct {
	who        Waiter
	line       *line
	next, last *Place // behind it, before it
	number     uint64 // of its arrival
	lapsed     bool
}

// Leave takes the Waiter out of the line in which it waits, if it does.
func (at *Place) Leave() {
	if at.line != nil {
		at.line.remove(at)
	}
}

// Lapse says that the Waiter has given up. It is told when it may try again, but does not count any more.
func (at *Place) Lapse() {
	if at.line != nil && !at.lapsed {
		at.lapsed = true
		at.line.n--
	}
}

// line is those that wait, in the order in which they came to it. They are told in the order of their numbers.
type line struct {
	first, last *Place
	n           int // without those that have given up
}

func (l *line) empty() bool { return l.first == nil }

// add puts a Waiter at the end.
func (l *line) add(at *Place, w Waiter) {
	at.Leave()
	*at = Place{who: w, line: l, last: l.last}
	if l.last != nil {
		l.last.next = at
	} else {
		l.first = at
	}
	l.last = at
	l.n++
}

func (l *line) remove(at *Place) {
	if at.last != nil {
		at.last.next = at.next
	} else {
		l.first = at.next
	}
	if at.next != nil {
		at.next.last = at.last
	} else {
		l.last = at.last
	}
	if !at.lapsed {
		l.n--
	}
	*at = Place{}
}

// take returns the first one, which is in the line no more, or nil.
func (l *line) take() Waiter {
	at := l.first
	if at == nil {
		return nil
	}
	w := at.who
	l.remove(at)
	return w
}

// sort puts those that wait in the order of their numbers.
func (l *line) sort() {
	places, sorted := make([]*Place, 0, l.n), true
	for at := l.first; at != nil; at = at.next {
		sorted = sorted && (at.last == nil || at.last.number <= at.number)
		places = append(places, at)
	}
	if sorted {
		return
	}
	slices.SortStableFunc(places, func(a, b *Place) int { return cmp.Compare(a.number, b.number) })
	l.first, l.last = nil, nil
	for _, at := range places {
		at.last, at.next = l.last, nil
		if l.last != nil {
			l.last.next = at
		} else {
			l.first = at
		}
		l.last = at
	}
}

// resume lets those that are in line now try again, in order. Who comes back meanwhile waits for the next time.
func (l *line) resume() {
	l.sort()
	var called line
	for at := l.first; at != nil; at = at.next {
		at.line = &called
	}
	called, *l = *l, line{}
	for w := called.take(); w != nil; w = called.take() {
		w.Resume()
	}
}
