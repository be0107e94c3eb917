package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// maxKeptTransaction bounds the bytes of a transaction that are kept so that it can be begun again elsewhere.
const maxKeptTransaction = 1 << 20

// maxBlock bounds how many commands of a transaction are looked at to see whether it is whole.
const maxBlock = 1024

// transaction is a MULTI or WATCH that runs on a pin, because its commands arrive one after the other.
//
// Nothing of a transaction is applied before EXEC, so when the pin is lost before EXEC was sent, nothing is lost:
// without watched keys the commands, which are kept, are sent again as one block when EXEC arrives. With watched
// keys, EXEC answers nil, as if one of them had been changed: the client begins anew, as it must be prepared to.
type transaction struct {
	multi   bool // MULTI was answered
	watched bool
	queued  int
	dirty   bool   // the server has refused to queue a command: EXEC will be aborted
	kept    []byte // MULTI and what was queued since
	keeping bool   // kept is complete
	broken  bool   // the pin is gone
	over    bool   // EXEC, DISCARD or UNWATCH was answered
}

// begin handles MULTI, WATCH and the like outside of a transaction. A MULTI whose EXEC has already arrived, with
// nothing but commands on keys in between, goes to a lane as one block.
func (s *Session) begin(cmd *command.Command, request, ahead []byte) bool {
	switch cmd.Name {
	case "EXEC":
		s.emit(errorReply("ERR EXEC without MULTI"))
		return true
	case "DISCARD":
		s.emit(errorReply("ERR DISCARD without MULTI"))
		return true
	case "UNWATCH":
		s.emit(replyOK)
		return true
	case "MULTI":
		if size, commands := s.wholeBlock(ahead); size > 0 {
			if !s.sendBlock(append(bytes.Clone(request), ahead[:size]...), commands) {
				return false
			}
			s.ahead = size
			return true
		}
	}
	c := s.choosePin()
	if c == nil {
		return s.declined()
	}
	s.pin = c
	s.tx = &transaction{keeping: true}
	s.sendQueued(cmd, request)
	return true
}

// wholeBlock looks for EXEC in what follows a MULTI. It returns the size of everything up to it and the number of
// commands with MULTI and EXEC, or 0 when EXEC is not there or something else than a command on keys is.
func (s *Session) wholeBlock(ahead []byte) (size, commands int) {
	parser := resp.RequestParser{Limits: s.parser.Limits}
	table := s.table()
	for commands = 1; commands < maxBlock; commands++ {
		n, err := parser.Parse(ahead[size:])
		if n == 0 || err != nil || parser.Reencode || len(parser.Args) == 0 {
			return 0, 0
		}
		size += n
		cmd, class := table.Classify(parser.Args)
		switch {
		case cmd.Name == "EXEC" && len(parser.Args) == 1:
			return size, commands + 1
		case class == command.Blocking || !cmd.Keyed():
			return 0, 0
		}
	}
	return 0, 0
}

// sendBlock sends a whole transaction on a lane.
func (s *Session) sendBlock(request []byte, commands int) bool {
	return s.sendBlockFor(request, commands, func(_ *upstream.Conn, frames []byte) { s.out.Append(frames) })
}

func (s *Session) sendBlockFor(request []byte, commands int, reply func(*upstream.Conn, []byte)) bool {
	c := s.choose(toMaster)
	if c == nil {
		if s.gaveUp {
			for range commands {
				s.decline()
			}
		}
		return s.gaveUp
	}
	s.ask(c, upstream.Block, request, commands, &await{block: commands, reply: reply})
	return true
}

// takeInTransaction takes one request of a transaction that runs on a pin.
func (s *Session) takeInTransaction(buf []byte) int {
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
	if !s.handleInTransaction(cmd, class, args, request) {
		s.parser.Reset()
		return 0
	}
	return n
}

func (s *Session) handleInTransaction(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	ends := cmd.Name == "EXEC" || cmd.Name == "DISCARD" || cmd.Name == "UNWATCH" || cmd.Name == "RESET" || cmd.Name == "QUIT"
	// What ends the transaction, or is answered without the pin, waits for what is under way.
	if s.outstanding > 0 && (ends || s.tx.broken || s.tx.over || class == command.Session) {
		s.draining = true
		return false
	}
	switch {
	case s.tx.over:
		s.tx = nil
		s.dropPin(true)
		return s.handle(cmd, class, args, request, nil)
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.local(cmd, args, request)
	case s.tx.broken:
		return s.withoutPin(cmd, class, args, request)
	case !s.tx.multi && class == command.Session, class == command.Refused, class == command.Proxy, class == command.Failover,
		class == command.Subscribe, class == command.Pinned:
		// The connection's own state is not the pin's, and a subscription would change what the pin is.
		if s.outstanding > 0 {
			s.draining = true
			return false
		}
		if s.tx.multi || class != command.Session {
			s.emit(errorReply("ERR " + cmd.Name + " is not supported inside a transaction through Understudy"))
			s.tx.dirty = true
			return true
		}
		return s.local(cmd, args, request)
	}
	if !s.env.Pool.Granted() {
		s.hold()
		if s.gaveUp {
			s.decline()
		}
		return s.gaveUp
	}
	s.release()
	s.sendQueued(cmd, request)
	return true
}

