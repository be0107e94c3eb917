package proxy

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/session"
)

// complaintInterval is how often the log tells of clients that are turned away for the same reason: where there is one,
// there may be thousands.
const complaintInterval = 10 * time.Second

// complaints tells in the log of clients that are turned away, now and then. Several loops may use it.
type complaints struct {
	log *slog.Logger

	mu    sync.Mutex
	tales map[string]*tale // by what the log says
}

// tale is when the log last told of one reason, and what it has not told since.
type tale struct {
	told   time.Time
	untold int
}

// about logs that something happened to a client at addr, unless the same was logged a short while ago.
func (c *complaints) about(now time.Time, what, addr string, attrs ...any) {
	if others, due := c.due(now, what); due {
		attrs = append([]any{"client", addr}, attrs...)
		if others > 0 {
			attrs = append(attrs, "others_before", others)
		}
		c.log.Warn(what, attrs...)
	}
}

// due reports whether it is time to tell of something that has happened, and how often it was not told since the last time.
func (c *complaints) due(now time.Time, what string) (others int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tales == nil {
		c.tales = map[string]*tale{}
	}
	t := c.tales[what]
	if t == nil {
		t = &tale{}
		c.tales[what] = t
	}
	if !t.told.IsZero() && now.Sub(t.told) < complaintInterval {
		t.untold++
		return 0, false
	}
	others = t.untold
	t.told, t.untold = now, 0
	return others, true
}

// alone hints, once, at what an operator may not think of who sets something as if there were one server.
func (p *Proxy) alone(s *session.Session, cmd *command.Command) {
	hint, what := &p.usersHint, strings.ReplaceAll(cmd.Name, "|", " ")+" reaches the master alone: replicas answer reads by the rules that they have, and so does the next master: change users at every node itself"
	if cmd.Name == "CONFIG|SET" {
		hint, what = &p.configHint, "CONFIG SET reaches the master alone, and after a failover the next one has what it had: set it at every node itself"
	}
	hint.Do(func() { p.log.Warn(what, "client", s.Describe().Addr) })
}

// closed takes note of the end of a client's connection.
func (p *Proxy) closed(s *session.Session, reason session.CloseReason, now time.Time) {
	p.clients.Add(-1)
	switch reason {
	case session.ByInputLimit:
		p.complaints.about(now, "a client was disconnected: it sent a request that is larger than input-limit allows", s.Describe().Addr, "input_limit", p.cfg.InputLimit)
	case session.ByOutputLimit:
		p.complaints.about(now, "a client was disconnected: it left more replies unread than output-limit allows", s.Describe().Addr, "output_limit", p.cfg.OutputLimit)
	}
}
