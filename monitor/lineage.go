package monitor

import "github.com/understudy/understudy/topology"

// A promotion begins a new history where the old one ended, with a new name, and offsets go on from there. Until a
// replica has found the new master, it knows the old name only. If the new master dies in that moment, what is left are
// replicas of a history that is not that of State's master, and which have all of its data nevertheless. So State keeps
// by what way its master's history came to be, and up to where each piece of that is a part of it.

// maxPast is how many histories State remembers. There is one more with each change of master.
const maxPast = 8

// holds returns how much of the data of State's master n has: position, or, of a node that has not found that master yet,
// or was promoted before it did, how far it came in a history that the master's continues.
func (s *situation) holds(n node) (offset int64, has bool) {
	if offset, has = s.position(n); has {
		return offset, true
	}
	for _, h := range s.state.Past {
		switch h.ReplID {
		case n.ReplID:
			return min(n.Offset, h.Until), true
		case n.ReplID2:
			return min(n.Offset, n.SecondAt-1, h.Until), true
		}
	}
	return 0, false
}

// past returns the histories that n's continues, for a State in which n is master.
func (s *situation) past(n node) []topology.History {
	if n.ReplID == s.state.Master.ReplID {
		return s.state.Past
	}
	until, has := s.holds(n)
	if !has || until <= 0 || s.state.Master.ReplID == "" {
		return nil
	}
	past := []topology.History{{ReplID: s.state.Master.ReplID, Until: until}}
	for _, h := range s.state.Past {
		past = append(past, topology.History{ReplID: h.ReplID, Until: min(h.Until, until)})
	}
	return past[:min(len(past), maxPast)]
}

// inherited returns how far the master of a State had come in its history when that began; 0: not known.
func inherited(s *topology.State) int64 {
	if len(s.Past) == 0 {
		return 0
	}
	return s.Past[0].Until
}
