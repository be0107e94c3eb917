package pubsub

import "bytes"

// shareAt is the size from which a message is copied once for all receivers instead of into the output of each.
const shareAt = 1 << 10

// Frame deals with a frame that the server has sent.
func (b *Book) Frame(frame []byte) {
	word, name := firstTwo(frame)
	if len(b.pending) > 0 {
		if o := &b.pending[0]; o.request == nil && string(word) == o.verb.Word() {
			b.confirmed(o)
			return
		}
	}
	for k := range kinds {
		if string(word) == messageWords[k] {
			b.deliver(b.topics[k][string(name)], frame[1:])
			return
		}
	}
	if len(b.pending) > 0 { // else it is nothing that anybody here has asked for
		b.answered(frame)
	}
}

// deliver hands a message to everybody who listens.
func (b *Book) deliver(t *topic, body []byte) {
	if t == nil {
		return // nobody does any more
	}
	shared := len(t.members) > 1 && len(body) >= shareAt
	if shared {
		body = bytes.Clone(body)
	}
	for _, who := range t.members {
		who.Message(body, shared)
	}
}

// confirmed takes in the server's confirmation of the next name of the request at the front.
func (b *Book) confirmed(o *op) {
	who, verb, name, alone := o.who, o.verb, o.names[0], o.alone
	last := len(o.names) == 1
	if o.names = o.names[1:]; last {
		b.shift()
	}
	t := b.topics[verb.Kind][name]
	if t != nil && !alone {
		switch {
		case !verb.Ends:
			t.live = true
			if who != nil && t.index[who] != nil {
				t.wanted-- // it was counted before
			} else if who != nil {
				t.add(who)
			}
		case who != nil && t.index[who] != nil:
			t.remove(who)
		}
		b.settle(verb.Kind, name, t)
	}
	if who != nil {
		who.Confirmed(verb, name, last)
	}
}

// answered takes in the only reply to the request at the front: a refusal, unless it was a question.
func (b *Book) answered(frame []byte) {
	o := b.pending[0]
	b.shift()
	switch {
	case o.request != nil:
	case o.renewal:
		b.expel(o.verb.Kind, o.names[0])
	case o.who != nil:
		for _, name := range o.names {
			b.refused(o, name)
		}
	}
	if o.who != nil {
		o.who.Answered(frame)
	}
	if o.then != nil {
		o.then()
	}
}

// refused takes back what a request was to change.
func (b *Book) refused(o op, name string) {
	t := b.topics[o.verb.Kind][name]
	if t == nil || o.alone {
		return
	}
	if !o.verb.Ends {
		b.unwant(o.verb.Kind, name, t)
		b.settle(o.verb.Kind, name, t)
	} else if m := t.index[o.who]; m != nil && m.leaving {
		m.leaving = false
		t.wanted++
	}
}

// expel ends the clients whose subscription the server refuses to renew, as it ends those of a user who loses the right.
func (b *Book) expel(k Kind, name string) {
	if t := b.topics[k][name]; t != nil {
		for _, who := range append([]Subscriber(nil), t.members...) {
			who.Expelled()
		}
	}
}

// shift takes the request at the front off.
func (b *Book) shift() {
	if b.pending[0].renewal {
		b.renewing--
	}
	b.pending[0] = op{}
	if b.pending = b.pending[1:]; len(b.pending) == 0 {
		b.pending = nil
	}
}
