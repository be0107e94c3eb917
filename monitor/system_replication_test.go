package monitor

import (
	"slices"
	"time"
)

// simFeed is a link between a master and one of its replicas.
type simFeed struct {
	master, replica *simServer
	wire            *simWire
	run             string // the replica's process
	full            bool   // the replica needs all of the data
	sent            int    // how many writes of the master's log were sent
	acked           int64
}

// pump sends the replicas what they have not been sent.
func (s *simServer) pump() {
	for _, f := range s.feeds {
		news, upTo := s.log[f.sent:], s.offset()
		if len(news) == 0 {
			continue
		}
		f.sent = len(s.log)
		s.send(s.proc, f.replica.proc, f.wire, func() { f.replica.receive(f, news, upTo) })
	}
}

// receive takes in what the master has sent.
func (s *simServer) receive(f *simFeed, news []int, upTo int64) {
	if s.link != f || s.syncing {
		return
	}
	s.log = append(s.log, news...)
	if s.offset() != upTo {
		panic("the model of replication is broken")
	}
	s.pump()
	s.acknowledge()
}

// acknowledge tells the master how far this replica is. Only durable writes wait for that.
func (s *simServer) acknowledge() {
	if s.plan.acks > 0 {
		s.acknowledgeNow()
	}
}

// acknowledgeNow is what a replica does when it is asked to (REPLCONF GETACK).
func (s *simServer) acknowledgeNow() {
	f := s.link
	if f == nil || s.syncing {
		return
	}
	offset := s.offset()
	s.send(s.proc, f.master.proc, f.wire, func() {
		f.acked = max(f.acked, offset)
		f.master.handOver()
	})
}

// reconnect has a replica look for its master in a moment.
func (s *simServer) reconnect() {
	if s.role != roleReplica || s.link != nil {
		return
	}
	proc := s.proc
	s.after(proc, s.between(5*time.Millisecond, 60*time.Millisecond), func() { s.psync() })
}

// psync asks the master to go on from where this replica is.
func (s *simServer) psync() {
	if s.role != roleReplica || s.link != nil || s.loading {
		return
	}
	m := s.server(s.follows)
	if m == nil || !m.proc.alive || s.isCut(s.proc, m.proc) || m == s {
		s.after(s.proc, 100*time.Millisecond, s.psync)
		return
	}
	f := &simFeed{master: m, replica: s, run: s.run}
	f.wire = newWire(s.proc, m.proc, func() { s.unlinked(f) })
	f.wire.lost[1] = func() { m.drop(f) }
	replID, offset, takeOver := s.replID, s.offset(), s.handover != nil && s.handover.target == m.addr
	s.link, s.syncing = f, true
	s.send(s.proc, m.proc, f.wire, func() {
		if takeOver && m.role == roleReplica {
			m.promote()
		}
		m.serve(f, replID, offset)
	})
	s.after(s.proc, simReplTimeout, func() { s.expectSync(f) })
}

// expectSync gives up on a master that does not begin to serve.
func (s *simServer) expectSync(f *simFeed) {
	if s.link == f && s.syncing && !slices.Contains(f.master.feeds, f) {
		f.wire.close(s.proc)
		s.unlinked(f)
	}
}

// serve answers a replica: it goes on where the replica is, if that is a part of this server's history, and sends all of
// its data otherwise.
func (m *simServer) serve(f *simFeed, replID string, offset int64) {
	switch {
	case m.loading, m.role == roleReplica && (m.link == nil || m.syncing):
		m.send(m.proc, f.replica.proc, f.wire, func() { f.wire.close(f.replica.proc); f.replica.unlinked(f) })
		return
	case (replID == m.replID && offset <= m.offset() || replID == m.replID2 && offset < m.secondAt) && offset >= m.start:
		m.feeds = append(m.feeds, f)
		f.sent = int(offset - m.start)
		history := m.replID
		m.send(m.proc, f.replica.proc, f.wire, func() { f.replica.goOn(f, history) })
		m.pump()
		return
	}
	f.full = true
	history := m.replID
	m.after(m.proc, m.between(10*time.Millisecond, 120*time.Millisecond), func() {
		if m.replID != history || !f.wire.open(m.proc) {
			f.wire.close(m.proc)
			m.tellLost(f.wire)
			return
		}
		start, log := m.start, slices.Clip(m.log)
		m.feeds, f.sent = append(m.feeds, f), len(m.log)
		m.send(m.proc, f.replica.proc, f.wire, func() { f.replica.load(f, history, start, log) })
	})
}

// goOn begins an incremental link.
func (s *simServer) goOn(f *simFeed, history string) {
	if s.link != f {
		return
	}
	if s.replID != history {
		s.replID2, s.secondAt = s.replID, s.offset()+1
		s.replID = history
	}
	s.syncing, s.linked = false, true
	s.endHandover()
	s.tell("%s goes on as a replica of %s at offset %d", s, f.master, s.offset())
	s.acknowledge()
}

// load replaces all data by the master's.
func (s *simServer) load(f *simFeed, history string, start int64, log []int) {
	if s.link != f {
		return
	}
	s.dropFeeds()
	s.replID, s.replID2, s.start, s.log = history, "", start, log
	s.syncing, s.linked = false, true
	s.endHandover()
	s.tell("%s has the data of %s, at offset %d", s, f.master, s.offset())
	s.acknowledge()
}

// unlinked is the end of the link to the master.
func (s *simServer) unlinked(f *simFeed) {
	if s.link != f {
		return
	}
	s.link, s.syncing, s.linkLost = nil, false, s.now
	s.reconnect()
}

// drop forgets a replica.
func (m *simServer) drop(f *simFeed) {
	m.feeds = slices.DeleteFunc(m.feeds, func(o *simFeed) bool { return o == f })
}

// dropFeeds ends the links to all replicas, which ask anew.
func (m *simServer) dropFeeds() {
	for _, f := range m.feeds {
		f.wire.close(m.proc)
		if !m.isCut(m.proc, f.replica.proc) {
			m.tellLost(f.wire)
		}
	}
	m.feeds = nil
}

// dropLinks ends all replication, as a change of role does.
func (s *simServer) dropLinks() {
	s.dropFeeds()
	if f := s.link; f != nil {
		f.wire.close(s.proc)
		s.link, s.syncing, s.linkLost = nil, false, s.now
		m := f.master
		m.after(m.proc, s.latency(), func() { m.drop(f) })
	}
}

// silence ends, a while after the network between two servers was cut, what links they have.
func (y *simSystem) silence(a, b int) {
	y.at(y.now+simReplTimeout, func() {
		if !y.net.cut[a][b] {
			return
		}
		for _, w := range y.wiresBetween(a, b) {
			w.broken = true
			y.tellLost(w)
		}
	})
}
