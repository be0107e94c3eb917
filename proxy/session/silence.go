package session

import "github.com/understudy/understudy/proxy/command"

// silence is what CLIENT REPLY has made of the replies to come. The proxy keeps it for itself, so that a silent client
// is served by lanes like any other.
type silence uint8

const (
	audible  silence = iota
	mute             // OFF
	skipping         // SKIP was just taken
	skipNext         // the next request is the one to skip
	skipThis         // the request under way is
)

// clientReply handles CLIENT REPLY. Nothing is outstanding.
func (s *Session) clientReply(args [][]byte) {
	switch command.Word(args[2]) {
	case "ON":
		s.silence = audible
		s.emit(replyOK)
	case "OFF":
		s.silence = mute
	case "SKIP":
		if s.silence != mute {
			s.silence = skipping
		}
	default:
		s.emit(errorReply("ERR syntax error"))
	}
}

// silenced reports whether the reply at hand is not wanted.
func (s *Session) silenced() bool { return s.silence == mute || s.silence == skipThis }

// tookRequest follows CLIENT REPLY SKIP after something was taken from the input.
func (s *Session) tookRequest() {
	switch s.silence {
	case skipping:
		s.silence = skipNext
	case skipThis:
		s.heard()
	}
}

// heard ends a skip once the request is answered.
func (s *Session) heard() {
	if s.silence == skipThis && s.settled() && s.later == nil {
		s.silence = audible
	}
}
