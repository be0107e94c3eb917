package session

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// A server keeps scripts for itself: they are not replicated, and gone when it is restarted. So that EVALSHA works after
// a failover and on replicas, the process remembers the scripts it has seen (scriptmemory.go), and before an EVALSHA
// goes to a node that is not known to have its script, the node is sent SCRIPT LOAD, by Understudy's own user. The
// EVALSHA waits in the input until that is answered. A script that nobody remembers is left to the server, which says
// -NOSCRIPT.

// remembered takes note of the script that a request brings along.
func (s *Session) remembered(cmd *command.Command, args [][]byte) {
	if !cmd.Script() && cmd.Class != command.Scripts || s.unauthenticated() { // a stranger must not drive out others' scripts
		return
	}
	switch {
	case cmd.Name == "SCRIPT|FLUSH" && s.tx != nil: // EXEC comes to it later, but forgetting does no harm
		s.env.Scripts.Flush()
		if s.env.Peers != nil {
			s.env.Peers.ForgetScripts(func(int) {}) // nobody waits for them, and it is logged if they do not hear
		}
	case len(args) < 3:
	case cmd.Name == "SCRIPT|LOAD":
		s.env.Scripts.Remember(args[2])
	case cmd.Name == "EVAL" || cmd.Name == "EVAL_RO":
		s.env.Scripts.Remember(args[1])
	}
}

// digest returns the digest of the script that a request names, if it is EVALSHA or its kind.
func digest(cmd *command.Command, args [][]byte) (sha upstream.SHA, names bool) {
	if !cmd.Script() || len(args) < 3 || cmd.Name != "EVALSHA" && cmd.Name != "EVALSHA_RO" {
		return sha, false
	}
	return parseSHA(args[1])
}

// unloaded reports whether a request must wait until its script has been loaded.
func (s *Session) unloaded(cmd *command.Command, args [][]byte) bool {
	c, _, _ := s.toLoad(cmd, args)
	return c != nil
}

// toLoad returns the lane to a node that has to load the script of EVALSHA first, or nil.
func (s *Session) toLoad(cmd *command.Command, args [][]byte) (c *upstream.Conn, sha upstream.SHA, body []byte) {
	sha, names := digest(cmd, args)
	if !names {
		return nil, sha, nil
	}
	s.heedFlush()
	everywhere := cmd.Name == "EVALSHA_RO"
	if s.env.Pool.Know(sha, everywhere) {
		return nil, sha, nil
	}
	if body = s.env.Scripts.Body(sha); body == nil {
		return nil, sha, nil
	}
	return s.env.Pool.Lacking(sha, everywhere), sha, body
}

// loadFirst has a node load the script of the request at hand, if one has to. It returns true when the request waits
// for that.
func (s *Session) loadFirst(cmd *command.Command, args [][]byte) bool {
	c, sha, body := s.toLoad(cmd, args)
	if c == nil {
		return false
	}
	if s.outstanding > 0 {
		s.draining = true
		return true
	}
	s.load(c, sha, body)
	return true
}

// loadFirstOf is loadFirst for several requests, which are sent again on another node.
func (s *Session) loadFirstOf(requests []byte) bool {
	parser := resp.RequestParser{Limits: resp.DefaultLimits}
	for len(requests) > 0 {
		n, err := parser.Parse(requests)
		if n == 0 || err != nil {
			panic("session: what was kept to be sent again are not whole requests") // they were parsed before they were sent
		}
		if s.loadFirst(s.table().Lookup(parser.Args), parser.Args) {
			return true
		}
		requests = requests[n:]
	}
	return false
}

// load sends SCRIPT LOAD. Nothing is outstanding.
func (s *Session) load(c *upstream.Conn, sha upstream.SHA, body []byte) {
	request := resp.AppendRequest(nil, []byte("SCRIPT"), []byte("LOAD"), body)
	s.await = &await{aside: true, reply: func(c *upstream.Conn, frame []byte) { c.Loaded(sha, frame[0] != '-') }}
	s.outstanding++
	s.lane = c
	c.Send(s, upstream.Repeatable, tagSpecial, request, 1)
}

// byReplicas is the class of a request, considering which scripts the replicas have.
func (s *Session) byReplicas(cmd *command.Command, class command.Class, args [][]byte) command.Class {
	if class == command.MasterRead && cmd.Name == "EVALSHA_RO" {
		if sha, names := digest(cmd, args); names && s.env.Pool.Know(sha, true) {
			return command.Read
		}
	}
	return class
}

