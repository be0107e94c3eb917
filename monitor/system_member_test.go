package monitor

import (
	"errors"
	"time"

	"github.com/understudy/understudy/internal/lease"
	"github.com/understudy/understudy/internal/testclock"
	"github.com/understudy/understudy/topology"
)

// simMember is one life of an Understudy process: its session with the store, its lease, the clients' way through it
// (simFlow), and what it knows of the nodes and does while it leads (simMind).
type simMember struct {
	*simSystem
	id   string
	proc *simProcess

	sess   *simSess // nil while it has none
	wire   *simWire // to the store
	agreed topology.Snapshot
	lease  *lease.Lease  // nil while it has none
	basis  lease.Session // what leases rest on
	entry  topology.Member

	joining, beating, beatAgain bool
	elected                     bool
	requests                    []topology.Request

	flow simFlow
	mind simMind
}

func (y *simSystem) newMember(id string, party int) *simMember {
	m := &simMember{simSystem: y, id: id, proc: y.newProcess(id, party)}
	m.entry = topology.Member{ID: id, Addr: id + ":6380", Lease: m.terms().Lease}
	m.flow.begin(m)
	m.mind.begin(m)
	m.after(m.proc, y.between(0, 20*time.Millisecond), m.tick)
	return m
}

func (m *simMember) String() string { return m.id }

func (m *simMember) clock() time.Time { return m.simSystem.clock(m.proc) }

// Now and Clock implement topology.Clock: what happens in one moment is a turn.
func (m *simMember) Now() time.Time   { return m.clock() }
func (m *simMember) Clock() time.Time { return m.clock() }

// call has the store carry out a request, and then one of the others: answered with what came of it, or unknown when no
// answer came in time. What is still on its way then, on the old connection, may yet be carried out.
func (m *simMember) call(carryOut func(w *simWire) error, answered func(error), unknown func()) {
	if m.wire == nil || !m.wire.open(m.proc) {
		m.connect()
	}
	w, done := m.wire, false
	m.send(m.proc, m.store.proc, w, func() {
		if m.store.away || m.store.hangsUp(w) {
			return
		}
		err := carryOut(w)
		m.send(m.store.proc, m.proc, w, func() {
			if !done {
				done = true
				answered(err)
			}
		})
	})
	m.after(m.proc, simCallLimit, func() {
		if !done {
			done = true
			w.close(m.proc)
			unknown()
		}
	})
}

// connect opens another connection to the store. What is asked on it comes behind the greeting, which has the session, if there is
// one, go on over it.
func (m *simMember) connect() {
	w, s, began := newWire(m.proc, m.store.proc, func() {}), m.sess, m.clock()
	if m.wire = w; s == nil {
		return
	}
	m.send(m.proc, m.store.proc, w, func() {
		if m.store.away || m.store.greet(s, w) != nil {
			return
		}
		m.send(m.store.proc, m.proc, w, func() {
			if m.sess == s {
				m.basis.Began = began
				m.lease = m.lease.EndingBy(m.basis.Terms.Limit(began))
			}
		})
	})
}

// terms are those of any of its connections.
func (m *simMember) terms() lease.Terms {
	e := m.plan.ensemble
	t := lease.NewTerms(e.told, e.session)
	if m.rule == simTickBelieved {
		t.Telling = e.told.Tick / 2
		if t.Lease = t.Most(); e.told.Lease == 0 {
			t.Lease = min(e.session*6/10, t.Most())
		}
	}
	return t
}

// tick renews the lease, or joins.
func (m *simMember) tick() {
	m.after(m.proc, m.plan.ensemble.told.Heartbeat, m.tick)
	m.beat()
}

func (m *simMember) beat() {
	switch {
	case m.sess == nil:
		m.join()
	case m.beating:
		m.beatAgain = true
	default:
		m.heartbeat()
	}
}

// join begins a session. It knows nothing but the State that there is.
func (m *simMember) join() {
	if m.joining {
		return
	}
	m.joining = true
	began := m.clock()
	var sess *simSess
	var found topology.Snapshot
	m.call(func(w *simWire) (err error) {
		sess, err = m.store.join(m, w)
		found = m.store.lagging()
		return err
	}, func(err error) {
		if m.joining = false; err == nil {
			m.sess, m.basis = sess, lease.Session{Terms: m.terms(), Began: began}
			m.learn(found)
			m.beat()
		}
	}, func() { m.joining = false })
}

