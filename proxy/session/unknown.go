package session

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// What the table does not have is not forwarded. It may be anything to the server: redis.conf may have renamed MULTI, a
// module may just have been loaded, and a server that compares names up to a NUL now and then takes SELECT\x00\x07 for
// SELECT. On a connection that is shared, or will be, each of them could change the state of strangers. So the master is
// asked first what it knows under that name (COMMAND INFO, over Understudy's own connection). If it is a command, it is in
// the table from then on, as what it is. If it is none, the client gets the server's words for that from here.

// nameless is what the master has said of a name that the table does not have.
type nameless struct {
	name  []byte
	error string // why it could not be asked; empty: it has no such command
}

// handleUnknown deals with one request that the table lacks. It returns false when that is not possible yet.
func (s *Session) handleUnknown(cmd *command.Command, args [][]byte) bool {
	if a := s.attach; s.outstanding > 0 || a != nil && len(a.expected) > 0 && !a.opaque {
		s.draining = true
		return false
	}
	name := args[0]
	switch {
	case cmd.Known(): // it is the subcommand
	case s.ownUsers() && s.login == "":
		s.emit(errorReply("NOAUTH Authentication required."))
		return true
	case command.EqualFold(name, "POST"), command.EqualFold(name, "HOST:"): // up to a NUL; see handle
		s.env.Stats.ProtocolErrors++
		s.quit(ByProtocolError)
		return true
	case command.EqualFold(name, "QUIT") && beforeRedis7(s.env.Pool.ServerVersion()): // when it was no command like others
		s.emit(replyOK)
		s.quit(ByQuit)
		return true
	case !command.Askable(name):
	case s.nameless == nil || !bytes.Equal(s.nameless.name, name):
		return s.askAbout(cmd, name)
	case s.nameless.error != "":
		s.refuseUnknown(s.nameless.error)
		return true
	}
	s.refuseUnknown(unknownText(cmd, args, s.env.Pool.ServerVersion()))
	return true
}

// refuseUnknown answers a request that is not forwarded. A server would have EXEC aborted as well.
func (s *Session) refuseUnknown(text string) {
	s.nameless = nil
	if s.tx != nil {
		s.refuseQueued(text)
		return
	}
	s.emit(errorReply(text))
}

// askAbout asks the master about a name. The request waits in the input until that is answered.
func (s *Session) askAbout(cmd *command.Command, name []byte) bool {
	s.nameless = nil
	group := s.env.Pool.Own()
	c := group.Master()
	if c == nil {
		group.Release()
		switch s.hold(); {
		case !s.gaveUp:
		case s.tx != nil:
			s.declineQueued(cmd)
		default:
			s.decline()
		}
		return s.gaveUp
	}
	s.release()
	name = bytes.Clone(name)
	s.await = &await{aside: true, done: group.Release, reply: func(_ *upstream.Conn, frame []byte) { s.toldAbout(name, frame) }}
	s.outstanding++
	s.lane = c
	c.Send(s, upstream.Repeatable, tagSpecial, resp.AppendRequest(nil, []byte("COMMAND"), []byte("INFO"), name), 1)
	return false
}

// toldAbout takes in what the master has said of a name.
func (s *Session) toldAbout(name, frame []byte) {
	switch known, err := s.env.Learn(name, frame); {
	case known:
	case err == nil:
		s.nameless = &nameless{name: name}
	default:
		text := fmt.Sprintf("ERR Understudy does not know the command '%s', and could not ask the master about it, so it was not sent. "+
			"Understudy's user needs COMMAND at every node: %v", printed(name, maxPrinted), err)
		switch string(resp.ErrorCode(frame)) {
		case "LOADING", "MASTERDOWN", "BUSY", "READONLY":
			text = strings.TrimSuffix(string(frame[1:]), "\r\n")
		}
		s.nameless = &nameless{name, text}
	}
}

// maxPrinted is how many bytes of what it does not know a server repeats.
const maxPrinted = 128

// unknownText is what a server of a version (702 is 7.2; 0: not known) says to a command or subcommand that it does not have.
func unknownText(cmd *command.Command, args [][]byte, version int) string {
	old := beforeRedis7(version)
	if cmd.Known() {
		format := "ERR unknown subcommand '%s'. Try %s HELP."
		if old {
			format = "ERR Unknown subcommand or wrong number of arguments for '%s'. Try %s HELP."
		}
		return fmt.Sprintf(format, printed(args[1], maxPrinted), command.Word(args[0]))
	}
	quote, after := "'", "' "
	if old {
		quote, after = "`", "`, "
	}
	var rest strings.Builder
	for _, a := range args[1:] {
		if rest.Len() >= maxPrinted {
			break
		}
		rest.WriteString(quote + printed(a, maxPrinted-rest.Len()) + after)
	}
	return fmt.Sprintf("ERR unknown command %s%s%s, with args beginning with: %s", quote, printed(args[0], maxPrinted), quote, rest.String())
}

// beforeRedis7 reports whether a version is known and older than 7.0.
func beforeRedis7(version int) bool { return version > 0 && version < 700 }

// printed is an argument as a program in C prints no more than n bytes of it: up to its first NUL.
func printed(arg []byte, n int) string {
	if i := bytes.IndexByte(arg, 0); i >= 0 {
		arg = arg[:i]
	}
	return string(arg[:min(n, len(arg))])
}