var noScript = []byte("-NOSCRIPT ")

// noScript drops a note that was wrong: the node at c does not have the script of the request that it answers. If it is
// still the process that had taken it, somebody has flushed its scripts by another way, and that one is remembered no more.
func (s *Session) noScript(c *upstream.Conn) {
	parser := resp.RequestParser{Limits: resp.DefaultLimits}
	if n, err := parser.Parse(c.Request(nil)); n == 0 || err != nil {
		return
	}
	if sha, names := digest(s.table().Lookup(parser.Args), parser.Args); names {
		if c.NoScript(sha) {
			s.env.Scripts.Forget(sha)
		}
	}
}

// heedFlush drops what is noted of the nodes when somebody has flushed their scripts through this process.
func (s *Session) heedFlush() {
	if n := s.env.Scripts.Flushes(); n != s.env.flushes {
		s.env.flushes = n
		s.env.Pool.ForgetScripts()
	}
}

// scripts answers what concerns the scripts of all nodes.
func (s *Session) scripts(cmd *command.Command, args [][]byte, request []byte) bool {
	switch cmd.Name {
	case "SCRIPT|LOAD":
		return s.loadScript(args[2], request)
	case "SCRIPT|FLUSH":
		kept := bytes.Clone(request)
		return s.askMaster(request, request, func(frame []byte) {
			if frame[0] != '+' {
				s.emit(frame)
				return
			}
			s.env.Scripts.Flush()
			s.heedFlush()
			s.env.Pool.FlushReplicas(kept)
			s.whenForgotten(bytes.Clone(frame))
		})
	case "SCRIPT|EXISTS":
		return s.scriptExists(args, request)
	case "FUNCTION|STATS":
		return s.functionStats(request)
	default:
		return s.killScript(request)
	}
}

// whenForgotten gives a reply when the other members have forgotten all scripts, too: one that remembered them would load
// them again.
func (s *Session) whenForgotten(reply []byte) {
	if s.env.Peers == nil {
		s.emit(reply)
		return
	}
	s.whenAsked(func(done func([]byte)) {
		s.env.Peers.ForgetScripts(func(missing int) {
			s.env.Loop.Post(func() {
				s.env.Stats.Unheard += uint64(missing)
				done(reply)
			})
		})
	})
}

// loadScript passes SCRIPT LOAD on, and has the replicas load the script as well.
func (s *Session) loadScript(body, request []byte) bool {
	c := s.choose(toMaster)
	if c == nil {
		return s.declined()
	}
	body = bytes.Clone(body)
	s.ask(c, upstream.Repeatable, request, 1, &await{reply: func(c *upstream.Conn, frame []byte) {
		if frame[0] == '$' {
			sha := s.env.Scripts.Remember(body)
			s.heedFlush()
			c.Loaded(sha, true)
			s.env.Pool.LoadOnReplicas(sha, body)
		}
		s.emit(frame)
	}})
	return true
}

// scriptExists has the master load the scripts that are remembered, so that its answer is true of what EVALSHA will do.
func (s *Session) scriptExists(args [][]byte, request []byte) bool {
	s.heedFlush()
	for _, a := range args[2:] {
		sha, ok := parseSHA(a)
		if !ok || s.env.Pool.Know(sha, false) {
			continue
		}
		if body := s.env.Scripts.Body(sha); body != nil {
			if c := s.env.Pool.Lacking(sha, false); c != nil {
				s.load(c, sha, body)
				return false
			}
		}
	}
	return s.askMaster(request, request, s.emit)
}

// functionStats is answered by a server that is busy, so it must not wait behind what makes it so.
func (s *Session) functionStats(request []byte) bool {
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.occupy(c, upstream.Repeatable, request, 1, freshness.ByCommand, s.emit)
	return true
}

// killScript sends SCRIPT KILL or FUNCTION KILL to every node, because a script that only reads runs on any of them.
func (s *Session) killScript(request []byte) bool {
	key := s.key
	key.DB = 0
	group := s.env.Pool.Group(key)
	killed := func(reply []byte) bool { return reply[0] == '+' || strings.HasPrefix(string(reply), "-UNKILLABLE") }
	return s.whenAsked(func(done func([]byte)) {
		group.Everywhere(request, killed, func(reply []byte) {
			group.Release()
			if reply == nil {
				reply = errorReply("ERR no server has answered; the script was not killed")
			}
			done(reply)
		})
	})
}