// lose is the end of the session: with it goes all authority.
func (m *simMember) lose() {
	m.tell("%s learns that its session is over", m)
	m.sess, m.lease, m.beating = nil, nil, false
	m.elected = m.elected && m.rule == simLeadsInAnotherSession
	m.mind.turnSoon()
}

// heartbeat is the quorum write that renews the lease.
func (m *simMember) heartbeat() {
	m.beating, m.beatAgain = true, false
	s, known, before, entry, sent := m.sess, m.agreed, m.basis.Terms, m.entry, m.clock()
	entry.Applied, entry.Version = known.State.Epoch, known.Version
	var lowest bool
	var requests []topology.Request
	m.call(func(w *simWire) error {
		lowest, requests = m.store.leads(s), m.store.requests // which it looks at now and then
		return m.store.heartbeat(s, w, known.Version, entry)
	}, func(err error) {
		if m.sess != s {
			return
		}
		m.beating = false
		switch {
		case errors.Is(err, errSimExpired):
			m.lose()
		case errors.Is(err, topology.ErrStale):
			m.refresh(m.beat)
		case err == nil:
			m.renew(known.State.Epoch, sent, before)
			m.elect(lowest)
			m.requests = requests
			if m.beatAgain {
				m.heartbeat()
			}
		}
	}, func() { m.beating = false })
}

// renew puts the lease in place that a heartbeat has confirmed.
func (m *simMember) renew(epoch uint64, sent time.Time, before lease.Terms) {
	until, ok := m.basis.Confirm(sent, before)
	if ok {
		m.lease = m.lease.Renewed(&lease.Lease{Epoch: epoch, Sent: sent, Until: until})
	}
	m.flow.proceed()
}

// elect takes in that the store names this member's candidate the lowest, which it stays as long as it exists.
func (m *simMember) elect(lowest bool) {
	if lowest && !m.elected {
		m.elected = true
		m.tell("%s leads", m)
		m.mind.turnSoon()
	}
}

// refresh reads the State.
func (m *simMember) refresh(then func()) {
	var found topology.Snapshot
	m.call(func(*simWire) error { found = m.store.agreed; return nil }, func(error) {
		m.learn(found)
		then()
	}, func() {})
}

// pushed is a watch that fired.
func (m *simMember) pushed(s *simSess, found topology.Snapshot, requests []topology.Request, lowest, members bool) {
	if m.sess != s {
		return
	}
	m.requests = requests
	m.learn(found)
	m.elect(lowest)
	m.mind.membersChanged = m.mind.membersChanged || members
	m.mind.turnSoon()
}

// learn takes in a version of the State. A server that lags may give an older one than is known.
func (m *simMember) learn(found topology.Snapshot) {
	if found.Version <= m.agreed.Version {
		return
	}
	if was := m.agreed.State; was != nil && found.State.Epoch < was.Epoch {
		m.violate(simStateInSteps, "%s has applied epoch %d and then epoch %d", m, was.Epoch, found.State.Epoch)
	}
	m.agreed = found
	m.after(m.proc, m.between(0, time.Millisecond), m.flow.refresh)
	if l := m.lease; m.sess != nil && (l == nil || l.Epoch != found.State.Epoch || found.State.Durable != nil && !found.State.Durable.Settled() || found.State.Rehearsal != nil) {
		m.beat()
	}
	m.mind.turnSoon()
}

// Grant is topology.ZooKeeper.Grant: for the epoch of a stable State, as long as the lease lasts by both clocks.
func (m *simMember) Grant() topology.Grant {
	s := m.agreed.State
	switch {
	case s == nil || s.Phase != topology.Stable:
		return topology.Grant{}
	case m.lease != nil && m.lease.Epoch == s.Epoch && m.leaseHolds():
		g := topology.Grant{Epoch: s.Epoch, Until: m.lease.Until}
		if m.rule == simOneClock {
			g.Until = testclock.Suspended(g.Until, time.Hour)
		}
		return g
	case m.rule == simNoLease:
		return topology.Grant{Epoch: s.Epoch}
	}
	return topology.Grant{}
}

// leaseHolds reports whether the lease, whatever its epoch, lasts by the monotonic clock and by the wall clock.
func (m *simMember) leaseHolds() bool {
	now := m.clock()
	return m.lease.Holds(now) || m.rule == simOneClock && m.lease != nil && now.Before(m.lease.Until)
}

// Leading is topology.ZooKeeper.Leading.
func (m *simMember) Leading() bool {
	return m.sess != nil && m.elected && (m.leaseHolds() || m.rule == simLeadsWithoutLease)
}
