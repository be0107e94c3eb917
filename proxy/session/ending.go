package session

// HalfClosed implements eventloop.Handler. What was asked before is still answered, as long as it does not block.
func (s *Session) HalfClosed(unread bool) {
	if s.blocking() || s.attach != nil || s.listening() || s.heldBlocking {
		s.close(ByPeer)
		return
	}
	if unread {
		return
	}
	s.peerDone = true
	s.proceed()
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
