package session

import (
	"slices"
	"strconv"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/resp"
)

// clock measures how long the blocking command at hand may still take. It runs from when the command was first looked
// at until it is answered: a client that has asked for five seconds gets an answer after five seconds, also if it has
// waited for a master in between, or has been sent to another one.
type clock struct {
	running bool
	number  uint64          // of its arrival, among all that wait or block
	until   time.Time       // zero: for ever
	refusal string          // of the time, by any server; "": it is one
	garbled bool            // no server would let it block
	timer   eventloop.Timer // ends a hold in time
}

// start begins to measure, unless it has begun before, and reports whether it has.
func (k *clock) start(s *Session, cmd *command.Command, args [][]byte) (again bool) {
	if k.running {
		return true
	}
	k.running, k.until, k.number = true, time.Time{}, s.env.Pool.Arrive()
	if k.garbled = !wellFormed(cmd, args); k.garbled {
		return false
	}
	if place, unit := timeoutPlace(cmd, args); place > 0 {
		var d time.Duration
		if d, k.refusal = parseTimeout(args[place], unit); d > 0 {
			k.until = s.env.Loop.Now().Add(d)
		}
	}
	return false
}

func (k *clock) stop() {
	if k.timer != nil {
		k.timer.Stop()
	}
	*k = clock{}
}

// over reports whether the time has run out.
func (k *clock) over(now time.Time) bool { return !k.until.IsZero() && !now.Before(k.until) }

// remaining returns a request with the time that is left in place of the whole. Where none is left, it is the shortest
// there is: the server has the last word on whether there was something to be had.
func (k *clock) remaining(now time.Time, cmd *command.Command, args [][]byte, request []byte) []byte {
	if k.until.IsZero() {
		return request
	}
	place, unit := timeoutPlace(cmd, args)
	left := max(k.until.Sub(now), time.Millisecond)
	text := strconv.FormatInt(left.Milliseconds(), 10)
	if unit == time.Second {
		text = strconv.FormatFloat(left.Seconds(), 'f', 3, 64)
	}
	args = slices.Clone(args)
	args[place] = []byte(text)
	return resp.AppendRequest(nil, args...)
}
