package monitor

import (
	"errors"
	"slices"
	"time"

	"github.com/understudy/understudy/internal/lease"
	"github.com/understudy/understudy/topology"
)

const (
	simLook      = 50 * time.Millisecond  // between two looks of the store's leader at the sessions
	simCallLimit = 400 * time.Millisecond // how long a member waits for the store's answer
)

// simEnsemble is what a seed makes of the store's servers, and what members are told of them.
type simEnsemble struct {
	session time.Duration // the timeout that members ask for and get
	tick    time.Duration // servers tell their leader of touches every half of it
	told    lease.Settings
}

// arrangeEnsemble chooses times as they may be: the ticks are any that the leases have to allow for, told or not.
func (y *simSystem) arrangeEnsemble() {
	e := &y.plan.ensemble
	e.session = y.between(1500*time.Millisecond, 2300*time.Millisecond)
	e.told.Heartbeat = e.session / time.Duration(8+y.rng.IntN(5))
	e.told.Tick = []time.Duration{100 * time.Millisecond, 100 * time.Millisecond, e.session / 2, e.session * 9 / 10}[y.rng.IntN(4)]
	if e.tick = max(e.told.Tick, e.session/2); y.chance(30) {
		e.tick = y.between(100*time.Millisecond, e.tick)
	}
	if y.chance(60) {
		e.told.Lease = lease.NewTerms(e.told, e.session).Most()
	}
}

// simStore is the store in which members agree, as one linearizable thing: a request takes effect in the moment in which
// it is carried out, in the order of those moments. Sessions, ephemerals, candidates, versions and watches are those of
// ZooKeeper as topology uses them.
type simStore struct {
	*simSystem
	proc       *simProcess
	away       bool // no majority: nothing is carried out, and no session ends
	agreed     topology.Snapshot
	history    []topology.Snapshot
	sessions   []*simSess // those that live
	candidates []*simSess // in the order in which they stood
	requests   []topology.Request
	terms      int // how often somebody stood for election
}

// simSess is a session with the store.
type simSess struct {
	owner     *simMember
	number    int // its candidate's
	alive     bool
	wire      *simWire
	touched   time.Duration   // when it was last heard, as far as the store's leader was told
	heard     []time.Duration // when its server heard it, and has not told
	gone      bool            // its server crashed before it told of the last
	patience  time.Duration   // how long it may be silent
	member    topology.Member
	candidate bool
}

var (
	errSimExpired = errors.New("the session has expired")
	errSimTaken   = errors.New("another session is registered under this id")
)

func (y *simSystem) newStore(first topology.Snapshot) *simStore {
	st := &simStore{simSystem: y, proc: y.newProcess("store", 0), agreed: first}
	st.history = append(st.history, first)
	y.after(st.proc, simLook, st.look)
	return st
}

// look ends the sessions that were silent for too long, as far as the store's leader was told.
func (st *simStore) look() {
	st.after(st.proc, simLook, st.look)
	if st.away {
		return
	}
	for _, s := range slices.Clone(st.sessions) {
		st.hear(s)
		if st.now-s.touched > s.patience {
			st.tell("the store ends the session of %s", s.owner)
			st.end(s)
		}
	}
}

// end ends a session and takes its ephemerals away.
func (st *simStore) end(s *simSess) {
	s.alive, s.candidate = false, false
	st.sessions = slices.DeleteFunc(st.sessions, func(o *simSess) bool { return o == s })
	st.candidates = slices.DeleteFunc(st.candidates, func(o *simSess) bool { return o == s })
	st.notify()
}

// hear has the leader be told what a session's server has heard, half a tick later, unless the server crashes before. One does so
// only where the session's owner cannot go to another at once, since nobody else would notice.
func (st *simStore) hear(s *simSess) {
	if s.gone {
		return
	}
	for len(s.heard) > 0 && st.now-s.heard[0] >= st.plan.ensemble.tick/2 {
		s.touched, s.heard = s.heard[0], s.heard[1:]
	}
	p := s.owner.proc
	reaches := p.alive && !p.paused && !st.isCut(p, st.proc) && s.wire.open(st.proc)
	if reaches || len(s.heard) == 0 {
		return
	}
	if st.chance(70) {
		st.tell("the server of the session of %s crashes", s.owner)
		s.gone = true
	} else {
		s.touched = s.heard[len(s.heard)-1]
	}
	s.heard = nil
}

// touch takes note that a session was heard by its server.
func (st *simStore) touch(s *simSess, w *simWire) error {
	if !s.alive {
		return errSimExpired
	}
	s.wire, s.heard = w, append(s.heard, st.now)
	return nil
}

// greet has a session go on over another connection, to any server. The leader itself is asked whether it lives. ZooKeeper
// rounds the end of sessions up to its ticks.
func (st *simStore) greet(s *simSess, w *simWire) error {
	if err := st.touch(s, w); err != nil {
		return err
	}
	e := st.plan.ensemble
	st.told(s)
	if s.patience = e.session; st.chance(30) {
		s.patience = st.between(e.session, e.session*13/10)
	}
	s.patience = time.Duration(float64(s.patience) / st.proc.rate)
	return nil
}

