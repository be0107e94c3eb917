package session

import (
	"fmt"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// attachment is a pin that a session keeps because the server holds state for its connection: subscriptions, client
// tracking, MONITOR. Requests pass as they are. Replies are told from pushed messages by what is expected, so that
// the session knows when it may leave the pin, and when it may answer something itself without overtaking a reply.
//
// Subscriptions are remembered, so that they can be made again on the next master. A session whose pin holds more
// than that is closed when the pin is lost: its client would otherwise rely on something that is gone.
type attachment struct {
	pin      *upstream.Conn // nil between two masters
	topics   map[topic]struct{}
	expected []expected
	live     [2]int64 // subscriptions as the server counts them: channels and patterns, shard channels
	tracking bool     // CLIENT TRACKING ON
	stateful bool     // there is something else to it than subscriptions and tracking
	spoiled  bool     // the pin is no longer as it was lent, even without all that
	opaque   bool     // replies cannot be told from what the server sends by itself: MONITOR
	large    *large   // the frame that is arriving in parts
	wrote    bool     // something else than reads was passed on and may not be answered
}

// large is what a frame that arrives in parts was found to be at its beginning.
type large struct {
	push, ours bool
	scan       []byte // what has come of a reply whose cursor is to be changed; nil for others
}

// topic is something subscribed to.
type topic struct {
	verb string // SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE
	name string
}

// expected is what the server has yet to answer: one reply, or a confirmation for each name.
type expected struct {
	confirm bool
	verb    string
	names   []string // not confirmed yet; for an UNSUBSCRIBE from everything, of which nothing is left, one that is empty
	ours    bool     // the client has not asked, so it is not told
	scan    bool     // the reply has a cursor in it
	selects bool     // a SELECT of db
	db      int
	request []byte // what to send again if the reply does not come; nil if that could do harm
}

// attachFor begins a life on a pin.
func (s *Session) attachFor(cmd *command.Command, args [][]byte, request []byte) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.answered() // by whatever it will say
	c.Passthrough = true
	s.attach = &attachment{pin: c, topics: map[topic]struct{}{}}
	s.passOn(cmd, args, request)
	return true
}

// passOn sends a request on the attachment's pin.
func (s *Session) passOn(cmd *command.Command, args [][]byte, request []byte) {
	s.attach.note(cmd, args, request)
	if cmd.Class == command.Scan {
		request = pinnedScan(cmd, args, request)
	}
	s.attach.wrote = s.attach.wrote || cmd.Class != command.Read && cmd.Class != command.MasterRead && cmd.Class != command.Subscribe
	s.attach.pin.Raw(request)
	s.env.Stats.Requests++
}

// handleAttached deals with one request of a session that lives on a pin.
func (s *Session) handleAttached(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	a := s.attach
	if a.pin == nil && !s.resubscribe() {
		return s.attach == nil // closed
	}
	beside, foreign := s.beside(cmd, class), foreign(a.pin, cmd, class, args)
	if (beside || foreign || class != command.Subscribe && !a.lasting()) && len(a.expected) > 0 && !a.opaque {
		s.draining = true
		return false
	}
	if beside {
		return s.besideAttachment(cmd, class, args, request)
	}
	if foreign {
		s.emit(errorReply(cursorElsewhere))
		return true
	}
	if s.unloaded(cmd, args) {
		if len(a.expected) > 0 && !a.opaque {
			s.draining = true
			return false
		}
		if s.loadFirst(cmd, args) {
			return false
		}
	}
	s.remembered(cmd, args)
	if !s.env.Pool.Granted() {
		if s.hold(); s.gaveUp && len(a.expected) == 0 {
			s.decline()
			return true
		}
		s.draining = s.gaveUp
		return false
	}
	s.release()
	s.passOn(cmd, args, request)
	return true
}

// lasting reports whether the session will stay attached when all that is expected has come.
func (a *attachment) lasting() bool {
	return len(a.topics) > 0 || a.tracking || a.stateful || a.opaque
}

// beside reports whether a request of an attached session is not passed on.
func (s *Session) beside(cmd *command.Command, class command.Class) bool {
	switch class {
	case command.Session:
		return cmd.Name != "PING" && cmd.Name != "ECHO" && cmd.Name != "SELECT"
	case command.Refused, command.Failover, command.Proxy:
		return true
	}
	return cmd.Name == "CLIENT|REPLY"
}

