package monitor

import (
	"time"

	"github.com/understudy/understudy/topology"
)

// acksPatience is how long after the last member that wants so many acknowledgements was seen the State keeps them: it may have
// answered writes as durable in the moment when it was killed, and may be about to start again.
const acksPatience = time.Minute

// wantedAcks is how many acknowledgements durable writes need: the most that any member wants. So they work as soon as
// one member asks for them, and go on working in a rolling restart, whoever leads.
type wantedAcks struct {
	in    *term // what is known in this term
	acks  int
	until time.Time // no fewer before, unless somebody wants more
}

// look takes in what the members that are present want at now. own is what this one wants, agreed what the State has.
func (w *wantedAcks) look(in *term, own, agreed int, members []topology.Member, now time.Time) {
	want := own
	for _, m := range members {
		want = max(want, m.WriteAcks)
	}
	if w.in != in {
		*w = wantedAcks{in: in, acks: agreed, until: now.Add(acksPatience)} // somebody may have wanted that until a moment ago
	}
	if want >= w.acks {
		w.until = now.Add(acksPatience)
	}
	if want > w.acks || !now.Before(w.until) {
		w.acks = want
	}
}

// writeAcks returns how many acknowledgements the State should have.
func (l *loop) writeAcks() int {
	switch own := l.cfg.WriteAcks; {
	case !l.coord.Shared():
		return own
	case l.wanted.in != l.term: // it has not looked yet
		return max(own, agreedAcks(l.snapshot.State))
	default:
		return max(own, l.wanted.acks)
	}
}

// agreedAcks is how many the State has.
func agreedAcks(s *topology.State) int {
	if s == nil || s.Durable == nil {
		return 0
	}
	return s.Durable.Acks
}
