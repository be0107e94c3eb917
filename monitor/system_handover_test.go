package monitor

import (
	"slices"
	"time"
)

// simHandover is a master's own FAILOVER. It stops all writes until the target has everything, becomes a replica of the
// target, and asks it to take over. The time it is given ends the first part only: after it, the master waits for the
// target for as long as it takes, unless it is told to abort.
type simHandover struct {
	target    string
	inProcess bool
	waiting   []func() // writes of clients
}

// failoverTo is FAILOVER TO target TIMEOUT limit.
func (s *simServer) failoverTo(target string, limit time.Duration) (refusal error) {
	switch {
	case s.plan.classic:
		return errNoFailover // it knows no such command
	case s.handover != nil, s.role == roleReplica:
		return nil // looking at the roles tells the rest
	case s.feedOf(target) == nil:
		return errNoFailover
	}
	h := &simHandover{target: target}
	s.handover = h
	s.tell("%s stops all writes until %s has everything", s, target)
	s.after(s.proc, limit, func() {
		if s.handover == h && !h.inProcess {
			s.tell("%s gives its FAILOVER up", s)
			s.endHandover()
		}
	})
	return nil
}

func (s *simServer) feedOf(addr string) *simFeed {
	if i := slices.IndexFunc(s.feeds, func(f *simFeed) bool { return f.replica.addr == addr }); i >= 0 {
		return s.feeds[i]
	}
	return nil
}

// handOver begins the second part when the target has acknowledged everything.
func (s *simServer) handOver() {
	h := s.handover
	if h == nil || h.inProcess || s.role != roleMaster {
		return
	}
	if f := s.feedOf(h.target); f == nil || f.acked < s.offset() {
		return
	}
	h.inProcess = true
	s.role, s.follows = roleReplica, h.target
	s.dropLinks()
	s.tell("%s asks %s to take over, at offset %d", s, h.target, s.offset())
	s.psync()
}

// endHandover lets the clients go on that were stopped. They find a master, or a replica.
func (s *simServer) endHandover() {
	if h := s.handover; h != nil {
		s.handover = nil
		for _, write := range h.waiting {
			write()
		}
	}
}

// abortFailover is FAILOVER ABORT.
func (s *simServer) abortFailover() {
	h := s.handover
	if h == nil {
		return
	}
	s.tell("%s is told to end its FAILOVER", s)
	if h.inProcess {
		s.promote()
	}
	s.endHandover()
}

// handoverState is master_failover_state.
func (s *simServer) handoverState() string {
	switch {
	case s.plan.classic:
		return ""
	case s.handover == nil:
		return "no-failover"
	case s.handover.inProcess:
		return "failover-in-progress"
	}
	return "waiting-for-sync"
}

// whenWritable runs a write now, or when a FAILOVER is over.
func (s *simServer) whenWritable(w *simWire, write func()) {
	if s.handover == nil {
		write()
		return
	}
	s.handover.waiting = append(s.handover.waiting, func() {
		if w.open(s.proc) {
			write()
		}
	})
}
