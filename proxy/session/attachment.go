package session

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// attachment is a pin that a session keeps because the server holds state for its connection: subscriptions, client
// tracking, MONITOR. Requests and replies pass as they are, without being matched.
//
// Subscriptions are remembered, so that they can be made again on the next master. A session whose pin holds more
// than that is closed when the pin is lost: its client would otherwise rely on something that is gone.
type attachment struct {
	pin    *upstream.Conn // nil between two masters
	topics map[topic]struct{}
	// expect is how many confirmations of (un)subscriptions are due. skip are those among the frames to come that
	// answer our own re-subscription.
	expect, skip int
	pings        int  // sent and not answered
	opaque       bool // there is more to it than subscriptions
}

// topic is something subscribed to.
type topic struct {
	verb string // SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE
	name string
}

func (a *attachment) count() int { return len(a.topics) }

// attachFor begins a life on a pin.
func (s *Session) attachFor(cmd *command.Command, args [][]byte, request []byte) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.answered() // by whatever it will say: nothing is matched here
	c.Passthrough = true
	s.attach = &attachment{pin: c, topics: map[topic]struct{}{}}
	s.attach.note(cmd, args)
	c.Raw(request)
	return true
}

// takeAttached takes one request of a session that lives on a pin.
func (s *Session) takeAttached(buf []byte) int {
	a := s.attach
	if a.pin == nil && !s.resubscribe() {
		return 0
	}
	n, err := s.parser.Parse(buf)
	if err != nil {
		s.malformed(err)
		return 0
	}
	if n == 0 || len(s.parser.Args) == 0 {
		return n
	}
	args, request := s.parser.Args, buf[:n]
	if s.parser.Reencode {
		request = resp.AppendRequest(nil, args...)
	}
	cmd, class := s.table().Classify(args)
	switch {
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		s.local(cmd, args, request)
		return n
	case class == command.Refused, class == command.Failover:
		s.emit(errorReply("ERR " + cmd.Name + " is not supported on a connection with subscriptions or tracking through Understudy"))
		return n
	case s.key.Proto == 3 && (class == command.Proxy || class == command.Session && cmd.Name != "PING"):
		s.emit(errorReply("ERR " + cmd.Name + " is not supported on a connection with subscriptions or tracking through Understudy"))
		return n
	}
	if !s.env.Pool.Granted() {
		s.parser.Reset()
		s.hold()
		return 0
	}
	a.note(cmd, args)
	a.pin.Raw(request)
	s.env.Stats.Requests++
	return n
}

// note follows what a request makes of the attachment.
func (a *attachment) note(cmd *command.Command, args [][]byte) {
	verb := cmd.Name
	switch {
	case verb == "PING":
		a.pings++
	case cmd.Class != command.Subscribe:
		a.opaque = true
	case !strings.Contains(verb, "UNSUBSCRIBE"):
		for _, name := range args[1:] {
			a.topics[topic{verb, string(name)}] = struct{}{}
		}
		a.expect += len(args) - 1
	case len(args) > 1:
		for _, name := range args[1:] {
			delete(a.topics, topic{strings.Replace(verb, "UNSUB", "SUB", 1), string(name)})
		}
		a.expect += len(args) - 1
	default:
		n := 0
		for t := range a.topics {
			if t.verb == strings.Replace(verb, "UNSUB", "SUB", 1) {
				delete(a.topics, t)
				n++
			}
		}
		a.expect += max(1, n)
	}
}

// deliver passes a frame of the pin on to the client.
func (a *attachment) deliver(s *Session, frame []byte) {
	switch word := firstWord(frame); {
	case strings.HasSuffix(word, "subscribe"):
		if a.skip > 0 {
			a.skip--
			return
		}
		a.expect--
	case word == "pong", frame[0] == '+', frame[0] == '$':
		a.pings--
	case frame[0] == '-':
		a.opaque = true // a subscription was denied: it is not known which confirmations are still to come
	}
	s.out.Append(frame)
	s.conn.Flush()
	if len(a.topics) == 0 && a.expect == 0 && a.pings <= 0 && !a.opaque {
		s.later = func() {
			if s.attach == a && len(a.topics) == 0 && a.expect == 0 {
				a.pin.Passthrough = false
				s.pin, s.attach = a.pin, nil
				s.dropPin(true)
			}
		}
	}
}

// firstWord returns the first element of an array or push if it is a short bulk string.
func firstWord(frame []byte) string {
	if frame[0] != '*' && frame[0] != '>' {
		return ""
	}
	_, rest, _ := bytes.Cut(frame, []byte("\r\n$"))
	_, rest, _ = bytes.Cut(rest, []byte("\r\n"))
	word, _, found := bytes.Cut(rest[:min(len(rest), 16)], []byte("\r\n"))
	if !found {
		return ""
	}
	return string(word)
}

// lost is called when the pin has ended.
func (a *attachment) lost(s *Session) {
	a.pin = nil
	if a.opaque || a.expect > 0 || a.pings > 0 {
		s.close(ByLostPin)
		return
	}
	a.skip = 0
	s.resubscribe()
}

// resubscribe makes the subscriptions anew on a pin to the present master, or holds until there is one.
func (s *Session) resubscribe() bool {
	a := s.attach
	c := s.choosePin()
	if c == nil {
		if s.gaveUp {
			s.close(ByLostPin)
		}
		return false
	}
	s.answered()
	c.Passthrough = true
	a.pin = c
	for t := range a.topics {
		c.Raw(resp.AppendRequestStrings(nil, t.verb, t.name))
		a.skip++
	}
	return true
}

// detach gives up the attachment, and with it what the server holds for the connection.
func (s *Session) detach() {
	if a := s.attach; a != nil {
		s.attach = nil
		if a.pin != nil {
			s.pin = a.pin
			s.dropPin(false)
		}
	}
}
