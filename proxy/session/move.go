package session

import (
	"math/rand/v2"
	"time"

	"github.com/understudy/understudy/proxy/freshness"
)

// moveEvery is how often, about, a session looks whether another replica has fewer sessions.
const moveEvery = time.Second

// move lets a session go to a replica that fewer sessions read from. A session stays where it is because nobody else is
// known to have all that it has seen there; so where many came to the first replica that had caught up, they would stay
// together for ever. To leave it waits, for about as long as replication takes, until others have it, too. It reports
// whether the session waits.
func (s *Session) move(want *freshness.Want) bool {
	if s.seenAt == nil || s.policy != Causal {
		return false
	}
	if s.moving {
		s.moving = false
		want.At = nil
		if s.floor > s.seenAt.AsOf() {
			want.At = s.seenAt // the wait was in vain
		}
		return false
	}
	now := s.env.Loop.Now()
	if now.Before(s.moveAt) {
		return false
	}
	first := s.moveAt.IsZero()
	s.moveAt = now.Add(moveEvery/2 + rand.N(moveEvery))
	if first || !s.group.Crowded(s.seenAt) {
		return false
	}
	s.moving = s.letCatchUp()
	return s.moving
}
