package session

import (
	"errors"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/resp"
)

// hint tells of a command that does less than it would seem.
func (s *Session) hint(cmd *command.Command) {
	if s.env.Alone != nil && cmd.Alone() {
		s.env.Alone(s, cmd)
	}
}

// handle deals with one request of whatever class. It returns false when that is not possible yet.
func (s *Session) handle(cmd *command.Command, class command.Class, args [][]byte, request, ahead []byte) bool {
	if s.loadFirst(cmd, args) {
		return false
	}
	s.remembered(cmd, args)
	class = s.byReplicas(cmd, class, args)
	b := s.newBatch()
	if s.atMaster {
		b.dest, b.because = toMaster, freshness.NoReplica
	}
	ordinary := s.ordinary(cmd, class, args)
	if ordinary {
		s.plan(cmd, class, args, len(request))
		// With tracking it has a connection of its own anyway, and there alone is it known what it reads, and who writes.
		if b.dest != toMaster || len(request) < largeRequest || class == command.Scan || s.track != nil {
			return s.dispatch(request)
		}
	}
	if s.outstanding > 0 {
		s.draining = true
		return false
	}
	if ordinary {
		return s.sendLarge(cmd, class, request, b.because)
	}
	return s.atTheDoor(cmd, class, args) || s.special(cmd, class, args, request, ahead)
}

// atTheDoor answers what is wrong whoever asks, what is answered whoever asks, and those who have not said who they are. It
// returns false if the request is none of these.
func (s *Session) atTheDoor(cmd *command.Command, class command.Class, args [][]byte) bool {
	if cmd.Name == "POST" || cmd.Name == "HOST:" {
		// A browser was tricked into talking to this port. A server hangs up before it comes to the body, which may
		// hold commands, and so do we.
		s.env.Stats.ProtocolErrors++
		s.quit(ByProtocolError)
		return true
	}
	if cmd.Known() && !cmd.Accepts(len(args)) {
		s.emit(resp.AppendError(nil, cmd.ArityError()))
		return true
	}
	if class == command.Proxy && len(args) > 1 && command.EqualFold(args[1], "READ") && !s.stranger(cmd) {
		s.proxyRead(args)
		return true
	}
	if class == command.Proxy {
		// Other members are no users of the servers, and ask when the servers may not answer.
		if reply := s.env.Admin.Promise(args); reply != nil {
			s.emit(reply)
			return true
		}
		if s.ofMember(args) {
			return true
		}
	}
	if s.stranger(cmd) {
		text := "NOAUTH Authentication required."
		if cmd.Name == "EXEC" {
			text = "EXECABORT Transaction discarded because of: " + text
		}
		s.emit(errorReply(text))
		return true
	}
	return false
}

// special deals with one request that is not simply forwarded, of a client that may ask. Nothing is outstanding. It returns false when
// that is not possible yet.
func (s *Session) special(cmd *command.Command, class command.Class, args [][]byte, request, ahead []byte) bool {
	switch class {
	case command.MasterRead:
		if asksForListeners(cmd) && !s.ours(cmd) {
			return s.listeners(cmd, request)
		}
		s.whoAmI()
	case command.Session:
		return s.local(cmd, args, request)
	case command.Scan:
		return s.scan(cmd, args, request)
	case command.Scripts:
		return s.scripts(cmd, args, request)
	case command.Info:
		return s.infoCommand(args, request)
	case command.Proxy, command.Failover:
		return s.operate(args, request)
	case command.Transaction:
		return s.begin(cmd, args, request, ahead)
	case command.Blocking:
		return s.block(cmd, args, request)
	case command.Wait:
		return s.wait(cmd, args, request)
	case command.Subscribe:
		return s.subscribe(cmd, args)
	case command.Pinned:
		if cmd.Name == "CLIENT|REPLY" {
			s.clientReply(args)
			break
		}
		if tracksClients(cmd) {
			return s.trackClient(cmd, args, request)
		}
		if s.track != nil && cmd.Name != "MONITOR" {
			s.emit(errorReply("ERR " + cmd.Name + " is not supported on a connection with tracking through Understudy"))
			break
		}
		return s.attachFor(cmd, args, request)
	case command.Refused:
		if s.maySendDebug(cmd, args) {
			return s.askMaster(request, request, s.emit)
		}
		s.emit(resp.AppendError(nil, cmd.Refusal()))
	default:
		s.whoAmI() // nothing else of these classes comes here
	}
	return true
}

// malformed answers a protocol error and ends the session, as a server does.
func (s *Session) malformed(err error) {
	if s.outstanding > 0 || s.attach != nil && len(s.attach.expected) > 0 && !s.attach.opaque {
		s.draining = true
		return
	}
	s.env.Stats.ProtocolErrors++
	var perr *resp.ProtocolError
	if errors.As(err, &perr) {
		s.emit(resp.AppendError(nil, "ERR "+perr.Error()))
	}
	s.quit(ByProtocolError)
}
