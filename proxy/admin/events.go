package admin

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

const (
	// journalLength events are kept; the oldest make room for the newest.
	journalLength = 512
	// hearsay is how old what others have done may be to count as seen when it happened. It has the time of this member's clock then,
	// so that the order is that of the story, whatever the clocks of others say.
	hearsay = 2 * time.Second
)

// event is something that happened, as this member saw it.
type event struct {
	at    time.Time
	epoch uint64        // 0: not known, as of what was before the first State that this member knew
	kind  string        // state, failover, switchover, replica, pause, request, grant
	text  string        // one sentence
	took  time.Duration // what it took, where that means something
}

// journal keeps the latest events. It is fed by changes of State and of requests.
type journal struct {
	mu       sync.Mutex
	events   []event // oldest first
	state    *topology.State
	began    time.Time // of the failover under way
	step     time.Time // of its present phase
	seen     map[string]topology.Answer
	now      func() time.Time
	untilNow bool // the requests that were there at the start have been taken in

	authority topology.Authority // as it was told last
	lost      time.Time          // since when it is not a lease
}

func newJournal() *journal {
	return &journal{seen: map[string]topology.Answer{}, now: time.Now}
}

func (j *journal) add(kind string, took time.Duration, format string, args ...any) {
	j.addAt(j.now(), kind, took, format, args...)
}

// addAt takes note of what was done at a time by the clock of whoever did it. What is heard of late has its own place among the others, and
// the epoch of then.
func (j *journal) addAt(at time.Time, kind string, took time.Duration, format string, args ...any) {
	e := event{at: j.now(), kind: kind, text: fmt.Sprintf(format, args...), took: took}
	place := len(j.events)
	if e.at.Sub(at) > hearsay {
		e.at = at
		for place > 0 && j.events[place-1].at.After(at) {
			place--
		}
	}
	switch {
	case place < len(j.events) && place > 0:
		e.epoch = j.events[place-1].epoch
	case place == len(j.events) && j.state != nil:
		e.epoch = j.state.Epoch
	}
	j.events = slices.Insert(j.events, place, e)
	if len(j.events) > journalLength {
		j.events = slices.Delete(j.events, 0, 1)
	}
}

// latest returns the last n events, oldest first.
func (j *journal) latest(n int) []event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events[max(0, len(j.events)-n):])
}

// follow takes note of a new State.
func (j *journal) follow(s topology.Snapshot) {
	j.mu.Lock()
	defer j.mu.Unlock()
	was, is := j.state, s.State
	if is == nil {
		return
	}
	j.state = is
	if was == nil {
		j.add("state", 0, "the state is known: master %s, phase %s, %d replicas", is.Master.Addr, is.Phase, len(is.Replicas))
		if is.Phase != topology.Stable {
			j.began, j.step = j.now(), j.now()
		}
		return
	}
	if was.Epoch != is.Epoch || was.Phase != is.Phase {
		j.phase(was, is)
	}
	j.pause(was, is)
	j.outage(was, is)
	if was.Phase == topology.Stable && is.Phase == topology.Stable {
		j.replicas(was, is)
	}
}

// phase takes note of a step of a failover.
func (j *journal) phase(was, is *topology.State) {
	now := j.now()
	took := now.Sub(j.step)
	j.step = now
	kind := "failover"
	if f := is.Failover; f != nil && f.Planned || is.Failover == nil && was.Failover != nil && was.Failover.Planned {
		kind = "switchover"
	}
	switch f := is.Failover; {
	case is.Phase == topology.Fencing && was.Phase == topology.Stable:
		j.began = now
		j.add(kind, 0, "fencing: %s", f.Cause)
	case is.Phase == topology.Fencing && f.Aborted != "":
		j.add(kind, took, "given up: %s", f.Aborted)
	case is.Phase == topology.Fencing:
		j.add(kind, took, "fencing again: %s", f.Cause)
	case is.Phase == topology.Promoting:
		j.add(kind, took, "all members are fenced; %s is to be master", f.Choice)
	case was.Phase == topology.Stable && is.Master.Addr == was.Master.Addr && is.Master.RunID != was.Master.RunID:
		j.add(kind, 0, "master %s was restarted with all the data that it had, and goes on", is.Master.Addr)
	case was.Phase == topology.Stable:
		j.add(kind, 0, "seen when it was over: master %s, was %s", is.Master.Addr, was.Master.Addr)
	case is.Master.Addr == was.Master.Addr:
		j.add(kind, now.Sub(j.began), "over: %s goes on as master", is.Master.Addr)
	default:
		j.add(kind, now.Sub(j.began), "over: master %s, was %s", is.Master.Addr, was.Master.Addr)
	}
}

