package monitor

import (
	"slices"
	"time"

	"github.com/understudy/understudy/topology"
)

const (
	simDrainTimeout = 250 * time.Millisecond
	simDoubt        = 50 * time.Millisecond
)

// simFlow is the way of requests through one member: it holds them while there is no grant, sends them on a lane to the
// master, and delivers replies, or says that the outcome is not known. It follows proxy/upstream's Pool, whose names it
// has, and proxy/session.
type simFlow struct {
	*simMember
	tenure  topology.Tenure // the real one; the loop that it stands for learns of a new State a moment later
	held    []*simRequest
	lane    *simLane
	doubted time.Duration // the master is not tried before
	fence   uint64
	claims  []*simClaim // replies that are withheld
	sampler simSampler
}

func (f *simFlow) begin(m *simMember) {
	f.simMember = m
	f.tenure = topology.NewTenure(simAuthority{f}, m)
	f.sampler.begin(f)
}

// simRequest is what an application asks.
type simRequest struct {
	by   *simApp
	id   int // the number that a write adds; 0: a read
	acks int // how many replicas must have it before it is answered

	// Of a read: the master's history when it was sent, and the newest offset in it that was acknowledged by then.
	history string
	sees    int64
}

// simLane is a connection to a master.
type simLane struct {
	wire   *simWire
	server *simServer
	run    string // of the process that State names
	epoch  uint64
	ready  bool
	flight []*simRequest
}

// simReply is a server's answer.
type simReply struct {
	refusal string
	run     string
	history string
	offset  int64
}

// submit takes a request from an application.
func (f *simFlow) submit(r *simRequest) {
	f.held = append(f.held, r)
	f.proceed()
}

// answerable reports whether a reply may be delivered as it is.
func (f *simFlow) answerable() bool { return f.rule == simNoCheckOfReplies || f.tenure.Answerable() }

// refresh applies the member's State if it is newer than the one applied.
func (f *simFlow) refresh() {
	next := f.agreed
	if next.State == nil || next.Version == f.tenure.Version {
		return
	}
	keeps := f.tenure.Keeps(next.State)
	f.tenure.State, f.tenure.Version = next.State, next.Version
	if !keeps && f.rule != simClaimsKept {
		f.forsake()
	}
	f.sampler.enroll(next)
	f.apply(next.State)
	f.honour()
}

// proceed sends what is held, as far as that is possible now.
func (f *simFlow) proceed() {
	f.refresh()
	s := f.tenure.State
	if len(f.held) == 0 || f.now < f.doubted || !f.tenure.Granted(f.entry.Lease/10) {
		return
	}
	if f.lane == nil {
		f.open(s)
		return
	}
	if !f.lane.ready {
		return
	}
	for _, r := range f.held {
		f.sendTo(f.lane, r)
	}
	f.held = nil
}

// open connects to the master of State and makes sure that it is the process that State names.
func (f *simFlow) open(s *topology.State) {
	server := f.server(s.Master.Addr)
	if !server.proc.alive {
		if !f.isCut(f.proc, server.proc) {
			f.suspect(server)
		}
		f.retry(20 * time.Millisecond)
		return
	}
	l := &simLane{server: server, run: s.Master.RunID, epoch: s.Epoch}
	l.wire = newWire(f.proc, server.proc, func() { f.end(l, true) })
	f.lane = l
	var run string
	f.send(f.proc, server.proc, l.wire, func() {
		server.connect(l.wire)
		run = server.run
		f.send(server.proc, f.proc, l.wire, func() {
			if run != l.run {
				f.end(l, true)
				return
			}
			l.ready = true
			f.proceed()
		})
	})
}

// retry looks again in a while.
func (f *simFlow) retry(d time.Duration) {
	f.doubted = f.now + d
	f.after(f.proc, d+1, f.proceed)
}

