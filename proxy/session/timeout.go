package session

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// timeoutPlace returns which argument of a command says how long it may block, and in what unit; 0 if none does.
func timeoutPlace(cmd *command.Command, args [][]byte) (place int, unit time.Duration) {
	switch cmd.Name {
	case "BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BZPOPMIN", "BZPOPMAX":
		return len(args) - 1, time.Second
	case "BLMPOP", "BZMPOP":
		return 1, time.Second
	case "WAIT":
		return 2, time.Millisecond
	case "WAITAOF":
		return 3, time.Millisecond
	case "XREAD", "XREADGROUP":
		if block, _ := command.StreamOptions(args); block > 0 {
			return block, time.Millisecond
		}
	}
	return 0, 0
}

// What a server says of a time that is none.
const (
	noFloat   = "ERR timeout is not a float or out of range"
	noInteger = "ERR timeout is not an integer or out of range"
	negative  = "ERR timeout is negative"
)

// tooLong is from where on a time counts as for ever, some thirty years. Beyond what a server can add to its clock, each version does
// something else.
const tooLong = 1e9 * time.Second

// parseTimeout reads a time as a server does, or returns the error by which each refuses it. 0 is for ever, and what only a
// server can tell.
func parseTimeout(text []byte, unit time.Duration) (d time.Duration, refusal string) {
	if unit == time.Second {
		return parseSeconds(string(text))
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case err != nil || strconv.FormatInt(n, 10) != string(text): // "+1", "01"
		return 0, noInteger
	case n < 0:
		return 0, negative
	case n > tooLong.Milliseconds():
		return 0, ""
	}
	return time.Duration(n) * time.Millisecond, ""
}

// parseSeconds is parseTimeout for seconds with a fraction. What is left of a millisecond some servers round up and others down, so
// that it is for ever.
func parseSeconds(text string) (d time.Duration, refusal string) {
	switch {
	case strings.Contains(text, "_"): // which may stand in a number in Go
		return 0, noFloat
	case strings.ContainsAny(text, "xXiInN"): // hexadecimal, infinite, or no number: C knows other ones than Go
		return 0, ""
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && math.IsInf(n, 0) {
		return 0, "" // too large for a float64, which a server's are larger than
	}
	switch n *= 1000; {
	case err != nil:
		return 0, noFloat
	case n > -2 && n < 1: // rounded, it may be 0
		return 0, ""
	case n < 0:
		return 0, negative
	case n > float64(tooLong.Milliseconds()):
		return 0, ""
	}
	return time.Duration(n * float64(time.Millisecond)), ""
}

// wellFormed reports whether a blocking command has the words that a server wants, apart from its time. One that has not
// does not block: a server answers it with an error at once, in words that are not Understudy's to know.
func wellFormed(cmd *command.Command, args [][]byte) bool {
	switch cmd.Name {
	case "BLMOVE":
		return oneOf(args[3], "LEFT", "RIGHT") && oneOf(args[4], "LEFT", "RIGHT")
	case "BLMPOP":
		return popsMany(args, "LEFT", "RIGHT")
	case "BZMPOP":
		return popsMany(args, "MIN", "MAX")
	case "XREAD", "XREADGROUP":
		_, keys := command.StreamOptions(args)
		if n := len(args) - keys; keys == 0 || n == 0 || n%2 != 0 {
			return false
		}
		for _, id := range args[keys+(len(args)-keys)/2:] {
			if !readsFrom(cmd, id) {
				return false
			}
		}
	}
	return true
}

// popsMany reports whether the arguments behind the time of BLMPOP or BZMPOP are numkeys, keys, one of two words, and perhaps COUNT.
func popsMany(args [][]byte, words ...string) bool {
	n, err := strconv.Atoi(string(args[2]))
	if err != nil || n < 1 || n > len(args)-4 || !oneOf(args[3+n], words...) {
		return false
	}
	switch rest := args[4+n:]; len(rest) {
	case 0:
		return true
	case 2:
		count, err := strconv.Atoi(string(rest[1]))
		return err == nil && count > 0 && oneOf(rest[0], "COUNT")
	}
	return false
}

// readsFrom reports whether a stream can be read from there.
func readsFrom(cmd *command.Command, id []byte) bool {
	switch string(id) {
	case "$", "+":
		return cmd.Name == "XREAD"
	case ">":
		return cmd.Name == "XREADGROUP"
	}
	ms, seq, found := bytes.Cut(id, []byte("-"))
	_, err := strconv.ParseUint(string(ms), 10, 64)
	if found && err == nil {
		_, err = strconv.ParseUint(string(seq), 10, 64)
	}
	return err == nil
}

func oneOf(arg []byte, words ...string) bool {
	for _, word := range words {
		if command.EqualFold(arg, word) {
			return true
		}
	}
	return false
}

// noElement is what a server answers when a blocking command has got nothing in time: for each of them the nil of an array, also
// where the reply would be an element.
func noElement(proto int) []byte { return resp.AppendNullArray(nil, proto) }