// told has the leader itself know of a session now.
func (st *simStore) told(s *simSess) {
	s.touched, s.heard, s.gone = st.now, []time.Duration{st.now}, false
}

// hangsUp reports whether a connection is one to a server that has crashed, and has its other end notice.
func (st *simStore) hangsUp(w *simWire) bool {
	gone := slices.ContainsFunc(st.sessions, func(s *simSess) bool { return s.gone && s.wire == w })
	if gone && !w.broken {
		w.broken = true
		st.tellLost(w)
	}
	return gone
}

// join begins a session of a member. Where another process of the same id has one still, it has to wait.
func (st *simStore) join(m *simMember, w *simWire) (*simSess, error) {
	if slices.ContainsFunc(st.sessions, func(s *simSess) bool { return s.member.ID == m.id }) {
		return nil, errSimTaken
	}
	st.terms++
	s := &simSess{owner: m, number: st.terms, alive: true, candidate: true,
		member: topology.Member{ID: m.id, Addr: m.entry.Addr, Lease: m.entry.Lease}}
	if err := st.greet(s, w); err != nil {
		return nil, err
	}
	st.sessions = append(st.sessions, s)
	st.candidates = append(st.candidates, s)
	slices.SortFunc(st.sessions, func(a, b *simSess) int { return int(a.member.ID[0]) - int(b.member.ID[0]) })
	st.tell("%s joins", m)
	st.notify()
	return s, nil
}

// heartbeat checks in one step that a session lives and that the State has a version, and writes what others read.
func (st *simStore) heartbeat(s *simSess, w *simWire, version int64, member topology.Member) error {
	if err := st.touch(s, w); err != nil {
		return err
	}
	if version != st.agreed.Version && st.rule != simLeaseOfAnyVersion {
		return topology.ErrStale
	}
	if news := member.Fenced != s.member.Fenced || !slices.Equal(member.View, s.member.View) || member.Version != s.member.Version; news {
		s.member = member
		if len(st.candidates) > 0 {
			st.push(st.candidates[0], true)
		}
	}
	return nil
}

func (st *simStore) leads(s *simSess) bool { return len(st.candidates) > 0 && st.candidates[0] == s }

// update replaces the State, if it has that version still and the session's candidate exists.
func (st *simStore) update(s *simSess, w *simWire, version int64, next topology.Snapshot) error {
	if st.rule != simUnversionedWrite {
		if err := st.touch(s, w); err != nil {
			return topology.ErrNotLeader
		}
		if !s.candidate {
			return topology.ErrNotLeader
		}
		if version != st.agreed.Version {
			return topology.ErrStale
		}
	}
	was := st.agreed
	next.Version = was.Version + 1
	st.agreed = next
	st.history = append(st.history, next)
	st.tell("the State of %s: version %d, %s", s.owner, next.Version, describe(next.State))
	st.checkState(s.owner, was.State, next.State)
	st.notify()
	return nil
}

// lagging is the State as one of the store's servers has it, which may lag behind the others.
func (st *simStore) lagging() topology.Snapshot {
	behind := 0
	if st.chance(20) {
		behind = st.rng.IntN(min(4, len(st.history)))
	}
	return st.history[len(st.history)-1-behind]
}

// members lists who has a session.
func (st *simStore) members() []topology.Member {
	list := make([]topology.Member, 0, len(st.sessions))
	for _, s := range st.sessions {
		list = append(list, s.member)
	}
	return list
}

// notify tells all sessions that there is something new.
func (st *simStore) notify() {
	for _, s := range st.sessions {
		st.push(s, false)
	}
}

// push is a watch that fires, and what its owner reads then.
func (st *simStore) push(s *simSess, members bool) {
	if s.wire == nil || st.away {
		return
	}
	agreed, requests, lowest := st.agreed, st.requests, st.leads(s)
	st.send(st.proc, s.owner.proc, s.wire, func() { s.owner.pushed(s, agreed, requests, lowest, members) })
}

// ask leaves a request with the leader.
func (st *simStore) ask(r topology.Request) {
	st.requests = append(slices.Clone(st.requests), r)
	st.notify()
}

// answer answers a request in place.
func (st *simStore) answer(s *simSess, id string, answer topology.Answer, text string) {
	if !s.alive || !s.candidate {
		return
	}
	st.requests = slices.Clone(st.requests)
	for i := range st.requests {
		if r := &st.requests[i]; r.ID == id && r.Answer == "" {
			r.Answer, r.Text = answer, text
		}
	}
	st.notify()
}

// lose has the store lose its majority for a while. When it is back, all sessions that live are given their time anew.
func (st *simStore) lose(d time.Duration) {
	if st.away {
		return
	}
	st.away = true
	st.tell("the store has no majority for %v", d.Round(time.Millisecond))
	st.at(st.now+d, st.regain)
}

func (st *simStore) regain() {
	if !st.away {
		return
	}
	st.away = false
	st.tell("the store has a majority again")
	for _, s := range st.sessions {
		st.told(s)
	}
	st.notify()
}
