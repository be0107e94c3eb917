package session

import (
	"bytes"
	"strconv"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

// A cursor of SCAN and its kin means something to the server only that gave it: it is a place in that server's table of
// keys, whose order follows from a secret of the process. So the cursor that a client gets also names the run of the
// node that gave it, by its number in State, which every member knows:
//
//	client's cursor = server's cursor << 17 | number of the run
//
// A server's cursor is smaller than its table, which is no larger than twice the number of its elements, rounded up to a
// power of two: 36 bits are enough for 30 billion keys. Together that is less than 2^53, because some clients keep
// cursors in floating point. 0 is 0: the iteration begins, or is over.

const (
	runBits    = 17
	cursorBits = 36
)

// The numbers of runs have to fit.
var _ = [1]struct{}{}[topology.MaxRun>>runBits]

const (
	cursorLost = "ERR invalid cursor: the server that it belongs to is gone or was restarted, so elements could be missed. " +
		"Start the iteration again with cursor 0"
	cursorUnreachable = "ERR the server that this cursor belongs to could not be reached in time. Try again, or start the iteration again with cursor 0"
	cursorTooLarge    = "ERR the server's cursor has more than 36 bits, which Understudy cannot pass on"
	cursorNameless    = "ERR the server is not known well enough to go on with this iteration. Start it again with cursor 0"
	cursorElsewhere   = "ERR invalid cursor: it belongs to another server than the master, which alone serves this connection now. " +
		"Start the iteration again with cursor 0"
)

// cursorAt is where SCAN, or one of its kin, has its cursor.
func cursorAt(cmd *command.Command) int {
	if cmd.Name == "SCAN" {
		return 1
	}
	return 2
}

// cursorOf returns the cursor that an invocation of SCAN continues at, and 0 for one that begins, or that the server
// will refuse whatever its cursor is. A cursor that no server can have given has the number of no run.
func cursorOf(cmd *command.Command, args [][]byte) uint64 {
	at := cursorAt(cmd)
	if len(args) <= at {
		return 0
	}
	digits, _, _ := bytes.Cut(args[at], []byte{0}) // where a string ends for the server
	minus := len(digits) > 0 && digits[0] == '-'
	if minus || len(digits) > 0 && digits[0] == '+' { // as strtoul takes it
		digits = digits[1:]
	}
	var v uint64
	for _, d := range digits {
		if d < '0' || d > '9' || v > (1<<64-10)/10 {
			return 0
		}
		v = 10*v + uint64(d-'0')
	}
	if v != 0 && (minus || v>>(cursorBits+runBits) != 0) {
		return 1 << runBits
	}
	return v
}

// runOf returns the number of the run that a client's cursor belongs to.
func runOf(cursor uint64) uint32 { return uint32(cursor & (1<<runBits - 1)) }

// withServerCursor is a request with the server's cursor in place of the client's.
func withServerCursor(cmd *command.Command, args [][]byte, cursor uint64) []byte {
	var digits [20]byte
	own := append([][]byte(nil), args...)
	own[cursorAt(cmd)] = strconv.AppendUint(digits[:0], cursor>>runBits, 10)
	return resp.AppendRequest(nil, own...)
}

// appendClientCursor appends a reply to SCAN, or the beginning of one that has its cursor in it, with the client's
// cursor in place of the server's. What is no such reply is appended as it is.
func appendClientCursor(dst, frame []byte, run uint32) []byte {
	rest, array := bytes.CutPrefix(frame, []byte("*2\r\n$"))
	_, rest, _ = bytes.Cut(rest, []byte("\r\n"))
	digits, rest, whole := bytes.Cut(rest, []byte("\r\n"))
	cursor, err := strconv.ParseUint(string(digits), 10, 64)
	switch {
	case !array || !whole || err != nil || cursor == 0:
		return append(dst, frame...)
	case run == 0:
		return resp.AppendError(dst, cursorNameless)
	case cursor>>cursorBits != 0:
		return resp.AppendError(dst, cursorTooLarge)
	}
	dst = append(dst, "*2\r\n"...)
	dst = resp.AppendBulkString(dst, strconv.FormatUint(cursor<<runBits|uint64(run), 10))
	return append(dst, rest...)
}
