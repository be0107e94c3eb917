package session

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// permissionProbe is what a server answers with a syntax error, and changes nothing for, if the user may send FAILOVER.
var permissionProbe = resp.AppendRequestStrings(nil, "FAILOVER", "UNDERSTUDY-ASKS-FOR-PERMISSION")

// keep copies arguments that are needed when the input they lie in is gone.
func keep(args [][]byte) [][]byte {
	kept := make([][]byte, len(args))
	for i, a := range args {
		kept[i] = bytes.Clone(a)
	}
	return kept
}

// proxyRead answers PROXY READ [policy]: what this session's reads see. It is OK to change it anywhere, as nothing of the
// session is outstanding.
func (s *Session) proxyRead(args [][]byte) {
	switch len(args) {
	case 2:
		s.emit(resp.AppendBulkString(nil, s.policy.String()))
	case 3:
		policy, ok := ParsePolicy(string(args[2]))
		if !ok {
			s.emit(errorReply("ERR unknown policy for reads. It must be one of " + strings.Join(PolicyNames(), ", ")))
			return
		}
		s.setPolicy(policy)
		s.emit(replyOK)
	default:
		s.emit(errorReply("ERR wrong number of arguments for 'proxy|read' command"))
	}
}

// setPolicy changes what the session's reads see from now on.
func (s *Session) setPolicy(p Policy) {
	if s.policy = p; p == Default {
		s.policy = s.env.Config.Policy
	}
}

// operate answers PROXY and FAILOVER. What tells of the cluster is for those who may have INFO, what changes it for
// those only whom the servers let do it.
func (s *Session) operate(args [][]byte, request []byte) bool {
	kept := keep(args)
	by := addrString(s.conn.RemoteAddr())
	if s.info.Name != "" {
		by = s.info.Name + " at " + by
	}
	carryOut := func(done func([]byte)) {
		s.env.Admin.Proxy(kept, s.key.Proto, by, func(reply []byte) { s.env.Loop.Post(func() { done(reply) }) })
	}
	answer := func() { s.whenAsked(carryOut) }
	if !s.env.Admin.Changes(kept) {
		return s.ifMayInfo(request, answer)
	}
	if s.attach != nil {
		s.emit(errorReply("ERR a connection with subscriptions or tracking cannot change the cluster"))
		return true
	}
	// A switchover needs a master that answers. A pause or its end may be asked for because there is none.
	var c *upstream.Conn
	if planned := command.EqualFold(args[0], "FAILOVER") || command.EqualFold(args[1], "FAILOVER"); planned {
		c = s.group.Master()
	}
	if c == nil {
		c = s.anyNode()
	}
	if c == nil { // not held: it may be what ends the wait of all
		return s.whenAnyonePermits(carryOut)
	}
	s.ask(c, upstream.Repeatable, permissionProbe, 1, &await{again: resp.AppendRequest(nil, kept...), reply: func(_ *upstream.Conn, frame []byte) {
		if denies(frame) {
			s.emit(frame)
			return
		}
		answer()
	}})
	return true
}

// denies reports whether the answer to a probe is that the client may not. Anything else is a syntax error, or that of a
// server which has no such command and then no permission for it either.
func denies(frame []byte) bool {
	switch string(resp.ErrorCode(frame)) {
	case "NOPERM", "NOAUTH", "WRONGPASS":
		return true
	}
	return false
}

// whenAnyonePermits changes the cluster while no node may be sent requests: the master is down or not in use, and no
// replica serves. That is when an operator is needed, so every node that answers is asked for what it knows of users.
func (s *Session) whenAnyonePermits(carryOut func(done func(reply []byte))) bool {
	key := s.key
	key.DB = 0
	group := s.env.Pool.Group(key)
	return s.whenAsked(func(done func([]byte)) {
		group.Anyone(permissionProbe, denies, func(reply []byte) {
			group.Release()
			switch {
			case s.closed:
			case reply == nil:
				done(errorReply("MASTERDOWN no node answers that could be asked whether you may do this: ask at the admin port of Understudy (--admin), which needs none"))
			case denies(reply):
				done(reply)
			default:
				carryOut(done)
			}
		})
	})
}

// askAnyNode asks a node who may do what, in place of the request that the client sent. It returns false when there is none.
func (s *Session) askAnyNode(asked, request []byte, reply func(frame []byte)) bool {
	c := s.anyNode()
	if c == nil {
		s.hold()
		return s.declined()
	}
	s.ask(c, upstream.Repeatable, request, 1, &await{
		again: bytes.Clone(asked),
		reply: func(_ *upstream.Conn, frame []byte) { reply(frame) },
	})
	return true
}

// anyNode returns a lane to a node that can be asked who may do what: its data does not matter. nil is none.
func (s *Session) anyNode() *upstream.Conn {
	if c, _ := s.group.Replica(&freshness.Want{Eventual: true}); c != nil {
		return c
	}
	return s.group.Master()
}
