package command

import (
	"bytes"

	"github.com/understudy/understudy/proxy/command/internal/listing"
)

// keyFinder appends the keys among args to dst.
type keyFinder func(dst, args [][]byte) [][]byte

// keyFinders find keys where a server's specifications cannot, or not all: SORT has its destination anywhere, MIGRATE
// two places for keys, and of several STORE only the last counts.
var keyFinders = map[string]keyFinder{
	"SORT":              sortKeys,
	"SORT_RO":           sortKeys,
	"MIGRATE":           migrateKeys,
	"GEORADIUS":         geoKeys(6),
	"GEORADIUSBYMEMBER": geoKeys(5),
}

// Keys appends the keys that this invocation names to dst and returns it, without allocating if dst has room. args is
// the whole request, beginning with the command's name; the keys share its memory. Of a request that is not well
// formed, and will be answered by an error, any of the arguments or none may be returned. A key named twice is returned
// twice. See [Command.Unbounded] for what is not named.
func (c *Command) Keys(dst [][]byte, args [][]byte) [][]byte {
	if c.finder != nil {
		return c.finder(dst, args)
	}
	for i := range c.specs {
		dst = appendKeys(dst, args, &c.specs[i])
	}
	return dst
}

// soleKey returns the index of the key that a specification finds if it finds one at the same place always, otherwise 0.
func soleKey(s *listing.KeySpec) int {
	if s.Keyword == "" && s.Find == listing.FindRange && s.Last == 0 {
		return max(s.Start, 0)
	}
	return 0
}

// appendKeys applies one specification the way a server does.
func appendKeys(dst, args [][]byte, s *listing.KeySpec) [][]byte {
	begin := s.Start
	if s.Keyword != "" {
		begin = afterKeyword(args, s.Keyword, s.Start)
	}
	if begin < 1 || begin >= len(args) {
		return dst
	}
	first, last := begin, 0
	switch s.Find {
	case listing.FindRange:
		switch {
		case s.Last >= 0:
			last = first + s.Last
		case s.Limit > 1:
			last = first + (len(args)-first)/s.Limit + s.Last
		default:
			last = len(args) + s.Last
		}
	case listing.FindCount:
		at := begin + s.CountIndex
		if at >= len(args) {
			return dst
		}
		n := count(args[at])
		if n > len(args) {
			return dst
		}
		first = begin + s.First
		last = first + (n-1)*s.Step
	default:
		return dst
	}
	if last >= len(args) {
		return dst
	}
	for i := first; i <= last; i += s.Step {
		dst = append(dst, args[i])
	}
	return dst
}

// afterKeyword is the index after the first argument that is this word, searched from an index, or backwards from that
// many before the end if it is negative. It is 0 if there is none.
func afterKeyword(args [][]byte, word string, from int) int {
	step := 1
	if from < 0 {
		from, step = len(args)+from, -1
	}
	for i := from; i > 0 && i < len(args); i += step {
		if EqualFold(args[i], word) {
			return i + 1
		}
	}
	return 0
}

// count reads a number of keys: decimal digits, no sign, no spaces. It is 0 for anything else, including a number that
// no request can hold.
func count(arg []byte) int {
	if len(arg) == 0 || len(arg) > 9 {
		return 0
	}
	n := 0
	for _, b := range arg {
		if b < '0' || b > '9' {
			return 0
		}
		n = n*10 + int(b-'0')
	}
	return n
}

// sortKeys finds the keys of SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE key].
func sortKeys(dst, args [][]byte) [][]byte {
	if len(args) < 2 {
		return dst
	}
	dst = append(dst, args[1])
	store := 0
	for i := 2; i < len(args); i++ {
		switch {
		case EqualFold(args[i], "LIMIT"):
			i += 2
		case EqualFold(args[i], "BY"), EqualFold(args[i], "GET"):
			i++
		case EqualFold(args[i], "STORE"):
			i++
			store = i
		}
	}
	if store > 0 && store < len(args) {
		dst = append(dst, args[store])
	}
	return dst
}

// sortReaches reports whether SORT or SORT_RO looks into keys made from patterns.
func sortReaches(args [][]byte) bool {
	for i := 2; i+1 < len(args); i++ {
		switch {
		case EqualFold(args[i], "LIMIT"):
			i += 2
		case EqualFold(args[i], "BY"), EqualFold(args[i], "GET"):
			i++
			if bytes.IndexByte(args[i], '*') >= 0 {
				return true
			}
		}
	}
	return false
}

// migrateKeys finds the keys of MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password] [AUTH2 user
// password] [KEYS key ...].
func migrateKeys(dst, args [][]byte) [][]byte {
	if len(args) < 4 {
		return dst
	}
	for i := 6; i < len(args) && len(args[3]) == 0; i++ {
		switch {
		case EqualFold(args[i], "AUTH"):
			i++
		case EqualFold(args[i], "AUTH2"):
			i += 2
		case EqualFold(args[i], "KEYS"):
			return append(dst, args[i+1:]...)
		}
	}
	return append(dst, args[3]) // which may be the empty key
}

// geoKeys finds the keys of GEORADIUS and GEORADIUSBYMEMBER, whose options begin at an index. Where several STORE and
// STOREDIST are given only one is in force; all are returned.
func geoKeys(options int) keyFinder {
	return func(dst, args [][]byte) [][]byte {
		if len(args) < 2 {
			return dst
		}
		dst = append(dst, args[1])
		for i := options; i+1 < len(args); i++ {
			switch {
			case EqualFold(args[i], "STORE"), EqualFold(args[i], "STOREDIST"):
				i++
				dst = append(dst, args[i])
			case EqualFold(args[i], "COUNT"):
				i++
			}
		}
		return dst
	}
}

// Unbounded reports whether this invocation may read or change keys that [Command.Keys] does not return: scripts,
// modules, FLUSHALL, DBSIZE, SORT with a pattern, whatever is unknown. It says nothing about commands that the proxy
// answers itself.
func (c *Command) Unbounded(args [][]byte) bool {
	switch {
	case c.partial:
		return true
	case c.rule == ruleSort || c.Name == "SORT_RO":
		return sortReaches(args)
	case len(c.specs) == 0:
		return !keyless[c.Name]
	default:
		return false
	}
}
