package proxy

import (
	"cmp"
	"slices"

	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/proxy/session"
)

// directory answers what concerns all clients of the process. It asks the loops one after the other, each on its own
// goroutine, and brings the answer back to the loop of the session that asked.
type directory struct{ proxy *Proxy }

// Infos implements session.Directory.
func (d directory) Infos(from *session.Session, done func([]session.Info)) {
	var infos []session.Info
	d.visit(from, func(w *worker) {
		for s := range w.env.Sessions {
			infos = append(infos, s.Describe())
		}
	}, func() {
		slices.SortFunc(infos, func(a, b session.Info) int { return cmp.Compare(a.ID, b.ID) })
		done(infos)
	})
}

// Kill implements session.Directory.
func (d directory) Kill(from *session.Session, match func(*session.Info) bool, done func(int)) {
	killed := 0
	d.visit(from, func(w *worker) {
		for s := range w.env.Sessions {
			if i := s.Describe(); s != from && match(&i) {
				s.Close(session.ByKill)
				killed++
			}
		}
	}, func() { done(killed) })
}

// Unblock implements session.Directory.
func (d directory) Unblock(from *session.Session, id uint64, withError bool, done func(bool)) {
	answer := func(unblocked bool) { from.Loop().Post(func() { done(unblocked) }) }
	found := false
	d.visit(from, func(w *worker) {
		for s := range w.env.Sessions {
			if s.ID() == id {
				found = true
				s.Unblock(withError, answer)
			}
		}
	}, func() {
		if !found {
			done(false)
		}
	})
}

// Unpause implements session.Directory.
func (d directory) Unpause(from *session.Session, done func()) {
	d.visit(from, func(w *worker) {
		for s := range w.env.Sessions {
			s.Unpause()
		}
	}, done)
}

// Find implements session.Directory.
func (d directory) Find(from *session.Session, id uint64, done func(*session.Session)) {
	var found *session.Session
	d.visit(from, func(w *worker) {
		for s := range w.env.Sessions {
			if s.ID() == id {
				found = s
			}
		}
	}, func() { done(found) })
}

// Listeners implements session.Directory.
func (d directory) Listeners(from *session.Session, kind pubsub.Kind, names []string, done func([]pubsub.Count)) {
	counts := make([]pubsub.Count, len(names))
	d.visit(from, func(w *worker) {
		for i, name := range names {
			counts[i] = counts[i].Add(w.env.Hubs.Count(pubsub.Topic{Kind: kind, Name: name}))
		}
	}, func() { done(counts) })
}

// visit runs f on every loop in turn, and then done on from's.
func (d directory) visit(from *session.Session, f func(*worker), done func()) {
	workers := d.proxy.workers
	var step func(i int)
	step = func(i int) {
		if i == len(workers) {
			from.Loop().Post(done)
			return
		}
		workers[i].loop.Post(func() {
			f(workers[i])
			step(i + 1)
		})
	}
	step(0)
}
