package session

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/resp"
)

// hold makes the session wait until there is a master to be had. Its input stays where it is.
func (s *Session) hold() {
	if s.gaveUp || s.held {
		return
	}
	if s.clock.running { // it blocks for longer than it is held
		s.env.Pool.HoldAs(&s.place, s, s.clock.number)
	} else {
		s.env.Pool.Hold(&s.place, s)
	}
	s.waitInLine()
}

// waitInLine makes the session wait until it is resumed.
func (s *Session) waitInLine() {
	if s.gaveUp || s.held {
		return
	}
	s.held = true
	if s.heldSince.IsZero() {
		s.env.Stats.Held++
		s.heldSince = s.env.Loop.Now()
		s.holdTimer = s.env.Loop.After(s.env.Config.HoldTimeout, s.giveUp)
	}
}

// Resume implements upstream.Waiter.
func (s *Session) Resume() {
	if s.closed {
		return
	}
	s.unhold()
	s.gaveUp = false
	s.proceed()
}

// unhold has the session wait for a master no more.
func (s *Session) unhold() {
	s.held, s.heldBlocking = false, false
	s.place.Leave()
}

// release lets the session use the master that was found. The time it has waited still counts until the master has
// answered: one that declines (-READONLY) is no end of the wait.
func (s *Session) release() { s.gaveUp = false }

// answered ends a hold: a request was answered.
func (s *Session) answered() {
	if !s.heldSince.IsZero() {
		s.heldSince = time.Time{}
		s.holdTimer.Stop()
		s.holdTimer = nil
	}
}

// answeredHere ends a hold if the request that was taken has been answered without a node: nothing of it is under way.
func (s *Session) answeredHere() {
	if s.outstanding == 0 {
		s.answered()
	}
}

// giveUp ends the patience of a session that has waited for too long: what needs a master and was not sent is declined. It
// is told nevertheless when there may be a master.
func (s *Session) giveUp() {
	s.heldSince, s.holdTimer = time.Time{}, nil
	s.held, s.heldBlocking, s.gaveUp = false, false, true
	s.place.Lapse()
	s.proceed()
}

// decline answers one request that needed a master. If it was to block, its time is over.
func (s *Session) decline() {
	s.clock.stop()
	s.env.Stats.HoldTimeouts++
	what := "no master was available"
	if s.env.Pool.Unconfirmed() {
		what = "the master may be well, but no permission to write to it came from ZooKeeper"
	}
	s.emit(resp.AppendError(nil, fmt.Sprintf("MASTERDOWN %s for %v; the command was not sent", what, s.env.Config.HoldTimeout)))
}
