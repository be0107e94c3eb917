package console

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/redcon"

	"github.com/understudy/understudy/resp"
)

// serve answers one command. Besides what operators ask there is what client libraries say before they ask anything.
func (s *Server) serve(c redcon.Conn, cmd redcon.Command) {
	who := c.Context().(*client)
	args := cmd.Args
	name := strings.ToUpper(string(args[0]))
	if !who.known && name != "AUTH" && name != "HELLO" && name != "QUIT" {
		c.WriteError("NOAUTH Authentication required.")
		return
	}
	switch name {
	case "PROXY", "FAILOVER":
		by := c.RemoteAddr() + " at the admin port"
		if who.name != "" {
			by = who.name + " at " + by
		}
		c.WriteRaw(s.ask(args, who.proto, by))
	case "INFO":
		s.info(c, who, args[1:])
	case "PING":
		switch len(args) {
		case 1:
			c.WriteString("PONG")
		case 2:
			c.WriteBulk(args[1])
		default:
			wrongNumber(c, name)
		}
	case "AUTH":
		s.auth(c, who, args[1:])
	case "HELLO":
		s.hello(c, who, args[1:])
	case "CLIENT":
		s.client(c, who, args[1:])
	case "COMMAND": // redis-cli asks, to help with typing
		c.WriteArray(0)
	case "SELECT":
		c.WriteString("OK")
	case "QUIT":
		c.WriteString("OK")
		c.Close()
	default:
		c.WriteError(fmt.Sprintf("ERR unknown command '%.128s': this is Understudy's admin port, which answers PROXY and INFO; try PROXY HELP", args[0]))
	}
}

func wrongNumber(c redcon.Conn, name string) {
	c.WriteError(fmt.Sprintf("ERR wrong number of arguments for '%s' command", strings.ToLower(name)))
}

// info answers INFO with or without sections. There is one, and a server leaves out those that it does not have.
func (s *Server) info(c redcon.Conn, who *client, sections [][]byte) {
	text := ""
	if len(sections) == 0 {
		text = s.admin.Info()
	}
	for _, section := range sections {
		switch strings.ToLower(string(section)) {
		case "understudy", "all", "everything", "default":
			text = s.admin.Info()
		}
	}
	c.WriteRaw(resp.AppendVerbatim(nil, who.proto, "txt", text))
}

// auth answers AUTH [default] password.
func (s *Server) auth(c redcon.Conn, who *client, args [][]byte) {
	switch {
	case len(args) != 1 && len(args) != 2:
		wrongNumber(c, "auth")
	case !s.admits(who, args):
		c.WriteError(wrongPassword)
	default:
		c.WriteString("OK")
	}
}

const wrongPassword = "WRONGPASS invalid username-password pair or user is disabled."

// admits checks what AUTH was given, and remembers whether it was right. A wrong password makes nobody known less. Without
// a password everything is right, as for a server's user with nopass: the variables of a container hold the password of
// the nodes, and who asks from inside it says that one.
func (s *Server) admits(who *client, args [][]byte) bool {
	if s.password == "" {
		return true
	}
	right := s.isPassword(string(args[len(args)-1])) && (len(args) == 1 || string(args[0]) == "default")
	who.known = who.known || right
	return right
}

// hello answers HELLO [2|3 [AUTH default password] [SETNAME name]].
func (s *Server) hello(c redcon.Conn, who *client, args [][]byte) {
	proto, name := who.proto, who.name
	if len(args) > 0 {
		switch string(args[0]) {
		case "2":
			proto = 2
		case "3":
			proto = 3
		default:
			c.WriteError("NOPROTO unsupported protocol version")
			return
		}
		args = args[1:]
	}
	for len(args) > 0 {
		switch option := strings.ToUpper(string(args[0])); {
		case option == "AUTH" && len(args) > 2:
			if !s.admits(who, args[1:3]) {
				c.WriteError(wrongPassword)
				return
			}
			args = args[3:]
		case option == "SETNAME" && len(args) > 1:
			if !isName(args[1]) {
				c.WriteError(invalidName)
				return
			}
			name, args = string(args[1]), args[2:]
		default:
			c.WriteError(fmt.Sprintf("ERR Syntax error in HELLO option '%.128s'", args[0]))
			return
		}
	}
	if !who.known {
		c.WriteError("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	who.proto, who.name = proto, name
	b := resp.AppendMap(nil, proto, 3)
	b = resp.AppendBulkString(resp.AppendBulkString(b, "server"), "understudy")
	b = resp.AppendInt(resp.AppendBulkString(b, "proto"), int64(proto))
	b = resp.AppendBulkString(resp.AppendBulkString(b, "role"), "admin")
	c.WriteRaw(b)
}

const invalidName = "ERR Client names cannot contain spaces, newlines or special characters."

// isName reports whether Redis takes a client name. It is found again in logs and events.
func isName(name []byte) bool {
	return !slices.ContainsFunc(name, func(b byte) bool { return b < '!' || b > '~' })
}

// client answers CLIENT SETNAME, GETNAME and SETINFO.
func (s *Server) client(c redcon.Conn, who *client, args [][]byte) {
	if len(args) == 0 {
		wrongNumber(c, "client")
		return
	}
	switch sub := strings.ToUpper(string(args[0])); {
	case sub == "SETNAME" && len(args) == 2 && !isName(args[1]):
		c.WriteError(invalidName)
	case sub == "SETNAME" && len(args) == 2:
		who.name = string(args[1])
		c.WriteString("OK")
	case sub == "SETINFO" && len(args) == 3:
		c.WriteString("OK")
	case sub == "GETNAME" && len(args) == 1:
		c.WriteRaw(resp.AppendBulkString(nil, who.name))
	default:
		c.WriteError("ERR the admin port answers CLIENT SETNAME, GETNAME and SETINFO; for the proxy's clients ask at their port")
	}
}
