package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// wait runs WAIT or WAITAOF on a pin. They wait for something that their own connection has done, so something goes
// ahead that sets the offset to wait for to the present one. It covers all that the session has written.
//
// Before Redis 7.2 it is the connection's last command that counts: a WAIT that waits for nobody does. Since then it is
// the last write. SWAPDB 0 0 is one that changes nothing, needs no key, and is passed on to replicas. Most users may not
// send it, so Understudy's own does, and waits, once the server has let the client's user have WAIT.
func (s *Session) wait(cmd *command.Command, args [][]byte, request []byte) bool {
	asked := bytes.Clone(request)
	if s.clock.start(s, cmd, args) {
		request = s.clock.remaining(s.env.Loop.Now(), cmd, args, request)
	}
	nobody := [][]byte{args[0]}
	for range args[1:] {
		nobody = append(nobody, []byte("0"))
	}
	ahead := resp.AppendRequest(nil, nobody...)
	switch {
	case !s.env.Pool.WaitsForWrites():
		return s.waitBehind(s.env.Pool.Group(s.key), ahead, request, asked)
	case s.key.User == "":
		return s.waitBehind(s.env.Pool.Own(), swapNothing, request, asked)
	}
	request = bytes.Clone(request)
	c := s.choose(toMaster)
	if c == nil {
		return s.declined()
	}
	s.ask(c, upstream.Repeatable, ahead, 1, &await{again: asked, reply: func(_ *upstream.Conn, frame []byte) {
		if frame[0] == '-' {
			s.emit(frame)
		} else if !s.waitBehind(s.env.Pool.Own(), swapNothing, request, asked) {
			s.recover(redo{request: asked})
		}
	}})
	return true
}

var swapNothing = resp.AppendRequestStrings(nil, "SWAPDB", "0", "0")

// waitBehind sends a request behind another one on a pin of a group, which it releases.
func (s *Session) waitBehind(group *upstream.Group, ahead, request, asked []byte) bool {
	c := group.Pin(s)
	if c == nil {
		group.Release()
		s.hold()
		return s.declined()
	}
	s.release()
	s.pinGroup = group
	c.Blocking = true
	s.occupy(c, upstream.Repeatable, append(bytes.Clone(ahead), request...), 2, freshness.ByBlocking, s.emit)
	s.await.last, s.await.again, s.await.done = true, asked, group.Release
	s.leave()
	return true
}
