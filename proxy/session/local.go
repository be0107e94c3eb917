package session

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

var (
	replyOK    = []byte("+OK\r\n")
	replyPong  = []byte("+PONG\r\n")
	replyReset = []byte("+RESET\r\n")
)

// local handles a command that concerns the client's connection, which is the proxy's affair. It returns false when
// it needs a node and there is none yet.
func (s *Session) local(cmd *command.Command, args [][]byte, request []byte) bool {
	switch name, _, _ := strings.Cut(cmd.Name, "|"); name {
	case "PING":
		switch len(args) {
		case 1:
			s.emit(replyPong)
		case 2:
			s.emit(resp.AppendBulk(nil, args[1]))
		default:
			s.emit(errorReply(cmd.ArityError()))
		}
	case "ECHO":
		s.emit(resp.AppendBulk(nil, args[1]))
	case "QUIT":
		s.tellAll()
		s.emit(replyOK)
		s.quit(ByQuit)
	case "RESET":
		s.reset()
		s.emit(replyReset)
	case "SELECT":
		return s.selectDB(args, request)
	case "AUTH":
		return s.auth(args, request)
	case "HELLO":
		return s.hello(args, request)
	case "CLIENT":
		return s.client(cmd, args, request)
	case "READONLY", "READWRITE", "ASKING":
		s.emit(errorReply("ERR This instance has cluster support disabled"))
	default:
		s.emit(errorReply("ERR " + cmd.Name + " is not supported through Understudy"))
	}
	return true
}

// reset brings the session back to where it began, as RESET does.
func (s *Session) reset() {
	s.endTracking()
	s.dropPin(false)
	s.detach()
	s.unsubscribe()
	s.tx = nil
	if s.silence != skipThis {
		s.silence = audible
	}
	s.login = ""
	s.regroup(upstream.Key{Proto: 2})
	s.info.Name = ""
	if s.env.Pool.ServerVersion() >= 702 { // before, it was forgotten
		s.noEvict = false
	}
	s.setPolicy(s.home)
}

// selectDB moves the session to another database: to other lanes. The SELECT itself is sent on the lane of that
// database, where it changes nothing, and the server's answer is the client's.
func (s *Session) selectDB(args [][]byte, request []byte) bool {
	key := s.key
	key.DB = database(args, key.DB) // where it is none the server refuses it, on whatever lane
	return s.become(key, request)
}

// become moves the session to the lanes of key, if the server takes a request that makes of a connection one of these. It is
// sent on such a lane, where it changes nothing.
func (s *Session) become(key upstream.Key, request []byte) bool {
	reply := func(frame []byte) {
		if frame[0] == '+' {
			s.regroup(key)
		}
		s.emit(frame)
	}
	if s.track != nil { // whose connection goes with it
		return s.askMaster(request, request, reply)
	}
	return s.tryKey(key, false, request, request, reply)
}

// auth has the master verify credentials, on a connection that nobody has authenticated yet.
func (s *Session) auth(args [][]byte, request []byte) bool {
	if len(args) > 3 {
		s.emit(errorReply("ERR syntax error"))
		return true
	}
	if s.ownUsers() {
		s.authOurs(args)
		return true
	}
	key := s.key
	key.User, key.Password = credentials(args)
	return s.tryKey(upstream.Key{Proto: 2}, true, request, request, func(frame []byte) {
		if frame[0] == '+' {
			s.regroup(key)
		}
		s.emit(frame)
	})
}

// tryKey asks the master something on a connection of another key, before the session moves. With verify that is about
// credentials, on a connection that has none, which is no longer so if they are accepted. request is what the client
// sent.
func (s *Session) tryKey(key upstream.Key, verify bool, request, ask []byte, reply func(frame []byte)) bool {
	return s.tryKeyTimes(key, verify, request, ask, 1, reply)
}

// tryKeyTimes is tryKey with several questions. reply gets all answers at once.
func (s *Session) tryKeyTimes(key upstream.Key, verify bool, request, ask []byte, replies int, reply func(frames []byte)) bool {
	if verify && !s.env.Pool.Verify(&s.place, s) {
		s.waitInLine()
		return s.declined()
	}
	group := s.env.Pool.Group(key)
	done, c := group.Release, (*upstream.Conn)(nil)
	if verify {
		done = func() {
			group.Release()
			s.env.Pool.Verified()
		}
		c = group.Pin(s)
	} else {
		c = group.Master()
	}
	if c == nil {
		done()
		s.hold()
		return s.declined()
	}
	s.release()
	if verify {
		s.pin, s.pinGroup = c, group
	}
	s.ask(c, upstream.Repeatable, ask, replies, &await{
		again: bytes.Clone(request),
		reply: func(_ *upstream.Conn, frames []byte) {
			reply(frames)
			refused := replies == 1 && frames[0] == '-' // and the connection is a stranger's still
			s.later = func() { s.dropPin(refused) }
		},
		done: done,
	})
	return true
}
