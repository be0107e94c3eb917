package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

// Subjects of alarms. An alarm whose words change while its subject stays is still the same trouble.
const (
	subjectNobody   = "no node can take over"
	subjectHeldBack = "a failover is held back"
	subjectRivals   = "others look after the nodes"
	subjectGuests   = "others look after the nodes, and hold back"
	subjectCutOff   = "the master lives and cannot be reached"
	subjectUnjudged = "too few members hold the master down"
	subjectTooFew   = "no write can be durable"
	subjectAwaited  = "others have to see to the roles"

	subjectMaps      = "members reach the nodes elsewhere"
	subjectUnaskable = "a member cannot be asked for promises"
	subjectStubborn  = "a node cannot be made a replica: " // and its address
	subjectLockedOut = "no node lets us in"
	subjectDenied    = "a node does not let us in: " // and its address
)

// alarm is one that stands.
type alarm struct {
	text   string
	cause  string   // of subjectRivals: what comes of them
	rivals []string // and who they are
}

// tellAlarms logs what has changed since the last decision: an alarm that is new or says something new, and one that is
// over. While the State is being looked into or replaced, or a request is answered, which says nothing about them, the
// alarms of before stand.
func (l *loop) tellAlarms(actions []action, state *topology.State, now time.Time) {
	standing := make(map[string]alarm)
	expected := make(map[string]time.Time)
	undecided := false
	for _, a := range actions {
		switch a.deed {
		case deedAlarm:
			if l.expects(a, expected, now) {
				continue
			}
			standing[a.subject] = alarm{a.why, a.cause, a.rivals}
		case deedRead, deedWrite, deedAnswer:
			undecided = true
		}
	}
	if undecided && len(standing) == 0 && len(expected) == 0 {
		return
	}
	l.expected = expected
	// What is over comes first: where one alarm takes the place of another, the last line is what is so now.
	for _, subject := range slices.Sorted(maps.Keys(l.alarms)) {
		if _, stands := standing[subject]; !stands {
			l.log.Warn("operator no longer needed", "epoch", state.Epoch, "alarm", l.alarms[subject].text)
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(standing)) {
		now := standing[subject]
		was, stood := l.alarms[subject]
		switch {
		case stood && was.text == now.text:
		case !stood, was.cause != now.cause, !fewer(now.rivals, was.rivals):
			l.log.Error("operator needed", "epoch", state.Epoch, "alarm", now.text)
		default:
			l.log.Info("operator still needed", "epoch", state.Epoch, "alarm", now.text)
		}
	}
	l.alarms = standing
}

// expects reports whether an alarm is about something that is likely to pass by itself soon, and tells of it as an event when
// it begins. expected takes in since when.
func (l *loop) expects(a action, expected map[string]time.Time, now time.Time) bool {
	if a.patience == 0 {
		return false
	}
	since, known := l.expected[a.subject]
	if !known {
		since = now
		l.log.Info("this is expected to pass, and is an alarm if it does not", "epoch", a.epoch, "within", a.patience, "event", a.why)
	}
	expected[a.subject] = since
	return now.Sub(since) < a.patience
}

// unwritten notes whether the State could be written. As long as it cannot, no failover takes place. Once may be chance: a
// coordinator's server that has just gone.
func (l *loop) unwritten(err error) {
	was := l.unwritable
	switch {
	case err == nil:
		l.unwritable, l.misses = "", 0
	case l.ctx.Err() != nil:
		return
	default:
		if l.misses++; l.misses == 1 {
			l.warn("the state could not be written", err)
			return
		}
		l.unwritable = fmt.Sprintf("the state cannot be written, and there is no failover until it can: %v", err)
	}
	switch {
	case was == l.unwritable:
	case l.unwritable != "":
		l.log.Error("operator needed", "alarm", l.unwritable)
	default:
		l.log.Warn("operator no longer needed", "alarm", was)
	}
}

// standing are the texts of all alarms, sorted.
func (l *loop) standing() (texts []string) {
	for _, a := range l.alarms {
		texts = append(texts, a.text)
	}
	if l.unwritable != "" {
		texts = append(texts, l.unwritable)
	}
	slices.Sort(texts)
	return texts
}

// raisePause is the time between two changes of what other members are told.
const raisePause = time.Second

// raise has all members tell of this leader's alarms: who needs to know may be asking any of them. A new leader takes back what an
// earlier one has raised.
func (l *loop) raise(now time.Time) {
	term := l.term
	if term == nil || !term.lasts() || len(l.members) == 0 || now.Sub(l.raisedAt) < raisePause {
		return
	}
	texts := l.standing()
	if l.raisedIn == term && slices.Equal(texts, l.raised) {
		return
	}
	l.raisedAt = now
	l.task("raise", func(ctx context.Context) func() {
		err := l.coord.Raise(ctx, texts)
		return func() {
			switch {
			case err == nil:
				l.raised, l.raisedIn = texts, term
			case errors.Is(err, topology.ErrNotLeader), errors.Is(err, topology.ErrClosed):
				l.log.Debug("the alarms were not raised", "reason", err)
			default:
				l.warn("other members cannot be told of the alarms", err)
			}
		}
	})
}

// fewer reports whether all of now were there before, and more.
func fewer(now, before []string) bool {
	return len(now) < len(before) && !slices.ContainsFunc(now, func(name string) bool { return !slices.Contains(before, name) })
}
