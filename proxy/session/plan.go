package session

import (
	"slices"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// batch is ordinary requests that are sent together. What can be decided once for all of them is decided when they are
// all known: which node they go to, and whether a replica is fresh enough.
//
// A loop has one, for all its sessions: from newBatch until dispatch no other session takes anything from its input.
type batch struct {
	entries []upstream.Entry
	writes  int              // of them that are not Repeatable
	dest    destination      // of all
	because freshness.Reason // why the reads among them are for the master, if they are
	reads   []freshness.Mark // what they read
	keyed   bool             // that is looked at, request by request
}

// newBatch returns the batch, empty.
func (s *Session) newBatch() *batch {
	b := &s.env.batch
	clear(b.entries) // so that no session is kept alive
	*b = batch{entries: b.entries[:0], reads: b.reads[:0]}
	if b.keyed = s.policy == Causal; b.keyed && s.env.Freshness.Settled() {
		b.keyed = false
		b.reads = append(b.reads, freshness.Anything)
	}
	return b
}

// next returns a further entry, which is zero. Its fields are best written in place: one that is put together elsewhere and
// copied makes the processor wait for what it has just written.
func (b *batch) next() *upstream.Entry {
	n := len(b.entries)
	if n == cap(b.entries) {
		b.entries = slices.Grow(b.entries, 1)
	}
	b.entries = b.entries[:n+1]
	return &b.entries[n]
}

// plan adds an ordinary request of n bytes to the batch.
func (s *Session) plan(cmd *command.Command, class command.Class, args [][]byte, n int) {
	b := &s.env.batch
	if d, reason := route(class, s.policy); d > b.dest {
		b.dest, b.because = d, reason
	}
	e := b.next()
	e.Owner, e.Size, e.Replies = s, n, 1
	e.Kind, e.Tag = kindOf(cmd, class), tagOf(cmd, class)
	if e.Kind == upstream.Repeatable {
		e.Joint = e.Tag == tagPlain
		if b.keyed && b.dest == toReplica && class != command.Session {
			b.reads = s.env.Freshness.AppendKeys(b.reads, cmd, args)
		}
		return
	}
	b.writes++
	e.Mark = s.env.Freshness.Mark(cmd, args)
	switch {
	case cmd.Takes():
		e.Sight = upstream.Taking
	case cmd.Blind(args):
		e.Sight = upstream.Blind
	case s.env.Config.WriteAcks > 0 && cmd.Conditional(args):
		e.Sight = upstream.Conditional
	}
	e.Joint = e.Tag == tagPlain && e.Sight != upstream.Taking && e.Mark != freshness.Unknown && s.env.Config.WriteAcks == 0
}

// need returns the sample as of which a replica must be fresh for the sake of the keys that the batch reads.
func (s *Session) need() uint64 {
	b := &s.env.batch
	if b.dest != toReplica || s.policy != Causal {
		return 0
	}
	return s.env.Freshness.Needs(b.reads...)
}

// plainly reports whether nothing makes the session look at plain commands before it forwards them.
func (s *Session) plainly() bool {
	return s.env.Pause.present.Load() == nil && !(s.ownUsers() && s.login == "")
}

func kindOf(cmd *command.Command, class command.Class) upstream.Kind {
	switch {
	case class != command.Write:
		return upstream.Repeatable
	case cmd.Script() || !cmd.Known():
		return upstream.Script
	}
	return upstream.Write
}

// pinnedKind is kindOf for a pin, whose requests have no tag of their own. Code counts as writing: so its errors, which
// prove nothing, are passed on.
func pinnedKind(cmd *command.Command, class command.Class) upstream.Kind {
	if readsByCode(cmd, class) {
		return upstream.Script
	}
	return kindOf(cmd, class)
}

// readsByCode reports whether a request is one of code that only reads, wherever it is sent: EVALSHA_RO goes to the master
// until the replicas have its script.
func readsByCode(cmd *command.Command, class command.Class) bool {
	return (class == command.Read || class == command.MasterRead) && cmd.Script()
}

func tagOf(cmd *command.Command, class command.Class) uint8 {
	switch {
	case class == command.Scan:
		return tagScan
	case readsByCode(cmd, class):
		return tagOpaque
	}
	return tagPlain
}