// besideAttachment deals with a request that concerns the proxy. Every reply before its own has been delivered.
func (s *Session) besideAttachment(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	a := s.attach
	switch {
	case cmd.Known() && !cmd.Accepts(len(args)):
		s.emit(errorReply(cmd.ArityError()))
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.local(cmd, args, request)
	case s.key.Proto == 2 && a.live[0]+a.live[1] > 0:
		name := strings.ToLower(cmd.Name)
		s.emit(errorReply(fmt.Sprintf("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", name)))
	case class == command.Refused:
		s.emit(errorReply(cmd.Refusal()))
	case cmd.Name == "CLIENT|REPLY":
		s.clientReply(args)
	case strings.HasPrefix(cmd.Name, "CLIENT"):
		return s.client(cmd, args, request)
	case class == command.Proxy:
		return s.operate(args, request)
	default:
		s.emit(errorReply("ERR " + cmd.Name + " is not supported on a connection with subscriptions or tracking through Understudy"))
	}
	return true
}

// note follows what a request makes of the attachment.
func (a *attachment) note(cmd *command.Command, args [][]byte, request []byte) {
	verb := cmd.Name
	if cmd.Class != command.Subscribe || !cmd.Accepts(len(args)) {
		a.expected = append(a.expected, a.plain(cmd, args, request))
		return
	}
	e := expected{confirm: true, verb: verb}
	for _, name := range args[1:] {
		e.names = append(e.names, string(name))
	}
	opposite, ends := strings.CutSuffix(verb, "UNSUBSCRIBE")
	opposite += "SUBSCRIBE"
	if ends && len(e.names) == 0 {
		for t := range a.topics {
			if t.verb == opposite {
				e.names = append(e.names, t.name)
			}
		}
	}
	for _, name := range e.names {
		if ends {
			delete(a.topics, topic{opposite, name})
		} else {
			a.topics[topic{verb, name}] = struct{}{}
		}
	}
	if len(e.names) == 0 {
		e.names = []string{""}
	}
	a.expected = append(a.expected, e)
}

// plain follows what any other request than a subscription makes of the attachment.
func (a *attachment) plain(cmd *command.Command, args [][]byte, request []byte) (e expected) {
	switch cmd.Name {
	case "SELECT":
		e.selects, e.db = true, database(args, -1)
		return e
	case "MONITOR":
		a.opaque = true
		return e
	case "CLIENT|TRACKING":
		a.tracking = len(args) > 2 && strings.EqualFold(string(args[2]), "ON")
		a.spoiled = true
		return e
	case "CLIENT|TRACKINGINFO", "CLIENT|GETREDIR":
		return e
	}
	switch cmd.Class {
	case command.Scan:
		e.scan = true
	case command.Session, command.Read, command.MasterRead: // asking twice does no harm
		e.request = append(e.request, request...)
	case command.Pinned, command.Transaction:
		a.stateful = true
	}
	return e
}

// deliver passes a frame of the pin on to the client.
func (a *attachment) deliver(s *Session, frame []byte) {
	if a.opaque {
		a.sees(s, false)
		s.emit(frame)
		return
	}
	push, answered := a.match(frame, s.key.Proto)
	if answered.selects && frame[0] == '+' {
		a.spoiled = true
		key := s.key
		key.DB = answered.db
		s.regroup(key)
	}
	if answered.scan && !push {
		frame = s.cursored(a.pin, frame)
	}
	a.emit(s, frame, push, answered.ours)
	a.delivered(s)
}

// emit passes a frame or a part of one on.
func (a *attachment) emit(s *Session, part []byte, push, ours bool) {
	a.sees(s, push)
	switch {
	case ours:
	case push:
		s.out.Append(part) // also to a client that CLIENT REPLY has silenced
		s.conn.Flush()
	default:
		s.emit(part)
	}
}

// sees notes what the client is about to learn. A message often has something looked at over another connection of the
// client's pool. And it is not known which reply is that to a write.
func (a *attachment) sees(s *Session, push bool) {
	if a.wrote || push && s.policy == Causal {
		s.env.Freshness.RaiseFloor()
	}
	s.observed(a.pin)
}

// deliverPart passes a part of a large frame on: a message, or a reply that only a plain request can have.
func (a *attachment) deliverPart(s *Session, part []byte, last bool) {
	if a.large == nil {
		a.large = &large{}
		if !a.opaque {
			push, answered := a.match(part, s.key.Proto)
			a.large.push, a.large.ours = push, answered.ours
			if answered.scan && !push {
				a.large.scan = []byte{}
			}
		}
	}
	switch {
	case a.large.scan == nil:
		a.emit(s, part, a.large.push, a.large.ours)
	case last:
		s.emit(s.cursored(a.pin, append(a.large.scan, part...)))
	default:
		a.large.scan = append(a.large.scan, part...)
	}
	if last {
		a.large = nil
		a.delivered(s)
	}
}

