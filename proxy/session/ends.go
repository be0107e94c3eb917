package session

import (
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// ends is the ends of the streams that XREAD BLOCK ... $ waits at. They are asked for ahead of the command, in the same
// breath, so that it can be sent again from there: what was added while it was on its way to another master is not
// missed. The last entry serves as well as the last id, because whatever is added later comes after it.
type ends struct {
	args   [][]byte // of the command
	places []int    // of the ids in it that are $
}

// endsOf returns the ends that a command waits at, or nil.
func endsOf(cmd *command.Command, args [][]byte) *ends {
	if cmd.Name != "XREAD" {
		return nil
	}
	_, first := command.StreamOptions(args)
	n := (len(args) - first) / 2
	if first == 0 || n == 0 || (len(args)-first)%2 != 0 {
		return nil
	}
	e := &ends{}
	for i := first + n; i < len(args); i++ {
		if string(args[i]) == "$" {
			e.places = append(e.places, i)
		}
	}
	if len(e.places) == 0 {
		return nil
	}
	e.args = keep(args)
	return e
}

// questions are the requests that ask where the ends are.
func (e *ends) questions() []byte {
	var b []byte
	_, first := command.StreamOptions(e.args)
	n := (len(e.args) - first) / 2
	for _, place := range e.places {
		b = resp.AppendRequestStrings(b, "XREVRANGE", string(e.args[place-n]), "+", "-", "COUNT", "1")
	}
	return b
}

// request is the command with the ends in place of $, as far as the answers to the questions tell them.
func (e *ends) request(answers []byte) []byte {
	for _, place := range e.places {
		var scanner resp.ReplyScanner
		n, done, err := scanner.Scan(answers)
		if !done || err != nil {
			break
		}
		if id := firstID(answers[:n]); id != "" {
			e.args[place] = []byte(id)
		}
		answers = answers[n:]
	}
	return resp.AppendRequest(nil, e.args...)
}

// firstID returns the id of the one entry in a reply to XREVRANGE, or where a stream without any begins, or "".
func firstID(frame []byte) string {
	reply, _, err := resp.Decode(frame)
	switch {
	case err != nil || frame[0] != '*':
		return ""
	case len(reply.Array) == 0:
		return "0-0"
	case len(reply.Array[0].Array) == 0:
		return ""
	}
	return string(reply.Array[0].Array[0].Str)
}
