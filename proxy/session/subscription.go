package session

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/resp"
)

// subscription is what a session listens to. The server knows the loop's hub alone; what the session's client is told
// of its subscriptions is counted here. It is the pubsub.Subscriber of its session.
type subscription struct {
	s      *Session
	hub    *pubsub.Hub          // of the user as whom the session began to listen
	topics map[pubsub.Topic]int // and which subscription of the session it was
	begun  int                  // subscriptions so far
	counts [3]int               // of topics, by kind
	left   int                  // requests under way
	alone  bool                 // the request under way is an UNSUBSCRIBE from everything, of which there is nothing
	// behind is since when the client has had more than the soft limit to read.
	behind time.Time
}

// topics returns how many subscriptions the session has.
func (s *Session) topics() int {
	if s.sub == nil {
		return 0
	}
	return len(s.sub.topics)
}

// listening reports whether the session has subscriptions.
func (s *Session) listening() bool { return s.topics() > 0 }

// restricted reports whether the client may send little else than what concerns its subscriptions.
func (s *Session) restricted() bool { return s.key.Proto == 2 && s.listening() }

// subscribe handles SUBSCRIBE, UNSUBSCRIBE and their kin. Nothing is outstanding.
func (s *Session) subscribe(cmd *command.Command, args [][]byte) bool {
	verb, _ := pubsub.ParseVerb(cmd.Name)
	if s.sub == nil {
		s.sub = &subscription{s: s, topics: map[pubsub.Topic]int{}}
	}
	l := s.sub
	if !s.listening() {
		l.hub = s.env.Hubs.Hub(s.key)
	}
	if !l.hub.Connect() {
		s.hold()
		return s.declined()
	}
	s.release()
	names := make([]string, 0, len(args)-1)
	for _, a := range args[1:] {
		names = append(names, string(a))
	}
	if verb.Ends && len(names) == 0 {
		names = l.all(verb.Kind)
		l.alone = len(names) == 0
	}
	l.awaits()
	l.send(verb, names)
	if len(args) > 1 {
		s.subscribeAhead(verb.Ends)
	}
	return true
}

func (l *subscription) send(verb pubsub.Verb, names []string) {
	if verb.Ends {
		l.hub.Unsubscribe(l, verb.Kind, names)
	} else {
		l.hub.Subscribe(l, verb.Kind, names)
	}
}

// maxSubscribes is how many requests of a subscriber are under way at a time.
const maxSubscribes = 256

// subscribeAhead sends the requests that follow in the input, as long as they are of the same kind: they all subscribe, or
// all end what they name. So a pipeline of them does not cost a round trip for each.
func (s *Session) subscribeAhead(ends bool) {
	l, table := s.sub, s.table()
	parser := resp.RequestParser{Limits: s.parser.Limits}
	for l.left < maxSubscribes && s.silence == audible {
		n, err := parser.Parse(s.following[s.ahead:])
		if n == 0 || err != nil || parser.Reencode || len(parser.Args) < 2 {
			return
		}
		cmd, class := table.Classify(parser.Args)
		verb, ok := pubsub.ParseVerb(cmd.Name)
		if !ok || class != command.Subscribe || verb.Ends != ends {
			return
		}
		names := make([]string, 0, len(parser.Args)-1)
		for _, a := range parser.Args[1:] {
			names = append(names, string(a))
		}
		l.left++
		l.send(verb, names)
		s.ahead += n
		s.took(cmd, len(parser.Args))
		s.counted(1)
	}
}

