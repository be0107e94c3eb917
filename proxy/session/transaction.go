package session

import (
	"bytes"
	"strconv"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// maxKeptTransaction bounds the bytes of a transaction that are kept so that it can be begun again elsewhere. The server
// holds them too, until EXEC; one that is larger is aborted when its pin is lost.
const maxKeptTransaction = 64 << 20

// transaction is a MULTI or WATCH that runs on a pin, because its commands arrive one after the other. What it has
// become is read from the server's replies: a command that changes it (turns) is outstanding alone.
//
// Nothing of a transaction is applied before EXEC, so when the pin is lost before EXEC was sent, nothing is lost:
// without watched keys the commands, which are kept, are queued again on another pin when EXEC arrives (restart.go).
// With watched keys, EXEC answers nil, as if one of them had been changed: the client begins anew, as it must be
// prepared to.
type transaction struct {
	multi   bool // MULTI was answered
	watched bool
	watches int    // keys named to WATCH; one that is named twice counts twice
	names   int    // of them, those of the WATCH that is outstanding
	turning string // the command that is outstanding and will change what this is
	queued  int
	dirty   bool     // a command was not queued: EXEC will be aborted
	refused bool     // the proxy itself was who did not queue it, so the server would not abort EXEC
	kept    []byte   // MULTI and what was queued since
	keeping bool     // kept is complete
	effects []effect // of what was queued on the session itself
	pending *effect  // of the command that is outstanding, outside of MULTI
	scan    []byte   // one outside of MULTI, as the client sent it

	blocking bool // the command outstanding, outside of MULTI, may block; nothing is sent behind it
	broken   bool // the pin is gone
	moved    bool // the pin is no longer as it was lent: in another database, or another user's
	declined bool // the request at the front of the pin was declined: nothing of it was applied
}

// turns reports whether the command changes what a transaction is, so that what follows waits for its reply.
func (tx *transaction) turns(cmd *command.Command) bool {
	switch cmd.Name {
	case "MULTI", "EXEC", "DISCARD", "WATCH":
		return true
	case "UNWATCH", "SELECT", "AUTH", "HELLO", "CLIENT|NO-TOUCH":
		return !tx.multi
	}
	return cmd.Class == command.Scan && !tx.multi // whose reply is looked at
}

// begin handles MULTI, WATCH and the like outside of a transaction. A MULTI whose EXEC has already arrived, with
// nothing but commands on keys in between, goes to a lane as one block.
func (s *Session) begin(cmd *command.Command, args [][]byte, request, ahead []byte) bool {
	if cmd.Name != "MULTI" && cmd.Name != "WATCH" && s.key.User != "" { // who may lack the permission
		return s.askMaster(request, request, s.emit) // there is nothing on a lane that it could end
	}
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
		if s.env.Pause.at(s.env.Loop.Now()) != nil {
			break // EXEC may have to wait
		}
		if s.silence == skipThis {
			break // CLIENT REPLY SKIP is about the reply to MULTI alone
		}
		if size, b := s.wholeBlock(ahead); size > 0 {
			if !s.sendBlock(append(bytes.Clone(request), ahead[:size]...), b) {
				return false
			}
			s.ahead = size
			s.counted(b.commands - 1) // MULTI itself is, when it is handled
			return true
		}
	}
	c := s.chooseTransactionPin()
	if c == nil {
		return s.declined()
	}
	s.pin = c
	s.tx = &transaction{keeping: true}
	s.sendQueued(cmd, cmd.Class, args, request)
	return true
}

// chooseTransactionPin is choosePin for what is read in a transaction: where tracking is on, it is tracked.
func (s *Session) chooseTransactionPin() *upstream.Conn {
	if s.track == nil {
		return s.choosePin()
	}
	c := s.choose(toMaster)
	if c != nil {
		s.pinGroup = s.track.group
	}
	return c
}

// handleInTransaction deals with one request while a transaction is under way.
func (s *Session) handleInTransaction(cmd *command.Command, class command.Class, args [][]byte, request []byte) bool {
	tx := s.tx
	foreign := foreign(s.pin, cmd, class, args)
	if tx.turning != "" || s.outstanding > 0 && (s.lane != s.pin || tx.broken || tx.blocking || tx.turns(cmd) || foreign || s.withoutServer(cmd, class)) {
		s.draining = true
		return false
	}
	switch {
	case cmd.Name == "QUIT" || cmd.Name == "RESET" && cmd.Accepts(len(args)):
		return s.handle(cmd, class, args, request, nil)
	case tx.broken:
		return s.withoutPin(cmd, class, args, request)
	case s.withoutServer(cmd, class):
		return s.besideTransaction(cmd, class, args, request)
	case foreign:
		s.refuseQueued(cursorElsewhere)
		return true
	case cmd.Name == "EXEC" && tx.refused && s.track != nil && s.track.pin == s.pin:
		s.discardTracked(request)
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
	s.sendQueued(cmd, class, args, request)
	return true
}

const execAborted = "EXECABORT Transaction discarded because of previous errors."

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
	clean = clean && (!s.tx.moved || s.track != nil && s.track.pin == s.pin)
	s.tx = nil
	s.dropPin(clean)
}

