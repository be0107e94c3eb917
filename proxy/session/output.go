package session

// emit queues bytes for the client.
func (s *Session) emit(p []byte) {
	if !s.silenced() {
		s.put(p)
	}
	s.conn.Flush()
}

// put queues bytes behind all that the client is to get before them.
func (s *Session) put(p []byte) {
	if s.withheld.any() {
		s.withheld.withhold(p)
		return
	}
	s.out.Append(p)
}

// backlog is how many bytes of replies the client has yet to take.
func (s *Session) backlog() int { return s.out.Len() + len(s.withheld.bytes) }

// Flush implements eventloop.Handler: it goes on with the input, then writes what there is to write.
func (s *Session) Flush() {
	s.proceed()
	if s.closed {
		return
	}
	wasFull := s.backlog() >= softOutput
	for s.out.Unsent() > 0 {
		bufs := s.out.Next(s.bufs[:0], len(s.bufs))
		want := 0
		for _, b := range bufs {
			want += len(b)
		}
		n, err := s.conn.Writev(bufs)
		clear(bufs)
		s.out.Release(n)
		s.sent += uint64(n)
		if n > 0 {
			s.info.lastActive = s.env.Loop.Now()
		}
		if err != nil {
			s.close(ByPeer)
			return
		}
		if n < want {
			break
		}
	}
	if s.out.Len() == 0 && s.closeAfter && !s.withheld.any() {
		s.close(s.closeReason)
		return
	}
	if s.backlog()+len(s.pushes) > s.env.Config.OutputLimit {
		s.close(ByOutputLimit)
		return
	}
	if s.lagging(s.env.Loop.Now()) {
		s.close(ByPushLimit)
		return
	}
	if s.lanePaused != nil && s.backlog() < softOutput {
		s.lanePaused.Resume()
		s.lanePaused = nil
	}
	if wasFull && s.backlog() < softOutput {
		s.conn.Flush() // it was the output that held the input back
	}
}
