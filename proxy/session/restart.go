package session

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// This file holds what becomes of a transaction whose pin is lost.

// lostQueued answers a request of the transaction that was under way when the pin was lost.
func (s *Session) lostQueued(e *upstream.Entry, request []byte, sent bool) {
	s.outstanding--
	s.underway -= e.Size
	tx := s.tx
	turning := tx.turning
	tx.turning = ""
	tx.broken = true
	sent = sent && !tx.declined
	personal := tx.blocking && s.deletable()
	tx.declined, tx.blocking = false, false
	switch {
	case sent && e.Kind != upstream.Repeatable:
		if turning == "EXEC" {
			s.tx = nil
		}
		s.unknownTo(personal)
	case tx.multi && turning == "":
		s.recover(redo{reply: []byte("+QUEUED\r\n")})
	case strings.HasSuffix(turning, "SCAN"):
		s.recover(redo{request: bytes.Clone(tx.scan)})
	default: // it was not sent, or had no effect that outlives the pin
		s.recover(redo{request: request})
	}
}

// withoutPin answers for a transaction whose pin is lost.
func (s *Session) withoutPin(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	tx := s.tx
	refuse := func(text string) bool { // which does not abort a transaction
		s.emit(errorReply(text))
		return true
	}
	switch {
	case s.withoutServer(cmd, class):
		return s.besideTransaction(cmd, class, args, request)
	case cmd.Name == "EXEC" && !tx.multi:
		return refuse("ERR EXEC without MULTI")
	case cmd.Name == "EXEC":
		return s.execWithoutPin(cmd, args, request)
	case cmd.Known() && !cmd.Accepts(len(args)):
		tx.dirty = tx.multi
		return refuse(cmd.ArityError())
	case cmd.Name == "DISCARD" && !tx.multi:
		return refuse("ERR DISCARD without MULTI")
	case cmd.Name == "MULTI" && tx.multi:
		return refuse("ERR MULTI calls can not be nested")
	case cmd.Name == "WATCH" && tx.multi:
		return refuse("ERR WATCH inside MULTI is not allowed")
	case cmd.Name == "DISCARD", cmd.Name == "UNWATCH" && !tx.multi:
		s.tx = nil
		s.emit(replyOK)
	case cmd.Name == "WATCH":
		tx.watched = true
		s.emit(replyOK)
	case cmd.Name == "MULTI":
		tx.multi, tx.kept = true, bytes.Clone(request)
		s.emit(replyOK)
	case !tx.multi: // between WATCH and MULTI
		return s.handle(cmd, class, args, request, nil)
	default:
		if class == command.Scan {
			tx.keeping = false
		}
		tx.queue(s.effectOf(cmd, args), request)
		s.emit([]byte("+QUEUED\r\n"))
	}
	return true
}

// execWithoutPin ends a transaction whose pin is lost, or begins it again on another pin.
func (s *Session) execWithoutPin(cmd *command.Command, args [][]byte, request []byte) bool {
	tx := s.tx
	switch {
	case !cmd.Accepts(len(args)):
		s.emit(errorReply(cmd.ArityError()))
	case tx.dirty:
		s.emit(errorReply(execAborted))
	case tx.watched:
		s.emit(resp.AppendNullArray(nil, s.key.Proto))
	case !tx.keeping:
		s.emit(errorReply("EXECABORT Transaction discarded because the connection to the master was lost."))
	case s.loadFirstOf(tx.kept):
		return false
	default:
		c := s.chooseTransactionPin()
		if c != nil {
			s.restart(c, cmd, request)
			return true
		}
		if !s.gaveUp {
			return false
		}
		s.decline()
	}
	s.tx = nil
	return true
}

// restart queues the commands of a transaction on another pin, and has them executed.
func (s *Session) restart(c *upstream.Conn, exec *command.Command, request []byte) {
	tx := s.tx
	tx.broken, tx.moved = false, false
	s.pin = c
	c.GatherAnything()
	s.ask(c, upstream.Repeatable, tx.kept, tx.queued+1, &await{restart: true})
	s.sendQueued(exec, exec.Class, nil, request)
}

// restarted looks at the answers to MULTI and to what was queued again, all of which are one line.
func (s *Session) restarted(c *upstream.Conn, frames []byte) {
	write := &upstream.Entry{Nature: upstream.Nature{Kind: upstream.Write}}
	for len(frames) > 0 {
		end := bytes.IndexByte(frames, '\n') + 1
		if frames[0] == '-' && s.retry(c, write, frames[:end]) { // this is no master either, and will not execute it
			s.tx.declined = true
			c.Close()
			return
		}
		frames = frames[end:]
	}
	s.endAwait()
}
