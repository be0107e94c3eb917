package session

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

// Pause is what CLIENT PAUSE asks of the clients of a process, shared by its loops. The zero value is none. Its methods
// may be called from any goroutine.
type Pause struct {
	mu      sync.Mutex
	present atomic.Pointer[pause]
}

type pause struct {
	until time.Time
	all   bool // not only what may write
}

// add begins a pause, or makes the present one longer or stricter, as a server does.
func (p *Pause) add(now time.Time, d time.Duration, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &pause{now.Add(d), all}
	if old := p.at(now); old != nil {
		next.all = next.all || old.all
		if old.until.After(next.until) {
			next.until = old.until
		}
	}
	p.present.Store(next)
}

// end ends the pause.
func (p *Pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.present.Store(nil)
}

// at returns the pause that there is at that time, or nil.
func (p *Pause) at(now time.Time) *pause {
	if was := p.present.Load(); was != nil && now.Before(was.until) {
		return was
	}
	return nil
}

// paused reports whether a request has to wait for the end of a pause, and sees to it that it goes on then. CLIENT
// UNPAUSE never waits, which is one thing that a server lets a client wait for.
func (s *Session) paused(cmd *command.Command, class command.Class) bool {
	if s.env.Pause.present.Load() == nil { // as good as always
		return false
	}
	now := s.env.Loop.Now()
	p := s.env.Pause.at(now)
	if p == nil || cmd.Name == "CLIENT|UNPAUSE" || !p.all && !mayWrite(cmd, class) {
		return false
	}
	if s.pauseTimer == nil {
		s.pauseTimer = s.env.Loop.After(p.until.Sub(now), s.Unpause)
	}
	return true
}

// Unpause goes on with the input, as far as there is no pause.
func (s *Session) Unpause() {
	if t := s.pauseTimer; t != nil && !s.closed {
		t.Stop()
		s.pauseTimer = nil
		s.proceed()
	}
}

// mayWrite reports whether a command may change data or publish something. Of a transaction that is EXEC.
func mayWrite(cmd *command.Command, class command.Class) bool {
	switch class {
	case command.Write:
		return true
	case command.Blocking:
		return !cmd.Flags.Has(command.FlagReadOnly)
	case command.Transaction:
		return cmd.Name == "EXEC"
	}
	return cmd.Name == "PFCOUNT" // keeps what it has counted
}

// clientPause answers CLIENT PAUSE milliseconds [WRITE|ALL].
func (s *Session) clientPause(args [][]byte) {
	ms, err := strconv.ParseInt(string(args[2]), 10, 64)
	number := err == nil && strconv.FormatInt(ms, 10) == string(args[2]) // as servers read numbers
	all := true
	if len(args) > 4 {
		s.emit(errorReply(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%.128s'. Try CLIENT HELP.", args[1])))
		return
	}
	if len(args) > 3 {
		switch command.Word(args[3]) {
		case "WRITE":
			all = false
		case "ALL":
		default:
			s.emit(errorReply("ERR CLIENT PAUSE mode must be WRITE or ALL"))
			return
		}
	}
	switch {
	case !number:
		s.emit(errorReply("ERR timeout is not an integer or out of range"))
	case ms < 0:
		s.emit(errorReply("ERR timeout is negative"))
	default:
		now := s.env.Loop.Now()
		s.env.Pause.add(now, pauseOf(now, ms), all)
		s.emit(replyOK)
	}
}

// pauseOf is how long a pause of so many milliseconds is: a hundred years at most, and none where a server's sum of its clock and
// that number is no number any more.
func pauseOf(now time.Time, ms int64) time.Duration {
	const most = 100 * 365 * 24 * 3600 * 1000
	if ms > math.MaxInt64-now.UnixMilli() {
		return 0
	}
	return time.Duration(min(ms, most)) * time.Millisecond
}

// pauseProbe is what a server answers with an error about the number if the user may pause clients.
var pauseProbe = resp.AppendRequestStrings(nil, "CLIENT", "PAUSE", "UNDERSTUDY-ASKS-FOR-PERMISSION")

// ifPermitted does something that the server lets the user do, going by its answer to a probe that changes nothing and
// fails in another way if it is permitted.
func (s *Session) ifPermitted(asked, probe []byte, do func()) bool {
	return s.askAnyNode(asked, probe, func(frame []byte) {
		if denies(frame) {
			s.emit(frame)
			return
		}
		do()
	})
}

// pausing answers CLIENT PAUSE and UNPAUSE for those whom the server lets pause its clients. The question that it is
// asked changes nothing there.
func (s *Session) pausing(args [][]byte, request []byte, unpause bool) bool {
	kept := keep(args)
	return s.ifPermitted(request, pauseProbe, func() {
		if !unpause {
			s.clientPause(kept)
			return
		}
		s.env.Pause.end()
		s.whenAsked(func(done func([]byte)) {
			s.env.Directory.Unpause(s, func() { done(replyOK) })
		})
	})
}
