package session

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// greeting is what HELLO asks for.
type greeting struct {
	proto int     // 0: as it is
	auths []login // in the order in which they stand there; the last one counts
	name  *string
}

// login is an AUTH within HELLO.
type login struct {
	user, password string
	before         *string // the name that stands ahead of it
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
			g.auths = append(g.auths, login{string(args[i+1]), string(args[i+2]), g.name})
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
	g.become(len(g.auths), key)
	if g.name != nil {
		*name = *g.name
	}
}

// become makes of a key that of the user whom the first n AUTHs leave.
func (g *greeting) become(n int, key *upstream.Key) {
	if n > 0 {
		key.User, key.Password = g.auths[n-1].user, g.auths[n-1].password
	}
}

// partly makes of a session's key and name what a refused HELLO makes of them, if hasty: a server before 7.2 does what it reads
// at once, and takes nothing back when it finds fault with the rest. taken is how many AUTHs were accepted, before one that was
// not, if that is the fault.
func (g *greeting) partly(hasty bool, taken int, key *upstream.Key, name *string) {
	if !hasty {
		return
	}
	said := g.name
	if taken < len(g.auths) {
		said = g.auths[taken].before
	}
	g.become(taken, key)
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
	// Before the first connection nobody knows which way the servers have. Then each AUTH is tried, and greeted decides.
	mayBeHasty := hasty || s.env.Pool.ServerVersion() == 0
	if n := len(g.auths); n > 1 && !mayBeHasty {
		g.auths = g.auths[n-1:]
	}
	if s.ownUsers() && (refusal == "" || hasty) {
		if no := s.greetOurs(&g); no == wrongPass || refusal == "" {
			refusal = no
		}
	}
	key, name := s.key, s.info.Name
	if refusal != "" && !(mayBeHasty && len(g.auths) > 0) {
		g.partly(hasty, 0, &key, &s.info.Name)
		s.emit(errorReply(refusal))
		return true
	}
	if refusal == "" {
		g.applyTo(&key, &name)
	} else {
		g.partly(true, len(g.auths), &key, &name)
	}
	proto := strconv.Itoa(key.Proto)
	if len(g.auths) == 0 {
		return s.tryKey(key, false, request, resp.AppendRequestStrings(nil, "HELLO", proto), func(frame []byte) {
			s.greeted(&g, key, name, refusal, [][]byte{frame})
		})
	}
	var ask []byte
	for _, a := range g.auths {
		ask = resp.AppendRequestStrings(ask, "HELLO", proto, "AUTH", a.user, a.password)
	}
	return s.tryKeyTimes(upstream.Key{Proto: 2}, true, request, ask, len(g.auths), func(replies []byte) {
		s.greeted(&g, key, name, refusal, frames(replies))
	})
}

// greeted answers HELLO, when the master has said what it thinks of each AUTH. key and name are what an accepted one makes of
// those of the session, and refusal what is wrong nevertheless.
func (s *Session) greeted(g *greeting, key upstream.Key, name, refusal string, replies [][]byte) {
	last, hasty := replies[len(replies)-1], s.hasty()
	if !hasty {
		replies = replies[len(replies)-1:]
		if refusal != "" {
			s.emit(errorReply(refusal))
			return
		}
	}
	if wrong := slices.IndexFunc(replies, func(frame []byte) bool { return frame[0] == '-' }); wrong >= 0 {
		key, name, last = s.key, s.info.Name, replies[wrong]
		g.partly(hasty, wrong, &key, &name)
		refusal = ""
	}
	if key != s.key {
		s.regroup(key)
	}
	switch s.info.Name = name; {
	case refusal != "":
		s.emit(errorReply(refusal))
	default:
		s.emit(withID(last, s.id))
	}
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