// sendTo sends one request.
func (f *simFlow) sendTo(l *simLane, r *simRequest) {
	f.checkSending(f.simMember, l)
	l.flight = append(l.flight, r)
	if r.id == 0 {
		r.history = l.server.replID
		r.sees = f.simSystem.ledger.newest[r.history]
	}
	server := l.server
	answer := func(refusal string) {
		reply := simReply{refusal: refusal, run: server.run, history: server.replID, offset: server.offset()}
		f.send(server.proc, f.proc, l.wire, func() { f.reply(l, r, reply) })
	}
	f.send(f.proc, server.proc, l.wire, func() {
		switch {
		case r.id > 0:
			server.whenWritable(l.wire, func() { answer(server.write(r.id)) })
		case server.role != roleMaster || server.loading:
			answer("READONLY")
		default:
			answer("")
		}
	})
}

// reply takes in a server's answer.
func (f *simFlow) reply(l *simLane, r *simRequest, reply simReply) {
	l.flight = slices.DeleteFunc(l.flight, func(o *simRequest) bool { return o == r })
	durable := r.acks > 0 && f.rule != simNoAcks
	switch {
	case reply.refusal != "":
		// Nothing was applied: it is sent again, when the State is another one.
		f.held = append([]*simRequest{r}, f.held...)
		f.suspect(l.server)
		f.retry(simDoubt)
	case !f.answerable() || durable && !f.tenure.Claimable():
		f.tell("%s does not know what has become of write %d: its grant is over", f, r.id)
		r.by.answered(r, false)
	case durable:
		f.claim(l, r, reply)
	default:
		f.checkAnswer(f.simMember, l, r, reply, nil)
		r.by.answered(r, true)
	}
	f.settled()
}

// end closes a lane. What was sent on it and not answered has an unknown outcome and is never sent again.
func (f *simFlow) end(l *simLane, lost bool) {
	l.wire.close(f.proc)
	if f.lane == l {
		f.lane = nil
	}
	flight := l.flight
	l.flight = nil
	for _, r := range flight {
		if r.id == 0 || f.rule == simSentAgain {
			f.held = append(f.held, r)
			continue
		}
		f.tell("%s does not know what has become of write %d: the connection is gone", f, r.id)
		r.by.answered(r, false)
	}
	if lost {
		f.suspect(l.server)
		f.retry(20 * time.Millisecond)
	}
	f.settled()
}

// suspect has the monitor look at a node.
func (f *simFlow) suspect(s *simServer) { f.mind.probeSoon(s) }

// apply takes in a new State.
func (f *simFlow) apply(s *topology.State) {
	if s.Phase != topology.Stable {
		f.raiseFence(s)
		return
	}
	f.tenure.Fencing = false
	if l := f.lane; l != nil && (l.server.addr != s.Master.Addr || l.run != s.Master.RunID) {
		f.end(l, false)
	}
	if f.lane != nil {
		f.lane.epoch = s.Epoch
	}
	f.proceed()
}

// raiseFence stops the flow to a master that is being deposed.
func (f *simFlow) raiseFence(s *topology.State) {
	if f.fence != s.Epoch {
		f.fence, f.tenure.Fencing = s.Epoch, true
		if !s.Failover.Planned {
			epoch := s.Epoch
			f.after(f.proc, simDrainTimeout, func() {
				if f.tenure.Fencing && f.fence == epoch && f.lane != nil {
					f.end(f.lane, false)
				}
			})
		}
	}
	if l := f.lane; l != nil && (s.Failover.MasterDown || !l.ready) {
		f.end(l, false)
	}
	f.settled()
	if f.tenure.Fencing {
		f.spring(simSeen, true, f.simMember)
	}
}

// settled acknowledges the fence once nothing is in flight.
func (f *simFlow) settled() {
	if !f.tenure.Fencing || f.lane != nil && len(f.lane.flight) > 0 || len(f.claims) > 0 && f.tenure.State.Draining() {
		return
	}
	f.tenure.Fencing = false
	if f.lane != nil {
		f.end(f.lane, false)
	}
	f.entry.Fenced = max(f.entry.Fenced, f.fence)
	f.tell("%s acknowledges the fence of epoch %d", f, f.fence)
	f.beat()
}
