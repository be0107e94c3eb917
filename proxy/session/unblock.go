package session

import (
	"slices"
	"strconv"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

const (
	// unblockPause is the time between two attempts to unblock a command that is still on its way to the server.
	unblockPause = time.Millisecond
	// leavePause is the same for a client that is leaving: nobody waits for the answer.
	leavePause = 5 * time.Millisecond
	// unblockPatience is how long that is tried.
	unblockPatience = time.Second
)

var clientUnblocked = []byte("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")

// clientUnblock answers CLIENT UNBLOCK id [TIMEOUT|ERROR], where the id is that of a client of the proxy. A server is asked
// for its permission and its opinion of the arguments, about a client that it has not.
func (s *Session) clientUnblock(args [][]byte, request []byte) bool {
	withError := len(args) == 4 && command.EqualFold(args[3], "ERROR")
	id, err := strconv.ParseUint(string(args[2]), 10, 63)
	ask := slices.Clone(args)
	if err == nil && strconv.FormatUint(id, 10) == string(args[2]) {
		ask[2] = nobody[1]
	}
	return s.whenPermitted(request, resp.AppendRequest(nil, ask...), func() {
		s.whenAsked(func(done func([]byte)) {
			s.env.Directory.Unblock(s, id, withError, func(unblocked bool) {
				n := int64(0)
				if unblocked {
					n = 1
				}
				done(resp.AppendInt(nil, n))
			})
		})
	})
}

// Unblock ends the command that the client blocks on, as if its time were over or with an error, and calls done with
// whether there was one to be ended, in the same turn or a later one.
func (s *Session) Unblock(withError bool, done func(unblocked bool)) {
	if !s.closed && s.heldBlocking {
		if s.unblocked = s.nothing; withError {
			s.unblocked = clientUnblocked
		}
		s.awaken()
		done(true)
		return
	}
	s.unblockUpstream(withError, s.await, s.env.Loop.Now().Add(unblockPatience), done)
}

// unblockUpstream asks the server to end what blocks on the session's pin. A command that is still on its way there does not
// block yet, though for its client it does, so the server is asked again until the command is answered, or until a time, if
// there is one.
func (s *Session) unblockUpstream(withError bool, a *await, until time.Time, done func(bool)) {
	if s.closed || !s.blocking() || s.await != a || !until.IsZero() && s.env.Loop.Now().After(until) {
		done(false)
		return
	}
	pause := unblockPause
	if until.IsZero() {
		pause = leavePause
	}
	s.env.Pool.Unblock(s.pin, withError, func(unblocked bool) {
		if unblocked {
			done(true)
			return
		}
		s.env.Loop.After(pause, func() { s.unblockUpstream(withError, a, until, done) })
	})
}
