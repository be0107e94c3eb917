package topology

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Submit implements Coordinator. Requests live in memory: one that was not answered when the process ended was not
// answered to anybody, and is forgotten. Ids go on from the one that the State's Outcome names, so that it is never
// taken for the outcome of another request.
func (l *Local) Submit(_ context.Context, r Request) (id string, err error) {
	err = l.changeRequests(func(list []Request) ([]Request, error) {
		l.lastID++
		if s := l.current.Load().State; s != nil && s.Outcome != nil {
			var past uint64
			if _, err := fmt.Sscanf(s.Outcome.Request, "%d", &past); err == nil {
				l.lastID = max(l.lastID, past+1)
			}
		}
		id = fmt.Sprintf("%010d", l.lastID)
		r.ID, r.At = id, time.Now()
		r.Answer, r.Text, r.Answered = "", "", time.Time{}
		return append(slices.Clone(list), r), nil
	})
	return id, err
}

// Requests implements Coordinator.
func (l *Local) Requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// WatchRequests implements Coordinator. stop does not wait for a call of f that is being made.
func (l *Local) WatchRequests(f func([]Request)) (stop func()) {
	l.mu.Lock()
	stop = l.asking.watch(f, &l.requests)
	l.mu.Unlock()
	l.asking.deliver()
	return stop
}

// Answer implements Coordinator.
func (l *Local) Answer(_ context.Context, id string, answer Answer, text string) error {
	return l.changeRequests(func(list []Request) ([]Request, error) {
		i := slices.IndexFunc(list, func(r Request) bool { return r.ID == id && r.Answer == "" })
		if i < 0 {
			return nil, ErrNoRequest
		}
		list = slices.Clone(list)
		list[i].Answer, list[i].Text, list[i].Answered = answer, text, time.Now()
		return forgetOld(list), nil
	})
}

// changeRequests replaces the list by what change makes of it.
func (l *Local) changeRequests(change func([]Request) ([]Request, error)) error {
	l.mu.Lock()
	err := ErrClosed
	if !l.closed.Load() {
		var next []Request
		if next, err = change(l.requests); err == nil {
			l.requests = next
			l.asking.queue(next)
		}
	}
	l.mu.Unlock()
	l.asking.deliver()
	return err
}

// forgetOld drops the oldest of the answered requests beyond those that are kept.
func forgetOld(list []Request) []Request {
	answered := 0
	for _, r := range list {
		if r.Answer != "" {
			answered++
		}
	}
	return slices.DeleteFunc(list, func(r Request) bool {
		old := r.Answer != "" && answered > keptRequests
		if old {
			answered--
		}
		return old
	})
}
