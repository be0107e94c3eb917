package freshness

import (
	"hash/maphash"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// Mark says what a write changes: one key, by its hash, or one of the values below.
type Mark uint64

const (
	Unknown  Mark = iota // the request itself must be looked at
	Nothing              // no key
	Anything             // keys that it does not name
	firstKey
)

// Loop is the use that one event loop makes of a Tracker. It belongs to the loop.
type Loop struct {
	*Tracker
	commands func() *command.Table
	keys     [][]byte
	marks    []Mark
	parser   resp.RequestParser
}

// NewLoop returns what a loop needs. commands returns the newest command table.
func (t *Tracker) NewLoop(commands func() *command.Table) *Loop {
	return &Loop{Tracker: t, commands: commands, keys: make([][]byte, 0, 16)}
}

// hash returns the Mark of a key. The database has no part in it, so that MOVE and COPY stamp what they write.
func (l *Loop) hash(key []byte) Mark {
	return max(Mark(maphash.Bytes(l.seed, key)), firstKey)
}

// Mark returns what a write changes, as far as it can be told in one word.
func (l *Loop) Mark(cmd *command.Command, args [][]byte) Mark {
	if i := cmd.SoleKey(); i > 0 && i < len(args) {
		return l.hash(args[i])
	}
	if cmd.Unbounded(args) {
		return Anything
	}
	switch l.keys = cmd.Keys(l.keys[:0], args); len(l.keys) {
	case 0:
		return Nothing
	case 1:
		return l.hash(l.keys[0])
	}
	return Unknown
}

// AppendKeys appends what a request reads or changes to dst, without Unknown and Nothing.
func (l *Loop) AppendKeys(dst []Mark, cmd *command.Command, args [][]byte) []Mark {
	if i := cmd.SoleKey(); i > 0 && i < len(args) {
		return append(dst, l.hash(args[i]))
	}
	if cmd.Unbounded(args) {
		return append(dst, Anything)
	}
	l.keys = cmd.Keys(l.keys[:0], args)
	for _, key := range l.keys {
		dst = append(dst, l.hash(key))
	}
	return dst
}

// AppendMarks is AppendKeys for a command of a transaction. One that takes an element counts as observing it, which may
// depend on any key.
func (l *Loop) AppendMarks(dst []Mark, cmd *command.Command, args [][]byte) []Mark {
	if cmd.Takes() {
		return append(dst, Anything)
	}
	return l.AppendKeys(dst, cmd, args)
}

// Settled reports whether all replicas have everything that was written so far. Then nobody has to look at what a read
// reads: it is Anything.
func (l *Loop) Settled() bool { return l.last.Load() <= l.reached.Load() }

// Needs returns the sample as of which a replica must be fresh to answer reads, by the marks of what they read. The stamps
// of many keys lie far apart in memory, and are fetched all at once: so it is asked once for a whole batch.
func (l *Loop) Needs(reads ...Mark) uint64 {
	if !l.read.Load() {
		l.read.Store(true)
	}
	need := l.floor.Load()
	for _, m := range reads {
		if m == Anything {
			need = max(need, l.last.Load())
		} else {
			need = max(need, l.stamps[m&(slots-1)].Load())
		}
	}
	return need
}

// Answered notes that writes were answered, or that it is unknown whether they were carried out, by their marks. None is
// Unknown: then Look is called.
//
// The stamps are looked at before any is changed, so that they are fetched all at once (see Needs): an atomic change
// waits for what was fetched before it.
func (l *Loop) Answered(writes ...Mark) {
	n := l.Next()
	behind, written := 0, false
	for _, m := range writes {
		switch {
		case m >= firstKey:
			written = true
			if l.stamps[m&(slots-1)].Load() < n {
				behind++
			}
		case m == Anything:
			l.RaiseFloor()
		}
	}
	if behind > 0 {
		for _, m := range writes {
			if m >= firstKey {
				raise(&l.stamps[m&(slots-1)], n)
			}
		}
	}
	if written {
		raise(&l.last, n)
		l.written(n)
	}
}

// Look is Answered for one or more requests, as they were sent, that must be looked at: a write of several keys, a whole
// transaction.
func (l *Loop) Look(requests []byte) {
	parser := &l.parser
	parser.Limits = resp.DefaultLimits
	many := false
	for len(requests) > 0 {
		n, err := parser.Parse(requests)
		if n == 0 || err != nil { // it was one before it was sent
			parser.Reset()
			l.RaiseFloor()
			return
		}
		requests = requests[n:]
		many = many || len(requests) > 0
		switch cmd, class := l.commands().Classify(parser.Args); {
		case class == command.Transaction, class == command.Read, class == command.MasterRead:
		case cmd.Unbounded(parser.Args), many && cmd.Takes():
			l.RaiseFloor()
		default:
			l.marks = l.AppendKeys(l.marks[:0], cmd, parser.Args)
			l.Answered(l.marks...)
		}
	}
}
