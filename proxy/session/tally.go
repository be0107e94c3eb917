package session

import (
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// tally counts requests that were queued on a connection. because is why the reads among them went to the master, if they did:
// each counts for one reason, so that the reasons add up to all of them.
func (s *Session) tally(c *upstream.Conn, reads, writes int, because freshness.Reason) {
	st := &s.env.Stats
	st.Writes += uint64(writes)
	if c.Master() {
		st.MasterReadsBy[because] += uint64(reads)
	} else {
		st.Reads += uint64(reads)
	}
}

// tallyPinned counts one command on a pin of the session's. One that is about the connection, or about the transaction on it, is
// neither a read nor a write.
func (s *Session) tallyPinned(c *upstream.Conn, cmd *command.Command, class command.Class, because freshness.Reason) {
	switch class {
	case command.Read, command.MasterRead, command.Scan, command.Info:
		s.tally(c, 1, 0, because)
	case command.Blocking:
		if cmd.Flags.Has(command.FlagReadOnly) {
			s.tally(c, 1, 0, because)
			return
		}
		s.tally(c, 0, 1, because)
	case command.Write:
		s.tally(c, 0, 1, because)
	}
}
