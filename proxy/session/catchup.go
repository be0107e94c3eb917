package session

import (
	"time"

	"github.com/understudy/understudy/proxy/eventloop"
)

const (
	// stuckAt is how many times in a row a session's reads go to the master, for no other reason than what the session
	// has seen, before it waits for a replica.
	stuckAt = 4
	// catchUpShare is how many times as long as it has waited a session does not wait again.
	catchUpShare = 8
)

// catchUp is how a session comes back from the master. What it reads there is newer than what the replicas have, so the
// next read has to go there as well, for as long as one follows the other more quickly than replication. So now and then
// a read waits until a replica has what the session has seen, which takes about as long as replication does.
type catchUp struct {
	stuck int       // reads in a row that went to the master only because of what the session has seen
	since time.Time // the session waits; zero: it does not
	next  time.Time // before which it does not wait again
	timer eventloop.Timer
}

// waiting reports whether the session waits for a replica.
func (k *catchUp) waiting() bool { return !k.since.IsZero() }

// awaitReplica has the session wait for a replica if that is worth it, and reports whether it does.
func (s *Session) awaitReplica() bool {
	s.catchUp.stuck++
	return s.catchUp.stuck > stuckAt && s.letCatchUp()
}

// letCatchUp has the session wait until replicas have what it has seen, if that does not take long.
func (s *Session) letCatchUp() bool {
	k, limit := &s.catchUp, s.env.Config.MaxCatchUp
	if limit == 0 || s.gaveUp {
		return false
	}
	now := s.env.Loop.Now()
	if now.Before(k.next) {
		return false
	}
	if lag := s.group.Lag(); lag == 0 || lag > limit {
		k.next = now.Add(limit)
		return false
	}
	k.since = now
	k.timer = s.env.Loop.After(limit, func() {
		s.env.Pool.Desist(s)
		s.CaughtUp()
	})
	s.env.Stats.CaughtUp++
	s.env.Pool.CatchUp(s.floor, s)
	return true
}

// CaughtUp implements upstream.Catcher.
func (s *Session) CaughtUp() {
	if s.closed || !s.catchUp.waiting() {
		return
	}
	now := s.env.Loop.Now()
	s.catchUp.next = now.Add(catchUpShare * now.Sub(s.catchUp.since))
	s.stopCatchingUp()
	s.proceed()
}

// stopCatchingUp ends the wait.
func (s *Session) stopCatchingUp() {
	if k := &s.catchUp; k.waiting() {
		k.timer.Stop()
		k.since, k.timer, k.stuck = time.Time{}, nil, 0
	}
}
