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

// Needs returns the sample as of which a replica must be fresh to answer a read.
func (l *Loop) Needs(cmd *command.Command, args [][]byte) uint64 {
	need := l.floor.Load()
	if cmd.Unbounded(args) {
		return max(need, l.last.Load())
	}
	l.keys = cmd.Keys(l.keys[:0], args)
	for _, key := range l.keys {
		need = max(need, l.stamps[l.hash(key)&(slots-1)].Load())
	}
	return need
}

// Mark returns what a write changes, as far as it can be told in one word.
func (l *Loop) Mark(cmd *command.Command, args [][]byte) Mark {
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

// AppendMarks appends what a command of a transaction changes to dst, without Unknown. A transaction that takes an element
// counts as observing it, which may depend on any key.
func (l *Loop) AppendMarks(dst []Mark, cmd *command.Command, args [][]byte) []Mark {
	if cmd.Unbounded(args) || cmd.Takes() {
		return append(dst, Anything)
	}
	l.keys = cmd.Keys(l.keys[:0], args)
	for _, key := range l.keys {
		dst = append(dst, l.hash(key))
	}
	return dst
}

// Answered notes that a write was answered, or that it is unknown whether it was carried out. m is not Unknown: then
// Look is called.
func (l *Loop) Answered(m Mark) {
	switch m {
	case Nothing:
	case Anything:
		l.RaiseFloor()
	default:
		l.Stamp(m)
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
			l.keys = cmd.Keys(l.keys[:0], parser.Args)
			for _, key := range l.keys {
				l.Stamp(l.hash(key))
			}
		}
	}
}