// sendQueued sends one command of the transaction on the pin.
func (s *Session) sendQueued(cmd *command.Command, request []byte) {
	tx := s.tx
	kind := upstream.Repeatable
	switch {
	case cmd.Name == "EXEC", !tx.multi && cmd.Class != command.Transaction && cmd.Class != command.Read && cmd.Class != command.MasterRead:
		kind = upstream.Write
	}
	tx.remember(cmd, request)
	s.pin.Send(s, kind, tagQueued, request, 1)
	s.sentOn(s.pin, 1, 0)
	if kind == upstream.Write {
		s.wroteAt = s.env.Loop.Now()
	}
}

// remember follows what the transaction has become once the command is answered well.
func (tx *transaction) remember(cmd *command.Command, request []byte) {
	switch cmd.Name {
	case "WATCH":
		tx.watched = true
	case "MULTI":
		tx.multi = true
		tx.kept = append(tx.kept, request...)
	case "EXEC", "DISCARD":
		tx.over = true
	case "UNWATCH":
		tx.over = !tx.multi
	default:
		if tx.multi {
			tx.queued++
			if tx.keeping = tx.keeping && len(tx.kept)+len(request) <= maxKeptTransaction; tx.keeping {
				tx.kept = append(tx.kept, request...)
			} else {
				tx.kept = nil
			}
		}
	}
}

// replyQueued delivers a reply of the pin.
func (s *Session) replyQueued(c *upstream.Conn, e *upstream.Entry, frame []byte) {
	s.outstanding--
	s.answered()
	if frame[0] == '-' && s.tx.multi && !s.tx.over {
		s.tx.dirty = true
	}
	if e.Kind == upstream.Write && !s.env.Pool.Answerable(c) {
		s.unknown()
		return
	}
	s.out.Append(frame)
	s.conn.Flush()
	if s.tx.over && s.outstanding == 0 {
		s.later = func() {
			s.tx = nil
			s.dropPin(true)
		}
	}
}

// lostQueued answers a request of the transaction that was under way when the pin was lost.
func (s *Session) lostQueued(e *upstream.Entry, request []byte, sent bool) {
	s.outstanding--
	tx := s.tx
	tx.broken = true
	switch {
	case sent && e.Kind == upstream.Write:
		tx.over = true
		s.unknown()
	case tx.over: // EXEC, DISCARD or UNWATCH, not sent or without effect: dealt with without the pin
		tx.over = false
		s.recover(redo{request: request})
	case !tx.multi:
		s.recover(redo{request: request})
	case bytes.Equal(request, tx.kept[:min(len(request), len(tx.kept))]):
		s.recover(redo{reply: replyOK}) // MULTI itself
	default:
		s.recover(redo{reply: []byte("+QUEUED\r\n")})
	}
}

// withoutPin answers for a transaction whose pin is lost.
func (s *Session) withoutPin(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	tx := s.tx
	switch {
	case cmd.Name == "EXEC" && !tx.multi:
		s.emit(errorReply("ERR EXEC without MULTI"))
		return true
	case cmd.Name == "DISCARD" && !tx.multi:
		s.emit(errorReply("ERR DISCARD without MULTI"))
		return true
	case cmd.Name == "MULTI" && tx.multi:
		s.emit(errorReply("ERR MULTI calls can not be nested"))
		return true
	case cmd.Name == "WATCH" && tx.multi:
		s.emit(errorReply("ERR WATCH inside MULTI is not allowed"))
		return true
	case cmd.Name == "EXEC":
		return s.execWithoutPin(request)
	case cmd.Name == "DISCARD", cmd.Name == "UNWATCH" && !tx.multi:
		s.tx = nil
		s.emit(replyOK)
		return true
	case cmd.Name == "WATCH", cmd.Name == "MULTI":
		tx.remember(cmd, request)
		s.emit(replyOK)
		return true
	case !tx.multi: // between WATCH and MULTI
		return s.handle(cmd, class, args, request, nil)
	}
	tx.remember(cmd, request)
	s.emit([]byte("+QUEUED\r\n"))
	return true
}

// execWithoutPin ends a transaction whose pin is lost.
func (s *Session) execWithoutPin(request []byte) bool {
	tx := s.tx
	switch {
	case tx.dirty:
		s.emit(errorReply("EXECABORT Transaction discarded because of previous errors."))
	case tx.watched:
		s.emit(resp.AppendNullArray(nil, s.key.Proto))
	case !tx.keeping:
		s.emit(errorReply("EXECABORT Transaction discarded because the connection to the master was lost."))
	default:
		block := append(bytes.Clone(tx.kept), request...)
		sent := s.sendBlockFor(block, tx.queued+2, func(_ *upstream.Conn, frames []byte) {
			s.out.Append(lastFrame(frames, tx.queued+1))
		})
		if sent {
			s.tx = nil
		}
		return sent
	}
	s.tx = nil
	return true
}

// lastFrame skips n replies of one line each.
func lastFrame(frames []byte, n int) []byte {
	for range n {
		_, frames, _ = bytes.Cut(frames, []byte("\n"))
	}
	return frames
}
