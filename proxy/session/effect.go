package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// effect is what a command about the client's own connection, carried out by the server on the pin of a transaction,
// makes of the session. The client is the proxy's, so some answers are, too.
type effect struct {
	place int  // in the reply to EXEC
	moves bool // the pin is another one afterwards
	// take gets the server's reply, changes key to what the session's is now, and returns what the client is told.
	take func(key *upstream.Key, reply []byte) []byte
}

// effectOf returns the effect of a command, or nil.
func (s *Session) effectOf(cmd *command.Command, args [][]byte) *effect {
	if !cmd.Accepts(len(args)) {
		return nil
	}
	answer := func(take func(key *upstream.Key, reply []byte) []byte) *effect { return &effect{take: take} }
	change := func(take func(key *upstream.Key, reply []byte) []byte) *effect {
		return &effect{moves: true, take: func(key *upstream.Key, reply []byte) []byte {
			if reply[0] == '-' {
				return reply
			}
			return take(key, reply)
		}}
	}
	if cmd.Class == command.Scan {
		return answer(func(_ *upstream.Key, reply []byte) []byte { return appendClientCursor(nil, reply, s.pin.Run()) })
	}
	switch cmd.Name {
	case "SELECT":
		db := database(args, s.key.DB)
		return change(func(key *upstream.Key, reply []byte) []byte {
			key.DB = db
			return reply
		})
	case "AUTH":
		user, password := credentials(args)
		return change(func(key *upstream.Key, reply []byte) []byte {
			key.User, key.Password = user, password
			return reply
		})
	case "HELLO":
		g, _ := parseGreeting(args) // the server's refusal will be the same
		hasty := s.hasty()
		return answer(func(key *upstream.Key, reply []byte) []byte {
			if reply[0] == '-' {
				taken := len(g.auths)
				if bytes.HasPrefix(reply, []byte("-WRONGPASS")) {
					taken = 0 // or more: which of several was wrong it does not say
				}
				g.partly(hasty, taken, key, &s.info.Name)
				return reply
			}
			g.applyTo(key, &s.info.Name)
			return withID(reply, s.id)
		})
	case "ACL|WHOAMI":
		if s.ownUsers() {
			return answer(func(*upstream.Key, []byte) []byte { return resp.AppendBulkString(nil, s.login) })
		}
	case "CLIENT|ID":
		return answer(func(*upstream.Key, []byte) []byte { return resp.AppendInt(nil, int64(s.id)) })
	case "CLIENT|GETNAME":
		return answer(func(key *upstream.Key, _ []byte) []byte { return s.nameReply(key.Proto) })
	case "CLIENT|SETNAME":
		name := string(args[2])
		return change(func(_ *upstream.Key, reply []byte) []byte {
			s.info.Name = name
			return reply
		})
	case "CLIENT|INFO":
		return answer(func(key *upstream.Key, _ []byte) []byte {
			i := s.Describe()
			return resp.AppendVerbatim(nil, key.Proto, "txt", i.String()+"\n")
		})
	case "CLIENT|SETINFO":
		kept := keep(args)
		return change(func(_ *upstream.Key, reply []byte) []byte {
			s.keepInfo(kept)
			return reply
		})
	case "CLIENT|NO-EVICT":
		on := isOn(args[2])
		return change(func(_ *upstream.Key, reply []byte) []byte {
			s.noEvict = on
			return reply
		})
	case "CLIENT|NO-TOUCH":
		on := isOn(args[2])
		return change(func(key *upstream.Key, reply []byte) []byte {
			key.NoTouch = on
			return reply
		})
	case "CLIENT|GETREDIR", "CLIENT|TRACKINGINFO":
		if t := s.track; t != nil {
			return answer(func(_ *upstream.Key, reply []byte) []byte { return t.translated(reply) })
		}
	case "INFO":
		if _, ours := infoSections(args); ours {
			return answer(func(key *upstream.Key, reply []byte) []byte { return s.withSection(key.Proto, reply) })
		}
	}
	return nil
}

// takeEffect has the reply to the command that is outstanding on the pin take effect, and returns what the client is told.
func (s *Session) takeEffect(frame []byte) []byte {
	tx := s.tx
	var effects []effect
	parts := [][]byte{frame}
	switch {
	case tx.turning == "EXEC" && len(tx.effects) > 0 && frame[0] == '*':
		effects = tx.effects
		parts = elements(frame)
		if len(parts) != tx.queued+1 {
			return frame
		}
	case tx.turning != "" && tx.pending != nil:
		effects = []effect{*tx.pending}
		effects[0].place = -1 // the frame itself
	default:
		return frame
	}
	key := s.key
	for _, e := range effects {
		part := &parts[e.place+1]
		if e.moves && (*part)[0] != '-' {
			tx.moved = true
		}
		*part = e.take(&key, *part)
	}
	if key != s.key {
		s.regroup(key)
	}
	return bytes.Join(parts, nil)
}

// elements cuts an array into its head and the elements. It returns nil if that is not possible.
func elements(array []byte) [][]byte {
	head := bytes.IndexByte(array, '\n') + 1
	rest := frames(array[head:])
	if rest == nil && head < len(array) {
		return nil
	}
	return append([][]byte{array[:head]}, rest...)
}

// frames cuts bytes into the replies that they are. It returns nil if that is not possible.
func frames(b []byte) (parts [][]byte) {
	for len(b) > 0 {
		var scanner resp.ReplyScanner
		n, done, err := scanner.Scan(b)
		if !done || err != nil {
			return nil
		}
		parts = append(parts, b[:n])
		b = b[n:]
	}
	return parts
}

// credentials are those of AUTH.
func credentials(args [][]byte) (user, password string) {
	if len(args) == 3 {
		user = string(args[1])
	}
	return user, string(args[len(args)-1])
}
