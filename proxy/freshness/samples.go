package freshness

import "time"

// maxSamples bounds how many samples are remembered that a replica may still reach. When there are more, every second
// of the older half is forgotten: so those that remain lie the further apart the older they are, and a replica that is
// far behind is taken to be a little further behind than it is.
const maxSamples = 128

// Samples is the taking of samples under one reign. It belongs to one goroutine.
type Samples struct {
	tracker  *Tracker
	answered []sample // by number, and so by offset
	begun    time.Time
}

// sample is the master's answer to one.
type sample struct {
	n      uint64
	offset int64
	begun  time.Time
}

// NewSamples begins to take samples under a reign.
func (t *Tracker) NewSamples() *Samples { return &Samples{tracker: t} }

// Begin returns the number of a sample that is sent to the master right after the call, not before it. It must have been
// answered, or be given up, before the next one is begun.
func (s *Samples) Begin(now time.Time) uint64 {
	s.begun = now
	return s.tracker.sent.Add(1)
}

// Answered says what the master answered to sample n: the offset that its history had come to.
func (s *Samples) Answered(n uint64, offset int64) {
	if k := len(s.answered); k > 0 && s.answered[k-1].offset == offset {
		s.answered[k-1].n, s.answered[k-1].begun = n, s.begun // nothing was written in between
		return
	}
	if len(s.answered) == maxSamples {
		older := s.answered[:maxSamples/2]
		kept := 0
		for i := 0; i < len(older); i += 2 {
			s.answered[kept] = older[i]
			kept++
		}
		s.answered = append(s.answered[:kept], s.answered[maxSamples/2:]...)
	}
	s.answered = append(s.answered, sample{n, offset, s.begun})
}

// Last returns the number of the last sample that the master answered, 0 for none.
func (s *Samples) Last() uint64 {
	if k := len(s.answered); k > 0 {
		return s.answered[k-1].n
	}
	return 0
}

// Reached says that a replica of this reign's master is known, now, to have processed its history up to an offset. It
// reports whether the replica is fresher than it was known to be, and has told those who watch.
func (s *Samples) Reached(r *Replica, offset int64, now time.Time) bool {
	for i := len(s.answered) - 1; i >= 0; i-- {
		if a := s.answered[i]; a.offset <= offset {
			if a.n <= r.asOf.Load() {
				return false
			}
			r.begun.Store(int64(s.tracker.Age(a.begun)))
			r.asOf.Store(a.n)
			lag := r.lag.Load()
			r.lag.Store(lag + (int64(now.Sub(a.begun))-lag)/4)
			s.tracker.progress()
			return true
		}
	}
	return false
}