// all returns what the session listens to, in the order in which it began to.
func (l *subscription) all(k pubsub.Kind) []string {
	var names []string
	for t := range l.topics {
		if t.Kind == k {
			names = append(names, t.Name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(l.topics[pubsub.Topic{Kind: k, Name: a}], l.topics[pubsub.Topic{Kind: k, Name: b}])
	})
	return names
}

// awaits has the session take nothing else until the hub has an answer.
func (l *subscription) awaits() {
	l.s.await = &await{}
	l.s.outstanding++
	l.left = 1
}

// over ends that, when the hub has answered everything.
func (l *subscription) over() {
	l.alone = false
	if l.left--; l.left > 0 {
		return
	}
	l.s.endAwait()
	l.s.conn.Flush()
}

// handleSubscriber deals with one request of a client that listens in RESP2.
func (s *Session) handleSubscriber(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	l := s.sub
	switch {
	case s.outstanding > 0:
		s.draining = true
		return false
	case cmd.Lacks(len(args)):
		s.emit(errorReply(unknownText(cmd, args, s.env.Pool.ServerVersion())))
	case cmd.Known() && !cmd.Accepts(len(args)):
		s.emit(errorReply(cmd.ArityError()))
	case class == command.Subscribe:
		return s.subscribe(cmd, args)
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.local(cmd, args, request)
	case cmd.Name == "PING" && !l.hub.Connected(): // the client shall notice nothing
		var text []byte
		if len(args) > 1 {
			text = args[1]
		}
		s.emit(resp.AppendBulk(resp.AppendBulkString(resp.AppendArray(nil, 2), "pong"), text))
	case cmd.Name == "PING":
		// The hub's connection is that of a subscriber in RESP2, and is answered as such.
		if !l.hub.Connect() {
			s.hold()
			return s.declined()
		}
		s.release()
		l.awaits()
		l.hub.Ask(l, request)
	default:
		code := "ERR"
		if cmd.Name == "EXEC" {
			code = "EXECABORT Transaction discarded because of:"
		}
		s.emit(errorReply(fmt.Sprintf("%s Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
			code, strings.ToLower(cmd.Name))))
	}
	return true
}

// unsubscribe ends all subscriptions without a word.
func (s *Session) unsubscribe() {
	if l := s.sub; l != nil {
		s.sub = nil
		l.hub.Leave(l, l.topics)
	}
}

// Message implements pubsub.Subscriber. A message often has something looked at over another connection of the client's
// pool, so what it may speak of counts for every session.
func (l *subscription) Message(body []byte, shared bool) {
	if l.s.policy == Causal {
		l.s.env.Freshness.RaiseFloor()
	}
	if c := l.hub.Conn(); c != nil {
		l.s.observed(c)
	}
	l.s.message(body, shared)
}

// Confirmed implements pubsub.Subscriber.
func (l *subscription) Confirmed(v pubsub.Verb, name string, last bool) {
	t := pubsub.Topic{Kind: v.Kind, Name: name}
	if _, had := l.topics[t]; had == v.Ends && !l.alone {
		step := 1
		if v.Ends {
			step = -1
			delete(l.topics, t)
		} else {
			l.begun++
			l.topics[t] = l.begun
		}
		l.counts[v.Kind] += step
	}
	count := l.counts[pubsub.Channel] + l.counts[pubsub.Pattern]
	if v.Kind == pubsub.Shard { // they are counted by themselves
		count = l.counts[pubsub.Shard]
	}
	b := resp.AppendBulkString([]byte("3\r\n"), v.Word())
	if l.alone {
		b = resp.AppendNull(b, l.s.key.Proto)
	} else {
		b = resp.AppendBulkString(b, name)
	}
	l.s.tellAll()
	l.s.push(resp.AppendInt(b, int64(count)), false)
	if last {
		l.s.answered()
		l.over()
	}
}

// Answered implements pubsub.Subscriber.
func (l *subscription) Answered(frame []byte) {
	l.s.answered()
	l.s.emit(frame)
	l.over()
}

// Returned implements pubsub.Subscriber.
func (l *subscription) Returned(r pubsub.Returned) {
	request := r.Request
	if request == nil {
		request = resp.AppendRequestStrings(nil, append([]string{r.Verb.String()}, r.Names...)...)
	}
	l.over()
	l.s.recover(redo{request: request})
}

// Expelled implements pubsub.Subscriber.
func (l *subscription) Expelled() { l.s.close(ByExpulsion) }

var arrayByte, pushByte = []byte("*"), []byte(">")

// push queues what the client has not asked for, or the answer to a subscription, without its first byte. CLIENT REPLY
// does not silence it, and it overtakes no reply that is withheld: a client that is told that a key was changed, and then gets
// what it had read there before, would keep that for ever. shared says that body is not changed any more.
func (s *Session) push(body []byte, shared bool) {
	if s.closed || s.closeAfter {
		return
	}
	first := arrayByte
	if s.key.Proto == 3 {
		first = pushByte
	}
	switch {
	case s.midReply() || len(s.pushes) > 0: // none overtakes another
		s.pushes = append(append(s.pushes, first...), body...)
	case shared && !s.withheld.any():
		s.out.Append(first)
		s.out.AppendShared(body)
	default:
		s.put(first)
		s.put(body)
	}
	s.conn.Flush()
}

// midReply reports whether the client has got the beginning of a reply, and not yet its end: that is still coming, or was
// broken off, or is to be asked for once more.
func (s *Session) midReply() bool {
	if st := s.stream; st != nil && (st.mode == passed || st.mode == skipped && st.sent.n > 0) {
		return true
	}
	return s.behind != nil || len(s.recovered) > 0 && s.recovered[0].behind != nil || len(s.redo) > 0 && s.redo[0].behind != nil
}

// pushKept queues what had to wait for the end of a reply.
func (s *Session) pushKept() {
	if len(s.pushes) > 0 && !s.midReply() {
		s.put(s.pushes)
		s.pushes = nil
	}
}

// lagging reports whether a client that listens has left so much unread that it is to be disconnected.
func (s *Session) lagging(now time.Time) bool {
	if !s.listening() {
		return false
	}
	limit, unread := s.env.Config.Push, s.backlog()+len(s.pushes)
	switch {
	case limit.Hard > 0 && unread > limit.Hard:
		return true
	case limit.Soft == 0 || unread <= limit.Soft:
		s.sub.behind = time.Time{}
	case s.sub.behind.IsZero():
		s.sub.behind = now
	default:
		return now.Sub(s.sub.behind) > limit.Time
	}
	return false
}