// delivered goes on after a frame: a session without anything that needs a pin leaves it.
func (a *attachment) delivered(s *Session) {
	if a.opaque || len(a.expected) > 0 {
		return
	}
	s.draining, a.wrote = false, false
	s.conn.Flush() // what waited for this goes on
	if a.lasting() || a.live != [2]int64{} {
		return
	}
	s.later = func() {
		if s.attach == a && a.pin != nil {
			a.pin.Passthrough = false
			s.pin, s.attach = a.pin, nil
			s.dropPin(!a.spoiled)
		}
	}
}

// match finds what a frame answers, and reports whether it is pushed, by a subscription or as its confirmation.
func (a *attachment) match(frame []byte, proto int) (push bool, answered expected) {
	word := ""
	if frame[0] == '>' || frame[0] == '*' && proto == 2 {
		word = firstWord(frame)
	}
	if len(a.expected) > 0 {
		answered = a.expected[0]
	}
	switch {
	case answered.confirm && strings.EqualFold(word, answered.verb):
		a.live[shard(word)] = lastInt(frame)
		if a.expected[0].names = answered.names[1:]; len(answered.names) > 1 {
			return true, answered
		}
		push = true
	case frame[0] == '>', proto == 2 && a.live != [2]int64{} && strings.HasSuffix(word, "message"):
		return true, expected{}
	case answered.confirm:
		a.denied(&answered)
	}
	if len(a.expected) > 0 {
		a.expected = a.expected[1:]
	}
	return push, answered
}

// denied forgets what the server has refused to subscribe to, all or nothing.
func (a *attachment) denied(e *expected) {
	for _, name := range e.names {
		delete(a.topics, topic{e.verb, name})
	}
}

// shard returns the index into live of the kind that a confirmation speaks of.
func shard(word string) int {
	if word[0] == 's' && strings.HasPrefix(word[1:], "s") || strings.HasPrefix(word, "sunsub") {
		return 1
	}
	return 0
}

// lost is called when the pin has ended.
func (a *attachment) lost(s *Session) {
	a.pin = nil
	a.over(s)
	if a.large != nil {
		s.close(ByBrokenReply)
		return
	}
	if a.opaque || a.stateful || a.tracking {
		s.close(ByLostPin)
		return
	}
	for i := range a.expected {
		if e := &a.expected[i]; !e.confirm && e.request == nil {
			s.close(ByLostPin)
			return
		}
	}
	s.resubscribe()
}

// resubscribe makes the subscriptions anew on a pin to the present master, and asks again what was not answered, or
// holds until there is a master.
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
	a.live = [2]int64{}
	again := a.expected
	a.expected = nil
	awaited := map[topic]bool{} // the client's own request for it follows
	for _, e := range again {
		for _, name := range e.names {
			awaited[topic{e.verb, name}] = !e.ours
		}
	}
	for t := range a.topics {
		if !awaited[t] {
			c.Raw(resp.AppendRequestStrings(nil, t.verb, t.name))
			a.expected = append(a.expected, expected{confirm: true, verb: t.verb, names: []string{t.name}, ours: true})
		}
	}
	for _, e := range again {
		switch {
		case e.ours:
			continue // done above
		case e.confirm && len(e.names) == 1 && e.names[0] == "":
			e.request = resp.AppendRequestStrings(nil, e.verb)
		case e.confirm:
			e.request = resp.AppendRequestStrings(nil, append([]string{e.verb}, e.names...)...)
		}
		c.Raw(e.request)
		a.expected = append(a.expected, e)
	}
	return true
}

// detach gives up the attachment, and with it what the server holds for the connection.
func (s *Session) detach() {
	if a := s.attach; a != nil {
		s.attach = nil
		a.over(s)
		if a.pin != nil {
			s.pin = a.pin
			s.dropPin(false)
		}
	}
}

// over notes that nothing more is heard of what was passed on.
func (a *attachment) over(s *Session) {
	if a.wrote {
		a.wrote = false
		s.env.Freshness.RaiseFloor()
	}
}

func (a *attachment) count() int { return len(a.topics) }
