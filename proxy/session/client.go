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

// Info describes a client, as CLIENT LIST does.
type Info struct {
	ID         uint64
	Addr       string // of the client
	LocalAddr  string // of ours that it connected to
	Name       string // CLIENT SETNAME
	LibName    string // CLIENT SETINFO
	LibVersion string
	User       string
	DB         int
	Proto      int
	Age, Idle  time.Duration
	Blocked    bool
	Subscribed int // channels, patterns and shard channels
	Multi      int // commands queued in a transaction; -1 outside of one
	Input      int // bytes waiting
	Output     int
	Command    string // the last one that was special: "client|list"

	lastActive time.Time
}

// String is the line of CLIENT LIST, in the form of Redis 7.
func (i *Info) String() string {
	flags := "N"
	switch {
	case i.Blocked:
		flags = "b"
	case i.Subscribed > 0:
		flags = "P"
	case i.Multi >= 0:
		flags = "x"
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=-1 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=0 ssub=0 multi=%d "+
		"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=%d oll=0 omem=0 tot-mem=%d events=r cmd=%s user=%s redir=-1 resp=%d",
		i.ID, i.Addr, i.LocalAddr, i.Name, int(i.Age.Seconds()), int(i.Idle.Seconds()), flags, i.DB, i.Subscribed, i.Multi,
		i.Input, i.Output, i.Input+i.Output, i.Command, i.User, i.Proto)
}

// Describe returns what CLIENT LIST tells about the session.
func (s *Session) Describe() Info {
	i := s.info
	now := s.env.Loop.Now()
	i.ID, i.DB, i.Proto, i.Multi = s.id, s.key.DB, s.key.Proto, -1
	i.User = s.key.User
	if i.User == "" {
		i.User = "default"
	}
	i.Addr, i.LocalAddr = addrString(s.conn.RemoteAddr()), addrString(s.conn.LocalAddr())
	i.Age, i.Idle = now.Sub(s.since), now.Sub(i.lastActive)
	i.Blocked = s.blocking() || s.held
	if s.tx != nil && s.tx.multi {
		i.Multi = s.tx.queued
	}
	if s.attach != nil {
		i.Subscribed = s.attach.count()
	}
	i.Input, i.Output = len(s.in), s.out.Len()
	return i
}

func addrString(a fmt.Stringer) string {
	if a == nil {
		return ""
	}
	return a.String()
}

const invalidName = "ERR Client names cannot contain spaces, newlines or special characters."

// validName reports whether Redis takes a client name: printable ASCII without spaces.
func validName(name []byte) bool {
	return !slices.ContainsFunc(name, func(b byte) bool { return b < '!' || b > '~' })
}

// client handles CLIENT, whose subject is the proxy's clients, not the lanes.
func (s *Session) client(cmd *command.Command, args [][]byte) bool {
	_, sub, _ := strings.Cut(cmd.Name, "|")
	s.info.Command = strings.ToLower(cmd.Name)
	switch sub {
	case "ID":
		s.emit(resp.AppendInt(nil, int64(s.id)))
	case "GETNAME":
		if s.info.Name == "" {
			s.emit(resp.AppendNull(nil, s.key.Proto))
		} else {
			s.emit(resp.AppendBulkString(nil, s.info.Name))
		}
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
		return s.clientList(args)
	case "KILL":
		return s.clientKill(args)
	case "NO-EVICT": // the lanes have it on already; a client's own memory is bounded by the proxy
		switch strings.ToUpper(string(args[2])) {
		case "ON", "OFF":
			s.emit(replyOK)
		default:
			s.emit(errorReply("ERR syntax error"))
		}
	case "HELP":
		s.clientHelp()
	case "":
		if len(args) < 2 {
			s.emit(errorReply("ERR wrong number of arguments for 'client' command"))
			break
		}
		s.emit(errorReply(fmt.Sprintf("ERR unknown subcommand '%.128s'. Try CLIENT HELP.", args[1])))
	default:
		s.emit(errorReply("ERR CLIENT " + sub + " is not supported through Understudy"))
	}
	return true
}

