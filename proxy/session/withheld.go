package session

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// withheld holds the replies to writes until these are durable, and every reply behind them, because replies come in
// order. With write-acks 0 it is always empty.
type withheld struct {
	bytes []byte
	items []pledge
	open  bool // the reply of the last item is still arriving
	timer eventloop.Timer
}

// pledge is one withheld reply to a write, or a run of other replies behind one.
type pledge struct {
	end   int       // of its bytes
	stamp uint64    // the sample as of which enough holders must be fresh; 0: it only waits for its turn
	due   time.Time // when the client is told that there are too few
}

var _ upstream.Claimant = (*Session)(nil)

// pledges reports whether the reply to a write is withheld until the write is durable. An error changes nothing, unless
// it is that of a script, which may have written before, nor does a command that found nothing to take, or whose condition
// was not met.
func (s *Session) pledges(kind upstream.Kind, sight upstream.Sight, frame []byte) bool {
	if s.env.Config.WriteAcks == 0 || kind == upstream.Repeatable {
		return false
	}
	switch sight {
	case upstream.Taking:
		if hasNothing(frame) {
			return false
		}
	case upstream.Conditional:
		if hasNothing(frame) || string(frame) == ":0\r\n" {
			return false
		}
	}
	return frame[0] != '-' || kind == upstream.Script
}

// pledge withholds what is emitted from now on: the reply to a write, up to seal, until the write is durable. The write
// has been answered by the master, so it is in the data of every replica that is fresh as of the next sample.
func (s *Session) pledge() {
	w := &s.withheld
	n := s.env.Freshness.Next()
	s.env.Freshness.Need(n)
	due := s.env.Loop.Now().Add(s.env.Config.WriteAcksTimeout)
	w.items = append(w.items, pledge{end: len(w.bytes), stamp: n, due: due})
	w.open = true
	if len(w.items) == 1 {
		s.env.Pool.Claim(s)
		w.timer = s.env.Loop.After(s.env.Config.WriteAcksTimeout, s.overdue)
	}
}

// seal says that the reply is whole.
func (s *Session) seal() { s.withheld.open = false }

// sealLate is seal for a reply that came in parts: what it waits for may have come meanwhile.
func (s *Session) sealLate() {
	if s.withheld.open {
		s.seal()
		s.env.Pool.Recheck()
	}
}

// doubtful reports whether it cannot be said what became of a write whose reply has come: the master may have been deposed,
// or the write cannot become durable any more.
func (s *Session) doubtful(c *upstream.Conn, kind upstream.Kind, sight upstream.Sight, frame []byte) bool {
	return kind != upstream.Repeatable && (!s.env.Pool.Answerable(c) || s.pledges(kind, sight, frame) && !s.env.Pool.Claimable())
}

// Waits implements upstream.Claimant.
func (s *Session) Waits() bool { return !s.closed && s.withheld.any() }

// withhold takes bytes for the client that must not overtake what is withheld.
func (w *withheld) withhold(p []byte) {
	if last := &w.items[len(w.items)-1]; !w.open && last.stamp != 0 {
		w.items = append(w.items, pledge{end: len(w.bytes)})
	}
	w.bytes = append(w.bytes, p...)
	w.items[len(w.items)-1].end = len(w.bytes)
}

func (w *withheld) any() bool { return len(w.items) > 0 }

// Honoured implements upstream.Claimant: every write stamped up to asOf is durable.
func (s *Session) Honoured(asOf uint64) (waits bool) {
	w := &s.withheld
	if s.closed {
		return false
	}
	n := 0
	for n < len(w.items) && w.items[n].stamp <= asOf && !(w.open && n == len(w.items)-1) {
		if w.items[n].stamp != 0 {
			s.env.Stats.Durable++
		}
		n++
	}
	s.surrender(n, nil)
	return w.any()
}

// Forsaken implements upstream.Claimant: whether what is withheld was carried out is not known any more, because the
// master that carried it out may be none, and no other is known to have it.
func (s *Session) Forsaken() {
	if s.closed {
		return
	}
	for _, p := range s.withheld.items {
		if p.stamp != 0 {
			s.env.Stats.Unknown++
			if s.env.Config.CloseAmbiguous {
				s.close(ByAmbiguity)
				return
			}
		}
	}
	if s.withheld.open { // nothing of it was given to the client, and the rest is not, either
		s.withheld.open = false
		if s.stream != nil {
			s.stream.mode = dropped
		}
	}
	s.surrender(len(s.withheld.items), []byte(unknownResult))
}

// overdue tells the client of writes that are not durable in time.
func (s *Session) overdue() {
	w := &s.withheld
	now, n := s.env.Loop.Now(), 0
	for n < len(w.items) && !w.items[n].due.After(now) && !(w.open && n == len(w.items)-1) {
		if w.items[n].stamp != 0 {
			s.env.Stats.Unreplicated++
		}
		n++
	}
	s.surrender(n, s.unreplicated())
	if len(w.items) > 0 {
		next := w.items[0].due
		w.timer = s.env.Loop.After(max(next.Sub(now), 10*time.Millisecond), s.overdue)
	}
}

func (s *Session) unreplicated() []byte {
	return resp.AppendError(nil, fmt.Sprintf("UNREPLICATED the master has carried out the command, but within %v fewer than %d replicas "+
		"were found to have what it changed, if anything (write-acks); that is lost if the master fails before they have it", s.env.Config.WriteAcksTimeout, s.env.Config.WriteAcks))
}

// surrender gives the client the first n of what is withheld, with instead in place of the replies to writes, if it is
// set. What comes behind them waits for nothing else.
func (s *Session) surrender(n int, instead []byte) {
	w := &s.withheld
	if n == 0 {
		return
	}
	for n < len(w.items) && w.items[n].stamp == 0 {
		n++
	}
	start := 0
	for _, p := range w.items[:n] {
		switch own := w.bytes[start:p.end]; {
		case len(own) == 0: // the client has silenced it
		case p.stamp != 0 && instead != nil:
			s.out.Append(instead)
		default:
			s.out.Append(own)
		}
		start = p.end
	}
	w.items = append(w.items[:0], w.items[n:]...)
	for i := range w.items {
		w.items[i].end -= start
	}
	w.bytes = append(w.bytes[:0], w.bytes[start:]...)
	if len(w.items) == 0 {
		w.timer.Stop()
		s.env.Pool.Disclaim(s)
		s.env.Pool.Recheck()
		if w.open = false; cap(w.bytes) > 16<<10 {
			w.bytes = nil
		}
	}
	s.conn.Flush()
}
