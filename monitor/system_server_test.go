package monitor

import (
	"fmt"
	"slices"
	"time"
)

const (
	simFirstOffset = 1000
	simReplTimeout = time.Second // after which both ends of a link that carries nothing give it up
)

// simServer is a redis-server: its processes, one after the other, and what is on its disk between two of them.
type simServer struct {
	*simSystem
	addr string
	proc *simProcess // the one that runs, or ran last

	// Of the process:
	runs     int
	run      string
	role     role
	follows  string // the address of its master
	loading  bool
	replID   string
	replID2  string
	secondAt int64
	start    int64 // the offset before the first write of log
	log      []int // the numbers of the writes
	clients  []*simWire
	commands simCommands  // which leader's it has carried out
	handover *simHandover // its own FAILOVER; nil if there is none

	// Replication:
	feeds    []*simFeed // of its replicas, as a master
	link     *simFeed   // to its master, as a replica; nil while there is none
	syncing  bool
	linkLost time.Duration
	linked   bool // it had a link in this run

	// What CONFIG REWRITE has saved:
	savedRole    role
	savedFollows string
}

func (y *simSystem) newServer(addr string, party int, r role, master string) *simServer {
	s := &simServer{simSystem: y, addr: addr, role: r, follows: master, replID: "H1", start: simFirstOffset, savedRole: r, savedFollows: master}
	s.boot(party)
	return s
}

// boot begins a process.
func (s *simServer) boot(party int) {
	s.runs++
	s.run = fmt.Sprintf("%s/%d", s.addr, s.runs)
	s.proc = s.newProcess(s.addr, party)
	s.clients, s.feeds, s.handover, s.link, s.linked, s.loading = nil, nil, nil, nil, false, false
}

func (s *simServer) String() string { return s.addr }

func (s *simServer) offset() int64 { return s.start + int64(len(s.log)) }

// newHistory begins one of its own.
func (s *simServer) newHistory() string {
	return fmt.Sprintf("H-%s-%d-%d", s.addr, s.runs, s.count)
}

// info is what it says of itself.
func (s *simServer) info() info {
	n := info{RunID: s.run, Role: s.role, ReplID: s.replID, ReplID2: s.replID2, SecondAt: s.secondAt, Offset: s.offset(), Loading: s.loading, Priority: 100}
	n.Failover = s.handoverState()
	if s.role == roleReplica {
		n.Master, n.LinkUp, n.Syncing = s.follows, s.link != nil && !s.syncing, s.link != nil && s.syncing && s.link.full
		if n.LinkDown = never; s.linked {
			n.LinkDown = (s.now - s.linkLost).Truncate(time.Second)
		}
	}
	return n
}

// crash ends the process, and with it what was not saved.
func (s *simServer) crash() {
	if !s.proc.alive {
		return
	}
	s.tell("%s dies", s)
	s.kill(s.proc)
	s.feeds, s.link = nil, nil
	for _, m := range s.simSystem.members {
		m.noticeDeath(s)
	}
}

// simRestart is what a server finds on its disk.
type simRestart int

const (
	withData    simRestart = iota // everything
	withoutTail                   // what it had saved a while ago
	withoutData
)

// restart starts it again.
func (s *simServer) restart(how simRestart) {
	if s.proc.alive {
		return
	}
	s.simSystem.ledger.restarts++
	lost := len(s.log)
	s.boot(s.proc.party)
	s.role, s.follows = s.savedRole, s.savedFollows
	switch how {
	case withoutTail:
		s.log = slices.Clip(s.log[:lost-s.rng.IntN(min(lost, 8)+1)])
	case withoutData:
		s.log, s.start, s.replID, s.replID2 = nil, 0, s.newHistory(), ""
	}
	lost -= len(s.log)
	s.simSystem.ledger.wiped = s.simSystem.ledger.wiped || lost > 0 || how != withData
	if s.role == roleMaster && how != withoutData {
		s.replID2, s.secondAt, s.replID = s.replID, s.offset()+1, s.newHistory()
	}
	s.tell("%s is started again as a %s, and has lost %d writes (run %s)", s, s.role, lost, s.run)
	s.loading = true
	s.after(s.proc, s.between(time.Millisecond, 100*time.Millisecond), func() {
		s.loading = false
		s.reconnect()
	})
}

// connect accepts a connection from a member.
func (s *simServer) connect(w *simWire) { s.clients = append(s.clients, w) }

// write carries out a write that came over a connection.
func (s *simServer) write(id int) (refusal string) {
	switch {
	case s.loading:
		return "LOADING"
	case s.role != roleMaster:
		return "READONLY"
	}
	if slices.Contains(s.log, id) {
		s.violate(simOnce, "write %d is applied twice on %s", id, s)
	}
	s.log = append(s.log, id)
	s.pump()
	return ""
}

// promote is REPLICAOF NO ONE.
func (s *simServer) promote() {
	if s.role == roleMaster || s.loading {
		return
	}
	s.role, s.follows = roleMaster, ""
	s.replID2, s.secondAt, s.replID = s.replID, s.offset()+1, s.newHistory()
	s.dropLinks()
	s.tell("%s is a master now, at offset %d", s, s.offset())
}

// replicate is REPLICAOF, with cut followed by CLIENT KILL TYPE normal.
func (s *simServer) replicate(master string, cut bool, by *simWire) {
	if s.loading {
		return
	}
	if s.role != roleReplica || s.follows != master {
		s.role, s.follows = roleReplica, master
		s.dropLinks()
		s.tell("%s is a replica of %s now, at offset %d", s, master, s.offset())
		s.endHandover()
		s.reconnect()
	}
	if cut {
		s.killClients(func(w *simWire) bool { return w != by })
	}
}

// killClients ends connections at this end. What they carry and was not read is not read any more.
func (s *simServer) killClients(which func(*simWire) bool) {
	s.clients = slices.DeleteFunc(s.clients, func(w *simWire) bool {
		if !which(w) {
			return false
		}
		if w.close(s.proc); !s.isCut(s.proc, w.ends[0]) {
			s.tellLost(w)
		}
		return true
	})
}

// rewrite is CONFIG REWRITE.
func (s *simServer) rewrite() { s.savedRole, s.savedFollows = s.role, s.follows }

// simCommands is how far the commands of leaders have come at a server.
type simCommands struct {
	term  int // the number of the leader's candidate, which grows with every leader
	epoch uint64
}

// commanded checks that no command comes later than one of a later leader.
func (s *simServer) commanded(term int, epoch uint64, what string) {
	if c := s.commands; term < c.term || term == c.term && epoch < c.epoch {
		s.violate(simLeadersInOrder, "%s carries out %q of leader %d in epoch %d after a command of leader %d in epoch %d", s, what, term, epoch, c.term, c.epoch)
	}
	s.commands = simCommands{term, epoch}
}
