package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	simSession   = 10 * time.Second
	simLease     = 6 * time.Second
	simHeartbeat = time.Second
	simLimit     = 25 * time.Second
)

// promiseWorld is a cluster and its ZooKeeper.
type promiseWorld struct {
	rng     *rand.Rand
	broken  string // the rule that is broken
	telling bool   // keep a log, which takes time
	log     []string
	base    time.Time
	now     time.Duration // true time

	// ZooKeeper:
	state      Snapshot
	members    map[string]*simSess
	registry   map[string]int32 // the version of the entry
	candidates []*simSess       // in order

	processes []*simProcess
	updates   []*simUpdate
	requests  []*simRequest
	writing   int
	taken     int
}

// simSess is a session with ZooKeeper.
type simSess struct {
	owner *simProcess
	heard time.Duration
	over  bool
}

// simProcess is one life of a member.
type simProcess struct {
	id       string
	up       bool
	rate     float64 // of its clock
	wired    bool    // it reaches ZooKeeper
	deaf     map[string]bool
	sess     *simSess
	ledger   *ledger
	known    Snapshot
	promises promises
	failsafe *failsafe
	takeover *simTakeover
	gone     map[string]absence
	enlisted bool
	started  time.Time
}

type simTakeover struct {
	version int64
	proof   map[string]int32
}

// simUpdate is a write of the State on its way.
type simUpdate struct {
	by       *simProcess
	sess     *simSess
	version  int64
	electors []Elector
	proof    map[string]int32
}

// simRequest is a request for a promise on its way.
type simRequest struct {
	by   *simProcess
	to   string
	r    PromiseRequest
	sent time.Time
}

func newPromiseWorld(seed uint64, broken string) *promiseWorld {
	w := &promiseWorld{rng: rand.New(rand.NewPCG(seed, 3)), broken: broken, base: time.Now(),
		members: map[string]*simSess{}, registry: map[string]int32{}}
	first := stable(1)
	w.state = Snapshot{State: first, Version: 1}
	for range 2 + w.rng.IntN(2) {
		w.begin(string(rune('a' + len(w.processes))))
	}
	return w
}

