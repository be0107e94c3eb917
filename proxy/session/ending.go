package session

import (
	"bytes"
	"time"
)

// HalfClosed implements eventloop.Handler. What was asked before is still answered, as long as it does not block.
func (s *Session) HalfClosed(unread bool) {
	if s.attach != nil || s.listening() || s.heldBlocking {
		s.close(ByPeer)
		return
	}
	if !s.leaving {
		s.leaving = true
		s.leave()
	}
	if unread || s.closed {
		return
	}
	s.peerDone = true
	s.proceed()
}

// leave is called when the client sends nothing more and has asked for something that may block. A server gives up a client that
// blocks when it sees its end, and answers one that does not block. Only the server can tell which it is: it is asked to end
// what blocks with an error, by which the reply can be told, and if there was an element to be had its reply is that. (The
// connection was closed at once here; an element that had just been popped went nowhere.)
func (s *Session) leave() {
	if !s.leaving || !s.blocking() {
		return
	}
	if !s.pin.Unblockable() {
		s.close(ByPeer)
		return
	}
	s.unblockUpstream(true, s.await, time.Time{}, func(bool) {}) // see leftBlocked
}

// leftBlocked reports whether a reply of the session's pin says that its client, which is leaving, did block. Then it is closed.
func (s *Session) leftBlocked(frame []byte) bool {
	if !s.leaving || !s.blocking() || !bytes.Equal(frame, clientUnblocked) {
		return false
	}
	s.close(ByPeer)
	return true
}

// Closed implements eventloop.Handler.
func (s *Session) Closed(error) { s.close(ByPeer) }

// quit closes the session once its output has been sent.
func (s *Session) quit(r CloseReason) {
	if s.closeAfter || s.closed {
		return
	}
	s.closeAfter, s.closeReason = true, r
	s.in = nil
	s.conn.Flush()
}

// Close ends the session now.
func (s *Session) Close(r CloseReason) { s.close(r) }

// Drain ends the session as soon as nothing of it is under way.
func (s *Session) Drain() {
	if s.settled() && len(s.in) == 0 || s.blocking() || s.attach != nil || s.listening() {
		s.quit(ByShutdown)
	}
}

func (s *Session) close(r CloseReason) {
	if s.closed {
		return
	}
	s.closed = true
	s.env.Stats.Closes[r]++
	s.place.Leave()
	if s.holdTimer != nil {
		s.holdTimer.Stop()
	}
	if s.pauseTimer != nil {
		s.pauseTimer.Stop()
	}
	if s.catchUp.waiting() {
		s.env.Pool.Desist(s)
		s.stopCatchingUp()
	}
	if s.lanePaused != nil {
		s.lanePaused.Resume()
	}
	s.endAwait()
	s.clock.stop()
	s.dropPin(false)
	s.detach()
	s.unsubscribe()
	s.endTracking()
	if s.ear != nil {
		s.ear.end()
	}
	if s.outstanding > 0 && s.lane != nil {
		s.lane.Forsake(s)
	}
	for _, c := range s.apart {
		if c != nil {
			c.Close()
		}
	}
	if s.withheld.any() {
		s.withheld.timer.Stop()
		s.withheld = withheld{}
		s.env.Pool.Disclaim(s)
	}
	s.out.Clear()
	s.in, s.pushes, s.redo, s.recovered, s.tx, s.later = nil, nil, nil, nil, nil, nil
	s.group.Release()
	s.seenAt.Leave()
	s.seenAt = nil
	delete(s.env.Sessions, s)
	s.conn.Close()
	s.env.Closed(s, r)
}
