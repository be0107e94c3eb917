package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// Users are users of the proxy's own, by name. With them AUTH is answered by the proxy, and nobody is let in without.
type Users map[string]User

// User is one of them: what it sends is sent to the servers as another user.
type User struct {
	Password [sha256.Size]byte // the SHA-256 of its password
	// As and AsPassword are what it is at the servers. Without either it is their default user without a password.
	As, AsPassword string
}

// Strangers lists those that are nobody at the servers, sorted: where a server asks for a password, they may do nothing.
func (u Users) Strangers() []string {
	var names []string
	for name, user := range u {
		if user.As == "" && user.AsPassword == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// login returns the user with that name and password. It takes the same time whether or not there is a user of that
// name, and however much of the password is right.
func (u Users) login(name, password string) (user User, ok bool) {
	if name == "" {
		name = defaultUser
	}
	user, known := u[name]
	sum := sha256.Sum256([]byte(password))
	right := subtle.ConstantTimeCompare(sum[:], user.Password[:]) == 1
	return user, known && right
}

const (
	defaultUser  = "default"
	wrongPass    = "WRONGPASS invalid username-password pair or user is disabled."
	helloNoAuth  = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	noAuthInside = "is not supported inside a transaction, or between WATCH and EXEC, through Understudy where it has users of its own"
)

// ownUsers reports whether clients are users of the proxy's, not of the servers.
func (s *Session) ownUsers() bool { return s.env.Config.Users != nil }

// loginAs makes the session one of a user of the proxy, or returns false.
func (s *Session) loginAs(name, password string) bool {
	user, ok := s.env.Config.Users.login(name, password)
	if !ok {
		return false
	}
	if name == "" {
		name = defaultUser
	}
	key := s.key
	key.User, key.Password = user.As, user.AsPassword
	s.regroup(key)
	s.login = name
	return true
}

// authOurs answers AUTH where the proxy has users of its own.
func (s *Session) authOurs(args [][]byte) {
	if name, password := credentials(args); !s.loginAs(name, password) {
		s.emit(errorReply(wrongPass))
		return
	}
	s.emit(replyOK)
}

// greetOurs takes what HELLO says of the user, and leaves the rest, or returns the error that refuses it.
func (s *Session) greetOurs(g *greeting) (refusal string) {
	auths := g.auths
	g.auths = nil
	for _, a := range auths {
		if !s.loginAs(a.user, a.password) {
			g.name = a.before
			return wrongPass
		}
	}
	if s.login == "" {
		return helloNoAuth
	}
	return ""
}

// ours reports whether a request that would be forwarded is for the proxy where it has users of its own: who has not
// logged in is forwarded nowhere, and the servers do not know who it is.
func (s *Session) ours(cmd *command.Command) bool {
	return s.ownUsers() && (s.login == "" || cmd.Name == "ACL|WHOAMI")
}

// whoAmI answers ACL WHOAMI.
func (s *Session) whoAmI() { s.emit(resp.AppendBulkString(nil, s.login)) }
