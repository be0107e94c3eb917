package session

import (
	"bytes"
	"strconv"
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

// greeting is what HELLO asks for.
type greeting struct {
	proto          int // 0: as it is
	user, password string
	authenticates  bool
	name           *string
	before         *string // the name that stands ahead of AUTH
}

// parseGreeting reads the arguments of HELLO, or returns the error with which a server refuses them, and what stands ahead of
// its reason.
func parseGreeting(args [][]byte) (g greeting, refusal string) {
	if len(args) > 1 {
		v, err := strconv.ParseInt(string(args[1]), 10, 64)
		switch {
		case err != nil || strconv.FormatInt(v, 10) != string(args[1]): // no "+3" and no "03"
			return g, "ERR Protocol version is not an integer or out of range"
		case v != 2 && v != 3:
			return g, "NOPROTO unsupported protocol version"
		}
		g.proto = int(v)
	}
	for i := 2; i < len(args); {
		switch opt := command.Word(args[i]); {
		case opt == "AUTH" && i+2 < len(args):
			g.user, g.password, g.authenticates, g.before = string(args[i+1]), string(args[i+2]), true, g.name
			i += 3
		case opt == "SETNAME" && i+1 < len(args):
			if !validName(args[i+1]) {
				return g, invalidName
			}
			name := string(args[i+1])
			g.name = &name
			i += 2
		default:
			return g, "ERR Syntax error in HELLO option '" + string(args[i]) + "'"
		}
	}
	return g, ""
}

// applyTo makes of a session's key and name what an accepted HELLO makes of them.
func (g *greeting) applyTo(key *upstream.Key, name *string) {
	if g.proto != 0 {
		key.Proto = g.proto
	}
	if g.authenticates {
		key.User, key.Password = g.user, g.password
	}
	if g.name != nil {
		*name = *g.name
	}
}

// partly makes of a session's key and name what a refused HELLO makes of them, if hasty: a server before 7.2 does what it reads
// at once, and takes nothing back when it finds fault with the rest. stranger says that it was AUTH.
func (g *greeting) partly(hasty, stranger bool, key *upstream.Key, name *string) {
	said := g.name
	switch {
	case !hasty:
		return
	case stranger:
		said = g.before
	case g.authenticates:
		key.User, key.Password = g.user, g.password
	}
	if said != nil {
		*name = *said
	}
}

// hasty reports whether the servers do what they read of a HELLO before they have read all of it.
func (s *Session) hasty() bool {
	v := s.env.Pool.ServerVersion()
	return v > 0 && v < 702
}

// hello negotiates the protocol version, and may authenticate and set the name on the way.
func (s *Session) hello(args [][]byte, request []byte) bool {
	g, refusal := parseGreeting(args)
	hasty := s.hasty()
	if s.ownUsers() && (refusal == "" || hasty) {
		if no := s.greetOurs(&g); no == wrongPass || refusal == "" {
			refusal = no
		}
	}
	key, name := s.key, s.info.Name
	if refusal != "" && !(hasty && g.authenticates && !s.ownUsers()) {
		g.partly(hasty, refusal == wrongPass, &key, &s.info.Name)
		s.emit(errorReply(refusal))
		return true
	}
	if refusal == "" {
		g.applyTo(&key, &name)
	} else {
		g.partly(true, false, &key, &name)
	}
	ask, on := []string{"HELLO", strconv.Itoa(key.Proto)}, key
	if g.authenticates {
		ask, on = append(ask, "AUTH", key.User, key.Password), upstream.Key{Proto: 2}
	}
	return s.tryKey(on, g.authenticates, request, resp.AppendRequestStrings(nil, ask...), func(frame []byte) {
		if frame[0] == '-' {
			g.partly(hasty, g.authenticates, &key, &s.info.Name)
			s.emit(frame)
			return
		}
		s.regroup(key)
		s.info.Name = name
		if refusal != "" {
			s.emit(errorReply(refusal))
			return
		}
		s.emit(withID(frame, s.id))
	})
}

// withID replaces the id in a reply to HELLO, which is the lane's, by the client's.
func withID(hello []byte, id uint64) []byte {
	field := []byte("\r\n$2\r\nid\r\n:")
	before, after, found := bytes.Cut(hello, field)
	if !found {
		return hello
	}
	rest := after[bytes.IndexByte(after, '\r'):]
	out := append(bytes.Clone(before), field...)
	return append(strconv.AppendUint(out, id, 10), rest...)
}

// tryKey asks the master something on a connection of another key, before the session moves. With verify that is about
// credentials, on a connection that has none, which is no longer so if they are accepted. request is what the client
// sent.
func (s *Session) tryKey(key upstream.Key, verify bool, request, ask []byte, reply func(frame []byte)) bool {
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
	s.ask(c, upstream.Repeatable, ask, 1, &await{
		again: bytes.Clone(request),
		reply: func(_ *upstream.Conn, frame []byte) {
			reply(frame)
			refused := frame[0] == '-' // and the connection is a stranger's still
			s.later = func() { s.dropPin(refused) }
		},
		done: done,
	})
	return true
}
