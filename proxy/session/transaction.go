package session

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// maxKeptTransaction bounds the bytes of a transaction that are kept so that it can be begun again elsewhere.
const maxKeptTransaction = 1 << 20

// transaction is a MULTI or WATCH that runs on a pin, because its commands arrive one after the other. What it has
// become is read from the server's replies: a command that changes it (turns) is outstanding alone.
//
// Nothing of a transaction is applied before EXEC, so when the pin is lost before EXEC was sent, nothing is lost:
// without watched keys the commands, which are kept, are sent again as one block when EXEC arrives. With watched
// keys, EXEC answers nil, as if one of them had been changed: the client begins anew, as it must be prepared to.
type transaction struct {
	multi   bool // MULTI was answered
	watched bool
	turning string // the command that is outstanding and will change what this is
	queued  int
	dirty   bool       // a command was not queued: EXEC will be aborted
	refused bool       // the proxy itself was who did not queue it, so the server would not abort EXEC
	kept    []byte     // MULTI and what was queued since
	keeping bool       // kept is complete
	selects []selected // SELECTs among what was queued
	scans   []int      // the places of scans in the reply to EXEC
	scan    []byte     // one outside of MULTI, as the client sent it
	db      int        // that a SELECT outside of MULTI moves to, once it is answered

	blocking bool // the last command sent, outside of MULTI, may block
	broken   bool // the pin is gone
	moved    bool // the pin is in another database than it was lent in
	declined bool // the request at the front of the pin was declined: nothing of it was applied
}

// selected is a SELECT that was queued, and its place in the reply to EXEC.
type selected struct{ place, db int }