func (j *journal) pause(was, is *topology.State) {
	switch {
	case was.Paused == nil && is.Paused != nil:
		j.add("pause", 0, "paused by %s: %s", is.Paused.By, is.Paused.Reason)
	case was.Paused != nil && is.Paused == nil:
		j.add("pause", j.now().Sub(was.Paused.Since), "resumed")
	}
}

// outage takes note of a master that is down and whose place nobody takes.
func (j *journal) outage(was, is *topology.State) {
	switch {
	case was.Outage == nil && is.Outage != nil:
		j.add("outage", 0, "master %s is down and nobody takes its place: %s", is.Master.Addr, is.Outage.Reason)
	case was.Outage != nil && is.Outage == nil && is.Phase == topology.Stable:
		j.add("outage", j.now().Sub(was.Outage.Since), "master %s answers again", is.Master.Addr)
	}
}

// replicas takes note of who came, went, or changed its health.
func (j *journal) replicas(was, is *topology.State) {
	healths := func(s *topology.State) map[string]string {
		m := map[string]string{}
		for _, r := range s.Replicas {
			m[r.Addr] = string(r.Health)
		}
		for _, n := range s.Unavailable {
			m[n.Addr] = "unavailable"
		}
		return m
	}
	before, after := healths(was), healths(is)
	for _, addr := range slices.Sorted(keys(before, after)) {
		switch b, a := before[addr], after[addr]; {
		case a == b || addr == was.Master.Addr || addr == is.Master.Addr:
		case b == "":
			j.add("replica", 0, "%s was found, and is %s", addr, a)
		case a == "":
			j.add("replica", 0, "%s is forgotten", addr)
		default:
			j.add("replica", 0, "%s is %s, was %s", addr, a, b)
		}
	}
}

// keys yields the keys of both maps, each once.
func keys(a, b map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range a {
			if !yield(k) {
				return
			}
		}
		for k := range b {
			if _, both := a[k]; !both && !yield(k) {
				return
			}
		}
	}
}

// followRequests takes note of what was asked and answered.
func (j *journal) followRequests(list []topology.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	present := make(map[string]topology.Answer, len(list))
	for _, r := range list {
		before, known := j.seen[r.ID]
		present[r.ID] = r.Answer
		if !j.untilNow && r.Answer != "" {
			continue // older than this process
		}
		if !known {
			j.addAt(r.At, "request", 0, "%s: %s asked for by %s", r.ID, describe(r), r.By)
		}
		if before == "" && r.Answer != "" {
			j.addAt(r.Answered, "request", r.Answered.Sub(r.At), "%s: %s: %s", r.ID, r.Answer, r.Text)
		}
	}
	j.seen, j.untilNow = present, true
}

// followAuthority takes note of what the permission to write rests on.
func (j *journal) followAuthority(a topology.Authority) {
	j.mu.Lock()
	defer j.mu.Unlock()
	was, now := j.authority, j.now()
	j.authority = a
	if a.Alarm != was.Alarm && a.Alarm != "" {
		j.add("grant", 0, "%s", a.Alarm)
	}
	if was.Source == "" || was.Source == a.Source {
		return
	}
	if was.Source == topology.Leased {
		j.lost = now
	}
	switch a.Source {
	case topology.Promised:
		by := "nobody else may lead"
		if len(a.By) > 0 {
			by = "promised by " + strings.Join(a.By, ", ")
		}
		j.add("grant", 0, "writes go on without ZooKeeper: %s", by)
	case topology.NoGrant:
		j.add("grant", 0, "writes stop, because ZooKeeper does not answer: %s", a.Reason)
	default:
		if j.lost.IsZero() { // it began without one: behind a predecessor that was killed, for instance
			j.add("grant", 0, "writes are under a lease")
			return
		}
		j.add("grant", now.Sub(j.lost), "ZooKeeper is back, and writes are under a lease")
	}
}

// describe tells what a request asks for.
func describe(r topology.Request) string {
	words := []string{string(r.Kind)}
	switch {
	case r.Target == "":
	case r.Kind == topology.Forget:
		words = append(words, r.Target)
	default:
		words = append(words, "to "+r.Target)
	}
	if r.Force {
		words = append(words, "with force")
	}
	if r.Reason != "" {
		words = append(words, "("+r.Reason+")")
	}
	return strings.Join(words, " ")
}

// events is the reply to PROXY EVENTS: an array of maps, the latest last.
func (a *Admin) events(proto, n int) []byte {
	list := a.journal.latest(n)
	reply := resp.AppendArray(nil, len(list))
	for _, e := range list {
		reply = appendFields(reply, proto, []field{
			{"time_ms", e.at.UnixMilli()},
			{"epoch", int64(e.epoch)},
			{"kind", e.kind},
			{"text", oneLine(e.text)},
			{"duration_us", e.took.Microseconds()},
		})
	}
	return reply
}