func (w *promiseWorld) note(format string, args ...any) {
	if !w.telling {
		return
	}
	w.log = append(w.log, fmt.Sprintf("%6.2f ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

// begin starts a process.
func (w *promiseWorld) begin(id string) {
	p := &simProcess{id: id, up: true, wired: true, rate: 0.98 + 0.04*w.rng.Float64(), deaf: map[string]bool{}, gone: map[string]absence{}}
	p.ledger = &ledger{self: Elector{ID: id, Addr: id + ":1", Limit: simLimit}, fresh: simHeartbeat * 3 / 2, most: simSession}
	p.started = w.clock(p)
	w.processes = append(w.processes, p)
	w.note("%s starts", id)
}

// clock is what a process takes for the time.
func (w *promiseWorld) clock(p *simProcess) time.Time {
	return w.base.Add(time.Duration(float64(w.now) * p.rate))
}

// living returns a random process that runs, nil if none does.
func (w *promiseWorld) living() *simProcess {
	var up []*simProcess
	for _, p := range w.processes {
		if p.up {
			up = append(up, p)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.IntN(len(up))]
}

func (w *promiseWorld) find(id string) *simProcess {
	for _, p := range w.processes {
		if p.up && p.id == id {
			return p
		}
	}
	return nil
}

func (w *promiseWorld) run() string {
	calm := 1 + w.rng.IntN(6)
	for range 400 {
		w.now += time.Duration(w.rng.IntN(500)) * time.Millisecond
		w.expire()
		if w.rng.IntN(calm) == 0 {
			w.disturb()
		}
		for _, p := range w.processes {
			if p.up && w.rng.IntN(3) > 0 {
				w.step(p)
			}
		}
		w.deliver()
		if broken := w.check(); broken != "" {
			return broken
		}
	}
	return ""
}

// disturb does one random thing, now and then.
func (w *promiseWorld) disturb() {
	p := w.living()
	switch n := w.rng.IntN(60); {
	case n < 2:
		// All lose ZooKeeper, or all find it again.
		wired := n == 0
		for _, p := range w.processes {
			p.wired = wired
		}
		w.note("ZooKeeper reached by all: %v", wired)
	case p == nil || n < 5:
		if len(w.processes) < 12 {
			id := string(rune('a' + w.rng.IntN(5)))
			if w.find(id) == nil {
				w.begin(id)
			}
		}
	case n < 9:
		p.wired = !p.wired
		w.note("%s reaches ZooKeeper: %v", p.id, p.wired)
	case n == 9:
		w.note("%s is killed", p.id)
		p.up = false
	case n == 10:
		w.leave(p)
	case n == 11:
		other := string(rune('a' + w.rng.IntN(5)))
		p.deaf[other] = !p.deaf[other]
		w.note("%s does not reach %s: %v", p.id, other, p.deaf[other])
	case n == 12:
		w.now += time.Duration(w.rng.IntN(int(simLimit)))
		w.note("time passes")
		w.expire()
	}
}

// leave ends a process in order.
func (w *promiseWorld) leave(p *simProcess) {
	free := p.ledger.close(w.clock(p))
	if p.sess != nil && !p.sess.over && p.wired && (free || w.broken == leavesInADebt) {
		delete(w.registry, p.id)
		w.note("%s leaves", p.id)
	} else {
		w.note("%s ends", p.id)
	}
	if p.sess != nil && p.wired {
		w.end(p.sess)
	}
	p.up = false
}

// expire ends the sessions that ZooKeeper has not heard of.
func (w *promiseWorld) expire() {
	for _, s := range w.members {
		if w.now-s.heard > simSession {
			w.note("the session of %s expires", s.owner.id)
			w.end(s)
		}
	}
}

func (w *promiseWorld) end(s *simSess) {
	s.over = true
	if w.members[s.owner.id] == s {
		delete(w.members, s.owner.id)
	}
	w.candidates = slices.DeleteFunc(w.candidates, func(c *simSess) bool { return c == s })
}

// deliver lets some of what is on its way arrive, and some be lost.
func (w *promiseWorld) deliver() {
	var later []*simUpdate
	for _, u := range w.updates {
		switch w.rng.IntN(5) {
		case 0, 4:
			later = append(later, u)
		case 1: // lost, or carried out and the answer lost
			if w.rng.IntN(2) == 0 {
				w.commit(u)
			}
			u.by.ledger.end(w.broken != careless)
		default:
			if w.commit(u) {
				u.by.known = w.state
			}
			u.by.ledger.end(false)
		}
	}
	w.updates = later
	var waiting []*simRequest
	for _, q := range w.requests {
		switch n := w.rng.IntN(8); {
		case n == 0: // lost
		case n < 3:
			waiting = append(waiting, q)
		default:
			w.answer(q)
		}
	}
	w.requests = waiting
}

// commit is what ZooKeeper does with a write of the State.
func (w *promiseWorld) commit(u *simUpdate) bool {
	if u.sess.over || !slices.Contains(w.candidates, u.sess) || u.version != w.state.Version || !u.by.up && w.rng.IntN(2) == 0 {
		return false
	}
	for id, version := range u.proof {
		now, registered := w.registry[id]
		if !registered {
			now = -1
		}
		if now != version && w.broken != unproven {
			w.note("%s is refuted", u.by.id)
			return false
		}
	}
	if u.proof != nil {
		w.taken++
	}
	next := w.state.State.Clone()
	next.Electors = u.electors
	w.state = Snapshot{State: next, Version: u.version + 1}
	var ids []string
	for _, e := range u.electors {
		ids = append(ids, e.ID)
	}
	w.note("version %d is by %s; electors %v", w.state.Version, u.by.id, ids)
	return true
}

// answer is a request that has arrived.
func (w *promiseWorld) answer(q *simRequest) {
	x := w.find(q.to)
	if x == nil || q.by.deaf[q.to] || x.deaf[q.by.id] {
		return
	}
	known := func() Snapshot {
		is := x.known
		if w.broken == anyVersion && is.State != nil {
			is.Version = min(is.Version, q.r.Version)
			is.State = is.State.Clone()
			is.State.Electors = []Elector{x.ledger.self}
		}
		if w.broken == newcomerAnswers && is.State == nil {
			is = q.by.known
		}
		return is
	}
	now := w.clock(x)
	l := x.ledger
	if w.broken == newcomerAnswers && l.contact.IsZero() {
		l.contact = now.Add(-l.fresh)
	}
	if w.broken == tooLong {
		l.contact = now.Add(-l.fresh)
	}
	if l.promise(now, q.r, known) != nil {
		return
	}
	if q.by.up {
		q.by.promises.take(q.r.Version, q.to, q.sent, q.r.Duration)
		if q.by.known.Version == q.r.Version {
			w.conclude(q.by)
		}
	}
}

// check says what is wrong.
func (w *promiseWorld) check() string {
	for _, m := range w.processes {
		if !m.up || m.failsafe == nil {
			continue
		}
		if !m.failsafe.holds(w.clock(m)) || m.known.Version != m.failsafe.version {
			m.failsafe = nil
			continue
		}
		if m.failsafe.version != w.state.Version {
			return fmt.Sprintf("%s writes under version %d, and the State has version %d", m.id, m.failsafe.version, w.state.Version)
		}
		for _, y := range w.processes {
			// Who would take over does no harm before it has replaced the State, which is refused if an elector is back.
			if r := w.right(y, w.state); w.leads(y) && r != noRight && r != asSuccessor {
				return fmt.Sprintf("%s writes under version %d, and %s leads", m.id, m.failsafe.version, y.id)
			}
		}
	}
	return ""
}
