package monitor

import (
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// viewsLast is how long the views of other members may be old: a node that was silent for long is asked once a second.
const viewsLast = 2*longestPause + time.Second

// heed takes note of a resume that is asked for. What is held of the master by then may be of a while ago, because a node
// that has been down for long is not asked all the time, and a failover would follow at once: so it is asked again first.
func (l *loop) heed(now time.Time) {
	i := slices.IndexFunc(l.coord.Requests(), func(r topology.Request) bool { return r.Answer == "" && r.Kind == topology.Resume })
	switch s := l.snapshot.State; {
	case i < 0 || s == nil:
		l.resumeSeen = time.Time{}
	case l.resumeSeen.IsZero():
		l.resumeSeen = now
		if r := l.records[s.Master.Addr]; r != nil {
			r.watcher.doubt()
			r.watcher.ask()
		}
	}
}

// lookedAgain reports whether the master was looked at again since a resume was asked for, by this member, and has been
// looked at by the others since.
func (l *loop) lookedAgain(now time.Time) bool {
	since := now.Sub(l.resumeSeen)
	if l.resumeSeen.IsZero() || since >= viewsLast {
		return true
	}
	r := l.records[l.snapshot.State.Master.Addr]
	return len(l.members) < 2 && (r == nil || r.vitality.failed.After(l.resumeSeen))
}
