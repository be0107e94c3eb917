package pubsub

import (
	"slices"
	"strconv"

	"github.com/understudy/understudy/resp"
)

// Subscriber is a client that listens, or asks to. Its methods are called while a frame is dealt with. Message,
// Confirmed and Answered must not call back; the others may end the client, and with it its subscriptions.
type Subscriber interface {
	// Message delivers a message without its first byte, which depends on the protocol version of the receiver: '*' in
	// RESP2, '>' in RESP3. If shared is true the bytes may be kept, and must not be changed.
	Message(body []byte, shared bool)
	// Confirmed says that the client has begun, or ended, to listen to name. last is true for the last one of a request.
	Confirmed(v Verb, name string, last bool)
	// Answered delivers the only reply to a request: the refusal of a subscription, or the reply to what was asked.
	Answered(frame []byte)
	// Returned gives back what the server has not answered of a request.
	Returned(r Returned)
	// Expelled says that what the client listens to could not be renewed, because the server refuses it.
	Expelled()
}

// Returned is what is left of a request: a verb and names, or what was asked.
type Returned struct {
	Verb    Verb
	Names   []string // none: the verb stands alone
	Request []byte
}

// Book is who listens to what over one connection. It has no connection itself: its owner sends what Unsent returns, and
// hands in what comes. A client has one request under way at a
// time, or several that all subscribe, or all end what they name.
type Book struct {
	topics  [kinds]map[string]*topic
	n       int // of topics
	pending []op
	out     []byte
	// renewing is how many of pending are renewals.
	renewing int
}

// topic is something that is listened to, or about to be.
type topic struct {
	members []Subscriber // whose subscription the server has confirmed, in no order
	index   map[Subscriber]*member
	wanted  int  // clients that will listen when all that is pending has been answered; at 0 the server is told
	live    bool // the server has confirmed it on this connection
}

// member is a client's place in a topic.
type member struct {
	at      int // in members
	leaving bool
}

// op is a request that the server has yet to answer: with a confirmation for each name, or with one frame.
type op struct {
	who     Subscriber // nil: nobody waits for the answer, or not any more
	verb    Verb
	names   []string // not confirmed yet; "" alone: the verb stands alone
	alone   bool     // it does
	renewal bool     // of a subscription that was there before the connection was lost
	request []byte   // what was asked, instead of all that
	then    func()   // called when that is answered; nil: nobody wants to know
}

// Empty reports whether nobody listens, or asks for anything.
func (b *Book) Empty() bool { return b.n == 0 && len(b.pending) == 0 }

// Unsent returns what is to be sent to the server, and forgets it.
func (b *Book) Unsent() []byte {
	out := b.out
	b.out = nil
	return out
}

// Number returns how many clients listen to a topic, and whether the server knows of a subscription on their behalf.
func (b *Book) Number(at Topic) (clients int, live bool) {
	if t := b.topics[at.Kind][at.Name]; t != nil {
		return len(t.members), t.live && len(t.members) > 0
	}
	return 0, false
}

// Subscribe asks for names on behalf of a client, which may listen to some of them already.
func (b *Book) Subscribe(who Subscriber, k Kind, names []string) {
	for _, name := range names {
		b.topic(k, name).wanted++
	}
	b.send(op{who: who, verb: Verb{Kind: k}, names: names}, names)
}

// Unsubscribe ends a client's listening to names. Without names it ends nothing, and the server says whether the client
// may say so.
func (b *Book) Unsubscribe(who Subscriber, k Kind, names []string) {
	o := op{who: who, verb: Verb{Kind: k, Ends: true}, names: names}
	if len(names) == 0 {
		o.names, o.alone = []string{""}, true
	}
	said := make([]string, 0, len(o.names))
	for _, name := range o.names {
		if t := b.topics[k][name]; t != nil && !o.alone {
			if m := t.index[who]; m != nil && !m.leaving {
				m.leaving = true
				if t.wanted--; t.wanted == 0 {
					said = append(said, name)
					continue
				}
			}
		}
		said = append(said, b.nobodys(k))
	}
	b.send(o, said)
}

// Ask sends a request that is answered by one frame, as long as the server takes the connection for a subscriber's.
func (b *Book) Ask(who Subscriber, request []byte) {
	b.pending = append(b.pending, op{who: who, request: request})
	b.out = append(b.out, request...)
}

// Mark calls then when all has been dealt with that the server has said before it reads what is sent now. It is not called
// when the connection is lost.
func (b *Book) Mark(then func()) {
	b.pending = append(b.pending, op{request: pingRequest, then: then})
	b.out = append(b.out, pingRequest...)
}

// Renewing reports whether the server has yet to confirm something that Renew has subscribed to.
func (b *Book) Renewing() bool { return b.renewing > 0 }

