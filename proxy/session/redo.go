package session

import (
	"bytes"
	"slices"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// redo is one item of what a lost connection left to do: a request to send again, or a reply that is due.
type redo struct {
	request []byte
	block   block // the request is a MULTI ... EXEC
	// otherwise is the reply that the request got the first time, an error with which it was declined or a value read:
	// the client's, if it cannot be done again in order.
	otherwise []byte
	behind    *delivery // what the client has got of its reply
	atMaster  bool      // no replica is asked again

	reply  []byte
	effect bool   // the reply is that of a write, which was or may have been applied
	write  []byte // that write; nil: it is not known what it may have changed
	// pledged says that the reply is to be withheld until the write is durable.
	pledged bool
	// personal says that the reply is due only if the client's user is still there.
	personal bool
}

// inOrder keeps the list from doing things in another order than the client asked for: what stands in front of a write
// that was applied, or may have been, is not sent now, behind it. A write would overwrite what came later, and a read
// could see it. Such a request gets the reply that it had, or else its outcome is unknown. A read of other keys than
// these writes may have changed cannot tell the difference, and is asked again.
func (s *Session) inOrder(items []redo) []redo {
	var writes [][]byte // that come behind, nil among them if it is not known what one may have changed
	for i := len(items) - 1; i >= 0; i-- {
		switch item := &items[i]; {
		case item.effect:
			writes = append(writes, item.write)
		case item.reply != nil, len(writes) == 0:
		case item.otherwise != nil:
			item.reply = item.otherwise
		case item.block.commands > 0 || !s.blindTo(item.request, writes):
			item.reply = []byte(unknownResult)
		}
	}
	return items
}

// blindTo reports whether a request only reads, and nothing that one of these writes may have changed.
func (s *Session) blindTo(request []byte, writes [][]byte) bool {
	class, keys, known := s.touches(request)
	if !known || class != command.Read && class != command.MasterRead && class != command.Session {
		return false
	}
	for _, w := range writes {
		_, changed, known := s.touches(w)
		if !known && len(keys) > 0 {
			return false
		}
		for _, key := range keys {
			if slices.ContainsFunc(changed, func(other []byte) bool { return bytes.Equal(key, other) }) {
				return false
			}
		}
	}
	return true
}

// touches returns the class of a request and the keys that it reads or changes, if these are all known.
func (s *Session) touches(request []byte) (class command.Class, keys [][]byte, known bool) {
	parser := resp.RequestParser{Limits: resp.DefaultLimits}
	if n, err := parser.Parse(request); n == 0 || n != len(request) || err != nil {
		return 0, nil, false // there is none, or it is a transaction
	}
	cmd, class := s.table().Classify(parser.Args)
	switch cmd.Name {
	case "PING", "ECHO", "TIME":
		return class, nil, true
	}
	return class, cmd.Keys(nil, parser.Args), !cmd.Unbounded(parser.Args)
}

// takeRedo deals with the first item of the redo list.
func (s *Session) takeRedo() bool {
	item := s.redo[0]
	switch {
	case item.reply != nil:
		if s.outstanding > 0 {
			s.draining = true
			return false
		}
		if item.personal && !s.welcome() {
			return false
		}
		s.due -= min(s.due, len(item.reply))
		if item.pledged {
			s.pledge()
			defer s.seal()
		}
		s.emit(item.reply)
	case item.block.commands > 0:
		if s.outstanding > 0 {
			s.draining = true
			return false
		}
		if s.loadFirstOf(item.request) || !s.sendBlock(item.request, item.block) {
			return false
		}
	default:
		if !s.takeAgain(item) {
			return false
		}
	}
	if s.closed { // and the list is no more
		return false
	}
	s.redo[0] = redo{}
	if s.redo = s.redo[1:]; len(s.redo) == 0 {
		s.redo, s.due = nil, 0
	}
	return true
}

// takeAgain deals with one request of the redo list, whatever it is by now. It returns false when that is not possible yet.
func (s *Session) takeAgain(item redo) bool {
	if item.behind != nil {
		if s.gaveUp { // an error would be the rest of another reply
			s.close(ByBrokenReply)
			return false
		}
		if s.outstanding > 0 {
			s.draining = true
			return false
		}
	}
	parser := resp.RequestParser{Limits: resp.DefaultLimits}
	if n, err := parser.Parse(item.request); n != len(item.request) || err != nil {
		panic("session: a request on the redo list is not one request") // it was parsed before it was sent
	}
	cmd, class := s.table().Classify(parser.Args)
	unknown := cmd.Nameless(parser.Args)
	if unknown && item.behind != nil { // an error would be the rest of another reply
		s.close(ByBrokenReply)
		return false
	}
	if !unknown && s.paused(cmd, class) {
		return false
	}
	handled := false
	s.atMaster = item.atMaster
	switch {
	case unknown: // by now
		handled = s.handleUnknown(cmd, parser.Args)
	case s.attach != nil: // a subscription: nothing else of an attached session is on the redo list
		handled = s.handleAttached(cmd, class, parser.Args, item.request)
	case s.restricted():
		handled = s.handleSubscriber(cmd, class, parser.Args, item.request)
	case s.tx != nil:
		handled = s.handleInTransaction(cmd, class, parser.Args, item.request)
	default:
		handled = s.handle(cmd, class, parser.Args, item.request, nil)
	}
	if s.atMaster = false; !handled {
		return false
	}
	s.answeredHere()
	if item.behind != nil { // it is the first of what is outstanding now
		s.behind = item.behind
	}
	return true
}
