package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/resp"
)

// To the master, all clients of one user on one loop are a single subscriber. So what it says of the number of
// subscribers is corrected: by what this process counts itself, and what the other members say that they count. The
// master is asked first: whether the client may ask is for it to decide, and a client that has subscribed before is
// counted there.

// asksForListeners reports whether a command asks who is subscribed to what, which the master alone does not know.
func asksForListeners(cmd *command.Command) bool {
	switch cmd.Name {
	case "PUBSUB|NUMSUB", "PUBSUB|SHARDNUMSUB", "PUBSUB|CHANNELS":
		return true
	}
	return false
}

// listeners answers PUBSUB NUMSUB, SHARDNUMSUB and CHANNELS. Nothing is outstanding.
func (s *Session) listeners(cmd *command.Command, request []byte) bool {
	kind := pubsub.Channel
	switch cmd.Name {
	case "PUBSUB|CHANNELS":
		return s.askMaster(request, request, func(frame []byte) { s.emit(withoutOwnChannels(frame)) })
	case "PUBSUB|SHARDNUMSUB":
		kind = pubsub.Shard
	}
	return s.askMaster(request, request, func(frame []byte) {
		v, _, err := resp.Decode(frame)
		if err != nil || v.Kind != '*' || len(v.Array) == 0 {
			s.emit(frame)
			return
		}
		names, atMaster := make([]string, len(v.Array)/2), make([]int64, len(v.Array)/2)
		for i := range names {
			names[i], atMaster[i] = string(v.Array[2*i].Str), v.Array[2*i+1].Int
		}
		s.whenAsked(func(done func([]byte)) {
			s.countAll(kind, names, func(counts []pubsub.Count) {
				reply := resp.AppendArray(nil, 2*len(names))
				for i, c := range counts {
					// What has come and gone between the two questions must not make it negative.
					direct := max(atMaster[i]-int64(c.Connections), 0)
					reply = resp.AppendInt(resp.AppendBulkString(reply, names[i]), direct+int64(c.Clients))
				}
				done(reply)
			})
		})
	})
}

// countAll counts the clients of all members. Those of a member that does not answer count as the master counts them.
func (s *Session) countAll(kind pubsub.Kind, names []string, done func([]pubsub.Count)) {
	s.env.Directory.Listeners(s, kind, names, func(counts []pubsub.Count) {
		if s.env.Peers == nil {
			done(counts)
			return
		}
		s.env.Peers.Listeners(kind, names, func(others []pubsub.Count, missing int) {
			s.env.Loop.Post(func() {
				s.env.Stats.Unheard += uint64(missing)
				for i := range counts {
					counts[i] = counts[i].Add(others[i])
				}
				done(counts)
			})
		})
	})
}

// ownChannel begins the names of the channels by which members find each other. A server without Understudy has none.
const ownChannel = "understudy"

// withoutOwnChannels takes them out of a list of channels.
func withoutOwnChannels(frame []byte) []byte {
	if !bytes.Contains(frame, []byte("\r\n"+ownChannel)) {
		return frame
	}
	v, _, err := resp.Decode(frame)
	if err != nil || v.Kind != '*' {
		return frame
	}
	var names [][]byte
	for i := range v.Array {
		name, own := bytes.CutPrefix(v.Array[i].Str, []byte(ownChannel))
		if own = own && (len(name) == 0 || name[0] == ':' || bytes.HasPrefix(name, []byte("-following:"))); !own {
			names = append(names, v.Array[i].Str)
		}
	}
	reply := resp.AppendArray(nil, len(names))
	for _, name := range names {
		reply = resp.AppendBulk(reply, name)
	}
	return reply
}

// kindNames are the kinds of subscriptions in what members say to each other.
var kindNames = map[string]pubsub.Kind{"CHANNEL": pubsub.Channel, "SHARD": pubsub.Shard}

// ofMember handles what members ask each other: PROXY MEMBER identity, to prove that one is a member, and then
// PROXY LISTENERS CHANNEL|SHARD name ... or PROXY FORGETSCRIPTS. It returns false for all others, who are not told that there is such a thing.
func (s *Session) ofMember(args [][]byte) bool {
	if s.env.Peers == nil || len(args) < 2 {
		return false
	}
	switch sub := command.Word(args[1]); {
	case sub == "MEMBER" && len(args) == 3:
		id, ok := s.env.Peers.Name(args[2])
		if !ok {
			return false
		}
		s.member = true
		s.emit(resp.AppendBulkString(nil, id))
	case sub == "FORGETSCRIPTS" && s.member:
		s.env.Scripts.Flush()
		s.emit(replyOK)
	case sub == "LISTENERS" && s.member && len(args) > 2:
		s.tellListeners(args)
	default:
		return false
	}
	return true
}

// tellListeners answers PROXY LISTENERS: for each name the clients of this member, and on how many connections to the
// master they are subscribers.
func (s *Session) tellListeners(args [][]byte) {
	kind, known := kindNames[string(args[2])]
	if !known {
		s.emit(errorReply("ERR unknown kind of subscriptions"))
		return
	}
	names := make([]string, 0, len(args)-3)
	for _, name := range args[3:] {
		names = append(names, string(name))
	}
	s.whenAsked(func(done func([]byte)) {
		s.env.Directory.Listeners(s, kind, names, func(counts []pubsub.Count) {
			reply := resp.AppendArray(nil, 2*len(counts))
			for _, c := range counts {
				reply = resp.AppendInt(resp.AppendInt(reply, int64(c.Clients)), int64(c.Connections))
			}
			done(reply)
		})
	})
}
