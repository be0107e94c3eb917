package session

import (
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// take takes requests from the redo list and then from buf, as far as they can be dealt with now, and returns how
// many bytes of buf that was.
func (s *Session) take(buf []byte) int {
	pos := 0
	for (pos < len(buf) || len(s.redo) > 0) && s.mayTake() {
		if len(s.redo) > 0 {
			if !s.takeRedo() {
				break
			}
			s.heard()
			continue
		}
		skip := s.silence == skipNext
		if skip {
			s.silence = skipThis
		}
		n := s.takeNext(buf[pos:])
		if n == 0 {
			if skip && s.silence == skipThis {
				s.silence = skipNext
			}
			break
		}
		s.tookRequest()
		s.answeredHere()
		pos += n
	}
	return pos
}

// takeNext takes one special request or one batch of ordinary ones.
func (s *Session) takeNext(buf []byte) int {
	t := s.track
	if t == nil {
		return s.takeInState(buf)
	}
	t.caching.used = false
	n := s.takeInState(buf)
	if n > 0 {
		t.took(s.last)
	}
	return n
}

// takeInState is takeNext, according to the state that the session is in.
func (s *Session) takeInState(buf []byte) int {
	s.limit()
	if s.attach != nil {
		return s.takeOne(buf, s.handleAttached)
	}
	if s.restricted() {
		return s.takeOne(buf, s.handleSubscriber)
	}
	if s.tx != nil {
		return s.takeOne(buf, s.handleInTransaction)
	}
	return s.takeBatch(buf)
}

// takeOne takes one request of whatever class and has it handled. It returns 0 when that is not possible yet.
func (s *Session) takeOne(buf []byte, handle func(*command.Command, command.Class, [][]byte, []byte) bool) int {
	n, err := s.parser.Parse(buf)
	if err != nil {
		s.parser.Reset()
		s.malformed(err)
		return 0
	}
	if n == 0 || len(s.parser.Args) == 0 {
		return n
	}
	args, request := s.parser.Args, buf[:n]
	if s.parser.Reencode {
		request = resp.AppendRequest(nil, args...)
	}
	cmd, class := s.table().Classify(args)
	s.took(cmd, len(args))
	s.following = buf[n:]
	done := false
	if cmd.Nameless(args) {
		done = s.handleUnknown(cmd, args)
	} else {
		done = !s.paused(cmd, class) && handle(cmd, class, args, request)
	}
	if s.following = nil; !done {
		s.parser.Reset()
		return 0
	}
	s.counted(1)
	return n + s.tookAhead()
}

// limit bounds what the client may send: as Redis does, tightly while it has not authenticated.
func (s *Session) limit() {
	s.parser.Limits = resp.DefaultLimits
	if s.unauthenticated() && !s.member {
		s.parser.Limits = resp.UnauthenticatedLimits
	}
}

// unauthenticated reports whether the servers would have the client authenticate first.
func (s *Session) unauthenticated() bool {
	if s.ownUsers() {
		return s.login == ""
	}
	return s.key.User == "" && s.key.Password == "" && s.env.Pool.AuthRequired()
}

// stranger reports whether the proxy must not answer a command by itself, because a server would not.
func (s *Session) stranger(cmd *command.Command) bool {
	return !cmd.Flags.Has(command.FlagNoAuth) && cmd.Name != "CLIENT" && s.unauthenticated()
}

// takeBatch gathers the ordinary requests at the front of buf, up to the first special one, and sends them together.
// A batch that holds a write goes to the master as a whole: so a read and the write that follows it in a pipeline
// cannot overtake each other, and nothing waits for a change of lanes in between.
func (s *Session) takeBatch(buf []byte) int {
	table, b := s.table(), s.newBatch()
	size, reads, most := 0, 0, s.mixed()
	room := s.allowance() - s.outstanding
	mixing := s.outstanding > 0 && s.lane.MixesWrites()
	if mixing {
		reads = s.outstanding - s.writes
	}
	if s.gaveUp {
		room = 1 // each is declined or served for itself
	}
	plainly := s.plainly()
	var last *command.Command
	words := 0
	for len(b.entries) < room && (size == 0 || s.underway+size < maxRequestBytes) {
		n, err := s.parser.Parse(buf[size:])
		if n == 0 || err != nil {
			if err != nil && size == 0 {
				s.malformed(err)
			}
			if err != nil {
				s.parser.Reset() // what came before is dealt with first; the error will be found again
			}
			break
		}
		args := s.parser.Args
		if len(args) == 0 { // what a server ignores
			if size == 0 {
				return n
			}
			break
		}
		cmd, class := table.Classify(args)
		if !plainly || !cmd.Plain() || s.parser.Reencode || n >= largeRequest {
			if cmd.Nameless(args) {
				if size == 0 {
					return s.takeUnknown(cmd, args, n)
				}
				break
			}
			if s.paused(cmd, class) {
				if size == 0 {
					s.parser.Reset()
					return 0
				}
				break
			}
			if !s.ordinary(cmd, class, args) || s.parser.Reencode || n >= largeRequest || s.unloaded(cmd, args) {
				if size == 0 {
					return s.takeSingle(cmd, class, args, buf, n)
				}
				break
			}
			s.remembered(cmd, args)
			s.hint(cmd)
			class = s.byReplicas(cmd, class, args)
		}
		if class != command.Write {
			if mixing && reads >= most {
				if size == 0 {
					s.cut()
					s.draining = true
					s.parser.Reset()
					return 0
				}
				break
			}
			reads++
		} else if !mixing {
			if reads > most || reads > maxMixed && !s.large() {
				break // they go by themselves
			}
			mixing = true
		}
		s.plan(cmd, class, args, n)
		last, words = cmd, len(args)
		size += n
	}
	if size == 0 {
		return 0
	}
	n := len(b.entries)
	if !s.dispatch(buf[:size]) {
		s.parser.Reset()
		return 0
	}
	s.took(last, words)
	s.counted(n)
	s.sentBatch(reads)
	return size
}

// ordinary reports whether a request is simply forwarded.
func (s *Session) ordinary(cmd *command.Command, class command.Class, args [][]byte) bool {
	if s.ours(cmd) {
		return false
	}
	switch class {
	case command.Read, command.Write:
		return true
	case command.MasterRead:
		return !asksForListeners(cmd)
	case command.Scan:
		return cursorOf(cmd, args) == 0
	case command.Session:
		switch cmd.Name {
		case "PING":
			// Behind requests that are under way a PING keeps its place in the order best by going with them.
			return s.outstanding > 0 || len(s.env.batch.entries) > 0 || s.key.User != ""
		case "ECHO":
			return s.key.User != "" // who may lack the permission for these two
		}
	}
	return false
}

// takeSingle takes the request of n bytes at the front of buf, which is special or must be encoded anew.
func (s *Session) takeSingle(cmd *command.Command, class command.Class, args [][]byte, buf []byte, n int) int {
	request, ahead := buf[:n], buf[n:]
	if s.parser.Reencode {
		request = resp.AppendRequest(nil, args...)
	}
	s.took(cmd, len(args))
	s.following = ahead
	done := s.handle(cmd, class, args, request, ahead)
	if s.following = nil; done {
		s.counted(1)
		return n + s.tookAhead()
	}
	s.parser.Reset()
	return 0
}

// takeUnknown takes the request of n bytes at the front of the input, which the table lacks.
func (s *Session) takeUnknown(cmd *command.Command, args [][]byte, n int) int {
	s.took(cmd, len(args))
	if !s.handleUnknown(cmd, args) {
		s.parser.Reset()
		return 0
	}
	s.counted(1)
	return n
}

// counted counts n requests that were taken from the client, whatever becomes of them.
func (s *Session) counted(n int) {
	s.taken += uint64(n)
	s.env.Stats.Requests += uint64(n)
}

// tookAhead returns how many bytes behind the request were taken with it.
func (s *Session) tookAhead() int {
	n := s.ahead
	s.ahead = 0
	return n
}

// dispatch sends the requests of the batch on one lane. It returns false when they have to wait.
func (s *Session) dispatch(requests []byte) bool {
	b := &s.env.batch
	n := len(b.entries)
	behind := s.writes > 0
	lane := s.chooseFresh(b.dest, s.need(), n, b.writes)
	if lane == nil {
		if !s.gaveUp || s.outstanding > 0 {
			return false
		}
		for range n {
			s.decline()
		}
		return true
	}
	lane.Append(requests)
	lane.Expect(b.entries...)
	if s.env.Touches.Wanted() && !lane.Master() {
		s.touch(requests)
	}
	s.writes += b.writes
	s.underway += len(requests)
	s.sentOn(lane, n)
	because := b.because
	switch {
	case b.writes > 0 || behind:
		because = freshness.BehindWrite
	case b.dest != toMaster:
		because = s.refusal
	}
	s.refusal = because // also of what follows on this lane before it is answered
	s.tally(lane, n-b.writes, b.writes, because)
	return true
}

// sentOn keeps the books after n requests were queued on a connection.
func (s *Session) sentOn(c *upstream.Conn, n int) {
	s.lane = c
	s.outstanding += n
}