// turns reports whether the command changes what a transaction is, so that what follows waits for its reply.
func (tx *transaction) turns(cmd *command.Command) bool {
	switch cmd.Name {
	case "MULTI", "EXEC", "DISCARD", "WATCH":
		return true
	case "UNWATCH", "SELECT":
		return !tx.multi
	}
	return cmd.Class == command.Scan && !tx.multi // whose reply is looked at
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
			if !s.sendBlock(append(bytes.Clone(request), ahead[:size]...), commands, false) {
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
	s.sendQueued(cmd, nil, request)
	return true
}

// handleInTransaction deals with one request while a transaction is under way.
func (s *Session) handleInTransaction(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	tx := s.tx
	foreign := foreign(s.pin, cmd, class, args)
	if tx.turning != "" || s.outstanding > 0 && (tx.broken || tx.turns(cmd) || foreign || s.withoutServer(cmd, class)) {
		s.draining = true
		return false
	}
	switch {
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.handle(cmd, class, args, request, nil)
	case tx.broken:
		return s.withoutPin(cmd, class, args, request)
	case s.withoutServer(cmd, class):
		return s.besideTransaction(cmd, class, args, request)
	case foreign:
		s.refuseQueued(cursorElsewhere)
		return true
	case cmd.Name == "EXEC" && tx.refused:
		s.endTransaction(false)
		s.emit(errorReply(execAborted))
		return true
	}
	if s.loadFirst(cmd, args) {
		return false
	}
	s.remembered(cmd, args)
	if !s.env.Pool.Granted() {
		s.hold()
		if s.gaveUp {
			s.declineQueued(cmd)
		}
		return s.gaveUp
	}
	s.release()
	s.sendQueued(cmd, args, request)
	return true
}

const execAborted = "EXECABORT Transaction discarded because of previous errors."

// withoutServer reports whether a command within a transaction is not for the pin: it concerns the client's own
// connection, or would make something else of the pin.
func (s *Session) withoutServer(cmd *command.Command, class command.Class) bool {
	switch class {
	case command.Session:
		switch cmd.Name {
		case "SELECT":
			return false
		case "PING", "ECHO", "READONLY", "READWRITE", "ASKING":
			return !s.tx.multi // in MULTI they are queued or refused like any other
		}
		return true
	case command.Info:
		return !s.tx.multi
	case command.Refused, command.Proxy, command.Failover, command.Subscribe, command.Pinned:
		return true
	}
	return false
}

// besideTransaction deals with a command that the pin is not asked about.
func (s *Session) besideTransaction(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	switch {
	case s.tx.multi && cmd.Known() && !cmd.Accepts(len(args)):
		s.refuseQueued(cmd.ArityError())
	case class == command.Refused && s.tx.multi:
		s.refuseQueued(cmd.Refusal())
	case s.tx.multi, class == command.Subscribe, class == command.Pinned:
		s.refuseQueued("ERR " + cmd.Name + " is not supported inside a transaction through Understudy")
	case cmd.Name == "AUTH" || cmd.Name == "HELLO":
		// The pin would remain the former user's. Watched keys count as changed from here on.
		s.tx.broken = true
		s.dropPin(false)
		return s.handle(cmd, class, args, request, nil)
	default:
		return s.handle(cmd, class, args, request, nil)
	}
	return true
}

// refuseQueued answers a command by an error of the proxy's own, and has EXEC aborted if there is a MULTI.
func (s *Session) refuseQueued(text string) {
	s.tx.dirty, s.tx.refused = s.tx.multi, s.tx.multi
	s.emit(errorReply(text))
}

// declineQueued answers a command for which no master was to be had in time.
func (s *Session) declineQueued(cmd *command.Command) {
	switch {
	case cmd.Name == "EXEC" || cmd.Name == "DISCARD":
		s.endTransaction(false)
	case s.tx.multi:
		s.tx.dirty, s.tx.refused = true, true
	}
	s.decline()
}

// endTransaction leaves the transaction behind. It is called with nothing outstanding on the pin.
func (s *Session) endTransaction(clean bool) {
	clean = clean && !s.tx.moved
	s.tx = nil
	s.dropPin(clean)
}

// sendQueued sends one command of the transaction on the pin.
func (s *Session) sendQueued(cmd *command.Command, args [][]byte, request []byte) {
	tx := s.tx
	kind := upstream.Repeatable
	switch {
	case cmd.Name == "EXEC", !tx.multi && cmd.Class == command.Blocking && !cmd.Flags.Has(command.FlagReadOnly):
		kind = upstream.Write
	case !tx.multi && cmd.Class == command.Write:
		kind = kindOf(cmd, command.Write)
	case cmd.Class == command.Scan:
		tx.scan = append(tx.scan[:0], request...)
		request = pinnedScan(cmd, args, request)
	}
	switch {
	case tx.turns(cmd):
		tx.turning = cmd.Name
		if cmd.Name == "SELECT" {
			tx.db = database(args, s.key.DB)
		}
	case tx.multi:
		if cmd.Name == "SELECT" {
			tx.selects = append(tx.selects, selected{tx.queued, database(args, s.key.DB)})
			tx.keeping = false // a SELECT must not enter a lane
		}
		if cmd.Class == command.Scan {
			tx.scans = append(tx.scans, tx.queued)
			tx.keeping = false // another node has other cursors
		}
		tx.keep(request)
	}
	tx.blocking = !tx.multi && cmd.Class == command.Blocking
	s.pin.Send(s, kind, tagQueued, request, 1)
	s.sentOn(s.pin, 1, 0)
	if kind != upstream.Repeatable {
		s.wroteAt = s.env.Loop.Now()
	}
}

// database is the argument of SELECT, or otherwise if the server will not accept it.
func database(args [][]byte, otherwise int) int {
	if len(args) == 2 {
		if db, err := strconv.Atoi(string(args[1])); err == nil {
			return db
		}
	}
	return otherwise
}

// keep remembers a command that is being queued.
func (tx *transaction) keep(request []byte) {
	tx.queued++
	if tx.keeping = tx.keeping && len(tx.kept)+len(request) <= maxKeptTransaction; tx.keeping {
		tx.kept = append(tx.kept, request...)
	} else {
		tx.kept = nil
	}
}

// replyQueued delivers a reply of the pin.
func (s *Session) replyQueued(c *upstream.Conn, e *upstream.Entry, frame []byte) {
	tx := s.tx
	if frame[0] == '-' && s.retry(c, e, declinedBecause(frame)) {
		tx.declined = true
		c.Close() // and lostQueued deals with this request and those behind it
		return
	}
	s.measure(len(frame))
	switch {
	case e.Kind != upstream.Repeatable && !s.env.Pool.Answerable(c):
		s.unknown()
	case tx.turning == "EXEC" && len(tx.scans) > 0:
		s.emit(appendClientCursors(nil, frame, c.Run(), tx.scans))
	case strings.HasSuffix(tx.turning, "SCAN"):
		s.emit(s.cursored(c, frame))
	default:
		s.emit(frame)
	}
	if s.closed {
		return
	}
	s.relieve(c)
	s.concludeQueued(e, frame)
}

// concludeQueued follows what a reply of the pin, which was delivered, makes of the transaction. Of a large one, frame
// is only the beginning.
func (s *Session) concludeQueued(e *upstream.Entry, frame []byte) {
	tx := s.tx
	s.outstanding--
	s.answered()
	turned := tx.turning
	tx.turning = ""
	db, over := s.key.DB, false
	switch {
	case turned != "":
		db, over = tx.turn(turned, frame, db)
	case frame[0] == '-' && tx.multi:
		tx.dirty = true
	}
	if e.Kind != upstream.Repeatable {
		s.wroteAt = s.env.Loop.Now()
	}
	if db != s.key.DB {
		key := s.key
		key.DB = db
		s.regroup(key)
	}
	if over {
		s.later = func() { s.endTransaction(true) }
	}
}

// turn follows what the reply to a command makes of the transaction: the database that the session is in, and whether
// the transaction is over.
func (tx *transaction) turn(name string, frame []byte, db int) (now int, over bool) {
	ok := frame[0] == '+'
	switch name {
	case "MULTI":
		if ok {
			tx.multi, tx.kept = true, []byte("*1\r\n$5\r\nMULTI\r\n")
		} else if tx.multi {
			tx.dirty = true
		}
	case "WATCH":
		if tx.watched = tx.watched || ok; !ok && tx.multi {
			tx.dirty = true
		}
	case "UNWATCH":
		tx.watched = tx.watched && !ok
	case "DISCARD":
		if ok {
			tx.multi, tx.watched = false, false
		} else if tx.multi {
			tx.dirty = true
		}
	case "EXEC":
		if tx.multi { // whatever the reply is
			db = tx.executed(frame, db)
			tx.multi, tx.watched = false, false
		}
	case "SELECT":
		if ok {
			tx.moved, db = true, tx.db
		}
	}
	return db, !tx.multi && !tx.watched
}

// executed returns the database after EXEC.
func (tx *transaction) executed(frame []byte, db int) int {
	if len(tx.selects) == 0 || frame[0] != '*' {
		return db
	}
	reply, n, err := resp.Decode(frame)
	if n == 0 || err != nil || len(reply.Array) != tx.queued {
		return db
	}
	for _, sel := range tx.selects {
		if reply.Array[sel.place].Kind == '+' {
			tx.moved, db = true, sel.db
		}
	}
	return db
}

// lostQueued answers a request of the transaction that was under way when the pin was lost.
func (s *Session) lostQueued(e *upstream.Entry, request []byte, sent bool) {
	s.outstanding--
	tx := s.tx
	turning := tx.turning
	tx.turning = ""
	tx.broken = true
	sent = sent && !tx.declined
	tx.declined = false
	switch {
	case sent && e.Kind != upstream.Repeatable:
		if turning == "EXEC" {
			s.tx = nil
		}
		s.unknown()
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
	refuse := func(text string) bool {
		tx.dirty = tx.multi
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
		if cmd.Name == "SELECT" || class == command.Scan {
			tx.keeping = false
		}
		tx.keep(request)
		s.emit([]byte("+QUEUED\r\n"))
	}
	return true
}

// execWithoutPin ends a transaction whose pin is lost.
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
	default:
		sent := s.sendBlock(append(bytes.Clone(tx.kept), request...), tx.queued+2, true)
		if sent {
			s.tx = nil
		}
		return sent
	}
	s.tx = nil
	return true
}