// sendQueued sends one command of the transaction on the pin.
func (s *Session) sendQueued(cmd *command.Command, class command.Class, args [][]byte, request []byte) {
	tx := s.tx
	if cmd.Name == "HELLO" || cmd.Soils() { // HELLO may authenticate the connection before it finds fault with the rest
		tx.moved = true
	}
	kind := upstream.Repeatable
	switch {
	case cmd.Name == "EXEC", !tx.multi && cmd.Class == command.Blocking && !cmd.Flags.Has(command.FlagReadOnly):
		kind = upstream.Write
	case !tx.multi && (cmd.Class == command.Write || readsByCode(cmd, cmd.Class)):
		kind = pinnedKind(cmd, cmd.Class)
	case cmd.Class == command.Scan:
		tx.scan = append(tx.scan[:0], request...)
		request = pinnedScan(cmd, args, request)
	}
	switch {
	case tx.turns(cmd):
		tx.turning, tx.names = cmd.Name, len(args)-1
		tx.pending = s.effectOf(cmd, args)
	case tx.multi:
		if cmd.Class == command.Scan {
			tx.keeping = false // another node has other cursors
		}
		tx.queue(s.effectOf(cmd, args), request)
		s.pin.Gather(cmd, args)
	}
	tx.blocking = !tx.multi && cmd.Class == command.Blocking
	if s.track != nil && s.track.pin == s.pin {
		s.track.use()
	}
	s.pin.Send(s, kind, tagQueued, request, 1)
	s.underway += len(request)
	s.sentOn(s.pin, 1)
	s.tallyPinned(s.pin, cmd, class, freshness.ByTransaction)
	if tx.blocking {
		s.pin.Untimed()
		s.leave()
	}
}

// database is the argument of SELECT, or otherwise if the server will not accept it.
func database(args [][]byte, otherwise int) int {
	if len(args) == 2 {
		if db, err := strconv.Atoi(command.Word(args[1])); err == nil && db >= 0 {
			return db
		}
	}
	return otherwise
}

// queue remembers a command that is being queued, and what it will make of the session.
func (tx *transaction) queue(e *effect, request []byte) {
	if e != nil {
		e.place = tx.queued
		tx.effects = append(tx.effects, *e)
	}
	tx.queued++
	if tx.keeping = tx.keeping && len(tx.kept)+len(request) <= maxKeptTransaction; tx.keeping {
		tx.kept = append(tx.kept, request...)
	} else {
		tx.kept = nil
	}
}

// replyQueued delivers a reply of the pin.
func (s *Session) replyQueued(c *upstream.Conn, e *upstream.Entry, frame []byte) {
	if s.leftBlocked(frame) {
		return
	}
	tx := s.tx
	if frame[0] == '-' && s.retry(c, e, declinedBecause(frame)) {
		tx.declined = true
		c.Close() // and lostQueued deals with this request and those behind it
		return
	}
	s.measure(1, len(frame))
	told := s.takeEffect(frame)
	sight := e.Sight
	if tx.turning == "EXEC" {
		sight = upstream.Taking // nil says that nothing was carried out, because a watched key was changed
	}
	if s.doubtful(c, e.Kind, sight, frame) {
		s.unknown()
	} else {
		s.observed(c)
		if s.pledges(e.Kind, sight, frame) {
			s.pledge()
			defer s.seal()
		}
		s.emit(told)
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
	s.underway -= e.Size
	s.answered()
	turned := tx.turning
	tx.turning = ""
	over := false
	switch {
	case turned != "":
		over = tx.turn(turned, frame)
	case frame[0] == '-' && tx.multi:
		tx.dirty = true
	}
	if over {
		s.later = func() { s.endTransaction(true) }
	}
}

// refusedAs notes that a command was refused within the transaction, which aborts it unless that is the reason.
func (tx *transaction) refusedAs(frame []byte, harmless string) {
	tx.dirty = tx.dirty || tx.multi && !bytes.HasPrefix(frame, []byte(harmless))
}

// turn follows what the reply to a command makes of the transaction, and reports whether it is over.
func (tx *transaction) turn(name string, frame []byte) (over bool) {
	ok := frame[0] == '+'
	switch name {
	case "MULTI":
		if ok {
			tx.multi, tx.kept = true, []byte("*1\r\n$5\r\nMULTI\r\n")
		} else {
			tx.refusedAs(frame, "-ERR MULTI calls can not be nested")
		}
	case "WATCH":
		if tx.watched = tx.watched || ok; !ok {
			tx.refusedAs(frame, "-ERR WATCH inside MULTI is not allowed")
		} else {
			tx.watches += tx.names
		}
	case "UNWATCH":
		if tx.watched = tx.watched && !ok; !tx.watched {
			tx.watches = 0
		}
	case "DISCARD":
		if ok {
			tx.multi, tx.watched = false, false
		} else if tx.multi {
			tx.dirty = true
		}
	case "EXEC":
		if tx.multi { // whatever the reply is
			tx.multi, tx.watched = false, false
		}
	}
	return !tx.multi && !tx.watched
}