// Leave forgets a client that has gone. topics is all that it listens to.
func (b *Book) Leave(who Subscriber, topics map[Topic]int) {
	for at := range topics {
		t := b.topics[at.Kind][at.Name]
		if t == nil || t.index[who] == nil {
			continue
		}
		leaving := t.index[who].leaving
		t.remove(who)
		if !leaving {
			b.unwant(at.Kind, at.Name, t)
		}
		b.settle(at.Kind, at.Name, t)
	}
	for i := range b.pending {
		o := b.pending[i]
		if o.who != who {
			continue
		}
		b.pending[i].who = nil
		if o.request == nil && !o.verb.Ends {
			for _, name := range o.names {
				t := b.topics[o.verb.Kind][name]
				b.unwant(o.verb.Kind, name, t)
				b.settle(o.verb.Kind, name, t)
			}
		}
	}
}

// Lost gives back what the server has not answered, because the connection has ended.
func (b *Book) Lost() {
	pending := b.pending
	b.pending, b.out, b.renewing = nil, nil, 0
	for _, o := range pending {
		if o.who == nil || o.request != nil {
			continue
		}
		for _, name := range o.names {
			t := b.topics[o.verb.Kind][name]
			switch {
			case t == nil:
			case !o.verb.Ends:
				t.wanted--
			case t.index[o.who] != nil && t.index[o.who].leaving:
				t.index[o.who].leaving = false
				t.wanted++
			}
			if t != nil {
				b.settle(o.verb.Kind, name, t)
			}
		}
	}
	for k := range kinds {
		for _, t := range b.topics[k] {
			t.live = false
		}
	}
	for _, o := range pending {
		if o.who == nil {
			continue
		}
		r := Returned{Verb: o.verb, Names: o.names, Request: o.request}
		if o.alone {
			r.Names = nil
		}
		o.who.Returned(r)
	}
}

// Renew subscribes to everything that is listened to, on a new connection. Each name is asked for by itself, because a
// server that refuses one refuses all of a request.
func (b *Book) Renew() {
	for k := range kinds {
		for name := range b.topics[k] {
			names := []string{name}
			b.send(op{verb: Verb{Kind: k}, names: names, renewal: true}, names)
			b.renewing++
		}
	}
}

// Expel ends all subscriptions, and answers all requests with frame: the server refuses the user.
func (b *Book) Expel(frame []byte) {
	pending := b.pending
	b.pending, b.out, b.renewing = nil, nil, 0
	for k := range kinds {
		for _, t := range b.topics[k] {
			for _, who := range append([]Subscriber(nil), t.members...) {
				who.Expelled()
			}
		}
		b.topics[k] = nil
	}
	b.n = 0
	for _, o := range pending {
		if o.who != nil {
			o.who.Answered(frame)
		}
	}
	b.pending, b.out, b.renewing = nil, nil, 0
}

func (b *Book) send(o op, names []string) {
	b.pending = append(b.pending, o)
	b.out = resp.AppendRequestStrings(b.out, append([]string{o.verb.String()}, names...)...)
}

// nobodys returns a name that nobody listens to.
func (b *Book) nobodys(k Kind) string {
	name := "understudy:nobody"
	for i := 0; b.topics[k][name] != nil; i++ {
		name = "understudy:nobody:" + strconv.Itoa(i)
	}
	return name
}

func (b *Book) topic(k Kind, name string) *topic {
	t := b.topics[k][name]
	if t == nil {
		t = &topic{index: map[Subscriber]*member{}}
		if b.topics[k] == nil {
			b.topics[k] = map[string]*topic{}
		}
		b.topics[k][name] = t
		b.n++
	}
	return t
}

// unwant notes that one client less will listen to a topic, and tells the server of the last one.
func (b *Book) unwant(k Kind, name string, t *topic) {
	if t.wanted--; t.wanted == 0 && (t.live || b.asked(k, name)) {
		names := []string{name}
		b.send(op{verb: Verb{Kind: k, Ends: true}, names: names}, names)
	}
}

// asked reports whether the server has yet to answer that it subscribes to a topic.
func (b *Book) asked(k Kind, name string) bool {
	return slices.ContainsFunc(b.pending, func(o op) bool {
		return o.request == nil && o.verb == Verb{Kind: k} && slices.Contains(o.names, name)
	})
}

// settle forgets a topic that concerns nobody any more.
func (b *Book) settle(k Kind, name string, t *topic) {
	if t.wanted == 0 && len(t.members) == 0 && b.topics[k][name] == t {
		delete(b.topics[k], name)
		b.n--
	}
}

func (t *topic) add(who Subscriber) {
	t.index[who] = &member{at: len(t.members)}
	t.members = append(t.members, who)
}

func (t *topic) remove(who Subscriber) {
	i, last := t.index[who].at, len(t.members)-1
	t.members[i] = t.members[last]
	t.index[t.members[i]].at = i
	t.members[last] = nil
	t.members = t.members[:last]
	delete(t.index, who)
}