func (s *Session) setInfo(args [][]byte) {
	switch strings.ToUpper(string(args[2])) {
	case "LIB-NAME":
		s.info.LibName = string(args[3])
	case "LIB-VER":
		s.info.LibVersion = string(args[3])
	default:
		s.emit(errorReply(fmt.Sprintf("ERR Unrecognized option '%s'", args[2])))
		return
	}
	s.emit(replyOK)
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

// clientList answers CLIENT LIST [TYPE type] [ID id ...].
func (s *Session) clientList(args [][]byte) bool {
	match := func(*Info) bool { return true }
	if len(args) > 2 {
		switch opt := strings.ToUpper(string(args[2])); {
		case opt == "TYPE" && len(args) == 4:
			kind := strings.ToLower(string(args[3]))
			if !slices.Contains([]string{"normal", "pubsub", "master", "replica", "slave"}, kind) {
				s.emit(errorReply(fmt.Sprintf("ERR Unknown client type '%s'", args[3])))
				return true
			}
			match = func(i *Info) bool { return i.is(kind) }
		case opt == "ID" && len(args) > 3:
			ids := map[uint64]bool{}
			for _, a := range args[3:] {
				id, err := strconv.ParseUint(string(a), 10, 64)
				if err != nil || id == 0 {
					s.emit(errorReply("ERR Invalid client ID"))
					return true
				}
				ids[id] = true
			}
			match = func(i *Info) bool { return ids[i.ID] }
		default:
			s.emit(errorReply("ERR syntax error"))
			return true
		}
	}
	return s.whenAsked(func(done func([]byte)) {
		s.env.Directory.Infos(s, func(infos []Info) {
			var b strings.Builder
			for i := range infos {
				if match(&infos[i]) {
					b.WriteString(infos[i].String())
					b.WriteByte('\n')
				}
			}
			done(resp.AppendVerbatim(nil, s.key.Proto, "txt", b.String()))
		})
	})
}

// is reports whether the client is of a TYPE: the proxy has no masters and replicas among its clients.
func (i *Info) is(kind string) bool {
	switch kind {
	case "normal":
		return i.Subscribed == 0
	case "pubsub":
		return i.Subscribed > 0
	}
	return false
}

// clientKill answers CLIENT KILL addr, and CLIENT KILL with filters.
func (s *Session) clientKill(args [][]byte) bool {
	var filters []func(*Info) bool
	skipMe, old := true, len(args) == 3
	if old {
		addr := string(args[2])
		filters = append(filters, func(i *Info) bool { return i.Addr == addr })
		skipMe = false
	} else if len(args)%2 != 0 {
		s.emit(errorReply("ERR syntax error"))
		return true
	}
	for i := 2; !old && i < len(args); i += 2 {
		value := string(args[i+1])
		switch strings.ToUpper(string(args[i])) {
		case "ID":
			id, err := strconv.ParseUint(value, 10, 64)
			if err != nil || id == 0 {
				s.emit(errorReply("ERR client-id should be greater than 0"))
				return true
			}
			filters = append(filters, func(i *Info) bool { return i.ID == id })
		case "TYPE":
			kind := strings.ToLower(value)
			if !slices.Contains([]string{"normal", "pubsub", "master", "replica", "slave"}, kind) {
				s.emit(errorReply(fmt.Sprintf("ERR Unknown client type '%s'", value)))
				return true
			}
			filters = append(filters, func(i *Info) bool { return i.is(kind) })
		case "ADDR":
			filters = append(filters, func(i *Info) bool { return i.Addr == value })
		case "LADDR":
			filters = append(filters, func(i *Info) bool { return i.LocalAddr == value })
		case "USER":
			filters = append(filters, func(i *Info) bool { return i.User == value })
		case "MAXAGE":
			age, err := strconv.ParseInt(value, 10, 64)
			if err != nil || age <= 0 {
				s.emit(errorReply("ERR maxage is not an integer or out of range"))
				return true
			}
			filters = append(filters, func(i *Info) bool { return i.Age >= time.Duration(age)*time.Second })
		case "SKIPME":
			switch strings.ToLower(value) {
			case "yes":
				skipMe = true
			case "no":
				skipMe = false
			default:
				s.emit(errorReply("ERR syntax error"))
				return true
			}
		default:
			s.emit(errorReply("ERR syntax error"))
			return true
		}
	}
	match := func(i *Info) bool {
		return !slices.ContainsFunc(filters, func(f func(*Info) bool) bool { return !f(i) })
	}
	me := s.Describe()
	suicide := !skipMe && match(&me)
	return s.whenAsked(func(done func([]byte)) {
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

func (s *Session) clientHelp() {
	lines := []string{
		"CLIENT <subcommand> [<arg> [value] [opt] ...]. Understudy answers these for its own clients:",
		"GETNAME", "    Return the name of the current connection.",
		"ID", "    Return the ID of the current connection.",
		"INFO", "    Return information about the current client connection.",
		"KILL <ip:port>", "    Kill connection made from <ip:port>.",
		"KILL <option> <value> [<option> <value> [...]]", "    Kill connections. Options: ADDR, LADDR, TYPE, USER, ID, MAXAGE, SKIPME.",
		"LIST [options ...]", "    Return information about client connections. Options: TYPE, ID.",
		"NO-EVICT (ON|OFF)", "    Accepted; Understudy's own connections are protected from eviction.",
		"SETNAME <name>", "    Assign the name <name> to the current connection.",
		"SETINFO <option> <value>", "    Set client meta attr. Options: LIB-NAME, LIB-VER.",
		"HELP", "    Print this help.",
	}
	b := resp.AppendArray(nil, len(lines))
	for _, l := range lines {
		b = resp.AppendSimple(b, l)
	}
	s.emit(b)
}
