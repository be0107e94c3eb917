package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

const invalidName = "ERR Client names cannot contain spaces, newlines or special characters."

// validName reports whether Redis takes a client name: printable ASCII without spaces.
func validName(name []byte) bool {
	return !slices.ContainsFunc(name, func(b byte) bool { return b < '!' || b > '~' })
}

// client handles CLIENT, whose subject is the proxy's clients, not the lanes.
func (s *Session) client(cmd *command.Command, args [][]byte, request []byte) bool {
	_, sub, _ := strings.Cut(cmd.Name, "|")
	switch sub {
	case "ID":
		s.emit(resp.AppendInt(nil, int64(s.id)))
	case "GETNAME":
		s.emit(s.nameReply(s.key.Proto))
	case "SETNAME":
		if !validName(args[2]) {
			s.emit(errorReply(invalidName))
			break
		}
		s.info.Name = string(args[2])
		s.emit(replyOK)
	case "SETINFO":
		s.setInfo(args)
	case "INFO":
		i := s.Describe()
		s.emit(resp.AppendVerbatim(nil, s.key.Proto, "txt", i.String()+"\n"))
	case "LIST":
		return s.clientList(args, request)
	case "KILL":
		return s.clientKill(args)
	case "UNBLOCK":
		return s.clientUnblock(args, request)
	case "NO-EVICT": // the lanes have it on already; a client's own memory is bounded by the proxy
		switch command.Word(args[2]) {
		case "ON", "OFF":
			s.noEvict = isOn(args[2])
			s.emit(replyOK)
		default:
			s.emit(errorReply("ERR syntax error"))
		}
	case "NO-TOUCH":
		key := s.key
		if on := isOn(args[2]); on || command.EqualFold(args[2], "OFF") {
			key.NoTouch = on
		} // else the server refuses it, on whatever lane
		return s.become(key, request)
	case "PAUSE", "UNPAUSE":
		return s.pausing(args, request, sub == "UNPAUSE")
	case "HELP":
		return s.askMaster(request, request, s.emit)
	case "":
		if len(args) < 2 {
			s.emit(errorReply("ERR wrong number of arguments for 'client' command"))
			break
		}
		s.emit(errorReply(unknownText(cmd, args, s.env.Pool.ServerVersion())))
	default:
		s.emit(errorReply("ERR CLIENT " + sub + " is not supported through Understudy"))
	}
	return true
}

func isOn(arg []byte) bool { return command.EqualFold(arg, "ON") }

// nameReply is the reply to CLIENT GETNAME.
func (s *Session) nameReply(proto int) []byte {
	if s.info.Name == "" {
		return resp.AppendNull(nil, proto)
	}
	return resp.AppendBulkString(nil, s.info.Name)
}

func (s *Session) setInfo(args [][]byte) {
	if !s.keepInfo(args) {
		s.emit(errorReply(fmt.Sprintf("ERR Unrecognized option '%s'", args[2])))
		return
	}
	s.emit(replyOK)
}

// keepInfo takes in what CLIENT SETINFO says, or reports that it is unknown.
func (s *Session) keepInfo(args [][]byte) bool {
	switch command.Word(args[2]) {
	case "LIB-NAME":
		s.info.LibName = string(args[3])
	case "LIB-VER":
		s.info.LibVersion = string(args[3])
	default:
		return false
	}
	return true
}

// whenAsked delivers an answer that comes from elsewhere in the process. The session takes nothing else until then.
func (s *Session) whenAsked(ask func(done func(reply []byte))) bool {
	s.await = &await{}
	s.outstanding++
	ask(func(reply []byte) {
		if !s.closed {
			s.endAwait()
			s.emit(reply)
		}
	})
	return true
}

// whenPermitted does something that concerns all clients, if the server lets the client do what request says: it knows
// the permissions, the users and the syntax. request changes nothing there. The replies of all nodes are the same.
func (s *Session) whenPermitted(asked, request []byte, do func()) bool {
	return s.askAnyNode(asked, request, func(frame []byte) {
		if frame[0] == '-' {
			s.emit(frame)
			return
		}
		do()
	})
}

// clientList answers CLIENT LIST [TYPE type] [ID id ...].
func (s *Session) clientList(args [][]byte, request []byte) bool {
	kept := keep(args)
	return s.whenPermitted(request, request, func() {
		s.whenAsked(func(done func([]byte)) {
			s.env.Directory.Infos(s, func(infos []Info) {
				var b strings.Builder
				for _, i := range listed(infos, kept) {
					b.WriteString(i.String())
					b.WriteByte('\n')
				}
				done(resp.AppendVerbatim(nil, s.key.Proto, "txt", b.String()))
			})
		})
	})
}

