package session

import "github.com/understudy/understudy/proxy/command"

// This file holds what arrives within a transaction and is not for its pin.

// withoutServer reports whether a command within a transaction is not for the pin: it concerns the client's own
// connection, or would make something else of the pin.
func (s *Session) withoutServer(cmd *command.Command, class command.Class) bool {
	switch class {
	case command.Session:
		if s.ownUsers() && (cmd.Name == "AUTH" || cmd.Name == "HELLO") {
			return true
		}
		if s.tx.multi { // queued like any other, unless it concerns all clients of the proxy
			return aboutAllClients[cmd.Name]
		}
		return cmd.Name != "SELECT" && cmd.Name != "AUTH" && cmd.Name != "HELLO" && cmd.Name != "CLIENT|NO-TOUCH"
	case command.Info:
		return !s.tx.multi
	case command.Pinned:
		return !harmlessWhenPinned[cmd.Name] || cmd.Name == "MONITOR" && !s.tx.multi
	case command.Refused, command.Proxy, command.Failover, command.Subscribe:
		return true
	}
	return false
}

var (
	// aboutAllClients are commands that the server cannot carry out within EXEC: it knows nothing of the proxy's clients.
	aboutAllClients = map[string]bool{"CLIENT|LIST": true, "CLIENT|KILL": true, "CLIENT|PAUSE": true, "CLIENT|UNPAUSE": true, "CLIENT|UNBLOCK": true}
	// harmlessWhenPinned are commands that leave a connection as it is: they ask about tracking, of which a connection with
	// a transaction has none, or the server refuses them. MONITOR it refuses within EXEC.
	harmlessWhenPinned = map[string]bool{"MONITOR": true, "CLIENT|CACHING": true, "CLIENT|TRACKINGINFO": true, "CLIENT|GETREDIR": true}
)

// besideTransaction deals with a command that the pin is not asked about, or that makes something else of the pin.
func (s *Session) besideTransaction(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	switch {
	case s.tx.multi && cmd.Known() && !cmd.Accepts(len(args)):
		s.refuseQueued(cmd.ArityError())
	case s.ownUsers() && (cmd.Name == "AUTH" || cmd.Name == "HELLO"):
		s.refuseQueued("ERR " + cmd.Name + " " + noAuthInside)
	case class == command.Refused && s.tx.multi:
		s.refuseQueued(cmd.Refusal())
	case s.tx.multi:
		s.refuseQueued("ERR " + cmd.Name + " is not supported inside a transaction through Understudy")
	case class == command.Pinned && cmd.Name != "CLIENT|REPLY" && !tracksClients(cmd) && cmd.Accepts(len(args)):
		return s.attachWatching(cmd, args, request)
	default:
		return s.handle(cmd, class, args, request, nil)
	}
	return true
}

// attachWatching makes an attachment of a pin with watched keys, which stay watched.
func (s *Session) attachWatching(cmd *command.Command, args [][]byte, request []byte) bool {
	if s.tx.broken { // EXEC will have to give nil, and no pin to come knows that
		s.close(ByLostPin)
		return true
	}
	if !s.env.Pool.Granted() {
		s.hold()
		return s.declined()
	}
	s.release()
	s.attach = &attachment{pin: s.pin, stateful: true}
	s.pin.Passthrough = true
	s.pin, s.tx = nil, nil
	s.passOn(cmd, cmd.Class, args, request)
	return true
}

// refuseQueued answers a command by an error of the proxy's own, and has EXEC aborted if there is a MULTI.
func (s *Session) refuseQueued(text string) {
	s.tx.dirty, s.tx.refused = s.tx.multi, s.tx.multi
	s.emit(errorReply(text))
}
