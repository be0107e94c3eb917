package session

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

// maxBlock bounds how many commands of a transaction are looked at to see whether it is whole.
const maxBlock = 1024

// block is a whole MULTI ... EXEC.
type block struct {
	commands int // with MULTI and EXEC; 0: it is none
	reads    int // of them
}

func (b block) writes() int { return b.commands - 2 - b.reads }

// wholeBlock looks for EXEC in what follows a MULTI. It returns the size of everything up to it and what it is, or 0 when
// EXEC is not there, something else than a command on keys is, or all of it is so large that others would wait behind it.
func (s *Session) wholeBlock(ahead []byte) (size int, b block) {
	parser := resp.RequestParser{Limits: s.parser.Limits}
	table := s.table()
	for b.commands = 1; b.commands < maxBlock; b.commands++ {
		n, err := parser.Parse(ahead[size:])
		if n == 0 || err != nil || parser.Reencode || len(parser.Args) == 0 {
			return 0, block{}
		}
		size += n
		cmd, class := table.Classify(parser.Args)
		if s.unloaded(cmd, parser.Args) {
			return 0, block{} // it is dealt with when it is queued
		}
		s.remembered(cmd, parser.Args)
		if cmd.Name == "EXEC" && len(parser.Args) == 1 {
			b.commands++
			return size, b
		}
		if class != command.Write {
			b.reads++
		}
		switch {
		case class == command.Blocking || class == command.Transaction || !cmd.Keyed() || size > largeRequest || b.reads > maxMixed:
			return 0, block{}
		}
	}
	return 0, block{}
}

// sendBlock sends a whole transaction on a lane.
func (s *Session) sendBlock(request []byte, b block) bool {
	c := s.choose(toMaster)
	if c == nil {
		if s.gaveUp {
			for range b.commands {
				s.decline()
			}
		}
		return s.gaveUp
	}
	s.ask(c, upstream.Block, request, b.commands, &await{block: b, passes: true, reply: func(_ *upstream.Conn, frames []byte) { s.emit(frames) }})
	s.tally(c, b.reads, b.writes(), freshness.ByTransaction)
	return true
}

// blockDeclined reports whether a Block was refused as a whole because its node was no master when a command was
// queued, or when EXEC came.
func (s *Session) blockDeclined(c *upstream.Conn, a *await) bool {
	last := a.frames[a.final:]
	if !bytes.HasPrefix(last, []byte("-EXECABORT")) {
		return false
	}
	write := &upstream.Entry{Nature: upstream.Nature{Kind: upstream.Write}}
	if because := declinedBecause(last); len(because) < len(last) {
		return s.retry(c, write, because)
	}
	for frames := a.frames[:a.final]; len(frames) > 0; {
		end := bytes.Index(frames, []byte("\r\n")) + 2 // all of them are one line
		if frames[0] == '-' && s.retry(c, write, frames[:end]) {
			return true
		}
		frames = frames[end:]
	}
	return false
}

// declinedBecause returns the error for which EXEC itself was refused, or else the frame as it is.
func declinedBecause(frame []byte) []byte {
	if because, found := bytes.CutPrefix(frame, []byte("-EXECABORT Transaction discarded because of: ")); found {
		return append([]byte{'-'}, because...)
	}
	return frame
}

// dueAfterLoss returns what a Block's client gets when the connection is lost and EXEC may have been carried out.
func (a *await) dueAfterLoss(e *upstream.Entry) []byte {
	due := a.frames
	for n := a.block.commands - int(e.Replies); a.block.commands > 0 && n < a.block.commands-1; n++ {
		if n == 0 {
			due = append(due, "+OK\r\n"...)
		} else {
			due = append(due, "+QUEUED\r\n"...)
		}
	}
	return append(due, unknownResult...)
}