// listed are the clients that CLIENT LIST with these arguments, which the server has accepted, means: those with an ID in the
// order in which it names them.
func listed(infos []Info, args [][]byte) (list []*Info) {
	if len(args) > 3 && !command.EqualFold(args[2], "TYPE") {
		for _, a := range args[3:] {
			for i := range infos {
				if strconv.FormatUint(infos[i].ID, 10) == string(a) {
					list = append(list, &infos[i])
				}
			}
		}
		return list
	}
	for i := range infos {
		if len(args) < 4 || infos[i].is(strings.ToLower(string(args[3]))) {
			list = append(list, &infos[i])
		}
	}
	return list
}

// nobody is a filter of CLIENT KILL that no client of a server passes. Of several ID filters the last one counts.
var nobody = [][]byte{[]byte("ID"), []byte("9223372036854775807")}

// clientKill answers CLIENT KILL addr, and CLIENT KILL with filters.
func (s *Session) clientKill(args [][]byte) bool {
	old := len(args) == 3
	ask := slices.Clone(args[:2])
	if !old {
		ask = append(ask, args[2:]...)
		if user := s.strangeUser(ask); user != nil {
			s.emit(errorReply(fmt.Sprintf("ERR No such user '%s'", user)))
			return true
		}
	}
	ask = append(ask, nobody...)
	kept := keep(args)
	return s.whenPermitted(resp.AppendRequest(nil, args...), resp.AppendRequest(nil, ask...), func() { s.kill(kept, old) })
}

// strangeUser returns the user of a filter whom nobody knows, where the proxy has users of its own, and otherwise puts one
// whom the servers know in the place of those.
func (s *Session) strangeUser(filters [][]byte) []byte {
	for i := 2; i+1 < len(filters) && s.ownUsers(); i += 2 {
		if command.EqualFold(filters[i], "USER") {
			if _, known := s.env.Config.Users[string(filters[i+1])]; !known {
				return filters[i+1]
			}
			filters[i+1] = []byte("default")
		}
	}
	return nil
}

// kill closes the clients that CLIENT KILL with these arguments means. The server has accepted them.
func (s *Session) kill(args [][]byte, old bool) {
	match, skipMe := killFilter(args, old)
	me := s.Describe()
	suicide := !skipMe && match(&me)
	s.whenAsked(func(done func([]byte)) {
		s.env.Directory.Kill(s, match, func(n int) {
			if suicide {
				n++
			}
			switch {
			case old && n == 0:
				done(errorReply("ERR No such client"))
			case old:
				done(replyOK)
			default:
				done(resp.AppendInt(nil, int64(n)))
			}
			if suicide {
				s.quit(ByKill)
			}
		})
	})
}

// killFilter returns what tells whom CLIENT KILL means, and whether it spares its own client.
func killFilter(args [][]byte, old bool) (match func(*Info) bool, skipMe bool) {
	if old {
		addr := string(args[2])
		return func(i *Info) bool { return i.Addr == addr }, false
	}
	skipMe = true
	filters := map[string]func(*Info) bool{} // of several of a kind the last one counts
	for i := 2; i+1 < len(args); i += 2 {
		value := string(args[i+1])
		switch option := command.Word(args[i]); option {
		case "ID":
			filters[option] = func(i *Info) bool { return strconv.FormatUint(i.ID, 10) == value }
		case "TYPE":
			filters[option] = func(i *Info) bool { return i.is(strings.ToLower(value)) }
		case "ADDR":
			filters[option] = func(i *Info) bool { return i.Addr == value }
		case "LADDR":
			filters[option] = func(i *Info) bool { return i.LocalAddr == value }
		case "USER":
			filters[option] = func(i *Info) bool { return i.User == value }
		case "MAXAGE":
			age, err := strconv.ParseInt(value, 10, 64)
			filters[option] = func(i *Info) bool { return err == nil && int64(i.Age/time.Second) >= age }
		case "SKIPME":
			skipMe = command.EqualFold([]byte(value), "YES")
		default: // of a newer server: it is not known whom it means, so nobody
			filters[option] = func(*Info) bool { return false }
		}
	}
	return func(i *Info) bool {
		for _, passes := range filters {
			if !passes(i) {
				return false
			}
		}
		return true
	}, skipMe
}
