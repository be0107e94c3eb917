package monitor

import (
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// Durable writes: who counts and who may be promoted is decided by the real rules (topology.Durable, durable.go and
// counting.go). Here is what the proxy does with them: it asks the master which replicas have a write, until as many have
// as are wanted, and are holders by the State that it knows when it is told.

// simAckPause is the time between two looks at what replicas have acknowledged.
const simAckPause = 10 * time.Millisecond

// counted is how many of these count.
func counted(d *topology.Durable, have []topology.Holder) (n int) {
	for _, h := range have {
		if d != nil && d.Counts(h.Addr, h.RunID) {
			n++
		}
	}
	return n
}

// have lists the replicas that have acknowledged an offset.
func (s *simServer) have(offset int64) (have []topology.Holder) {
	for _, f := range s.feeds {
		if f.acked >= offset {
			have = append(have, topology.Holder{Addr: f.replica.addr, RunID: f.run})
		}
	}
	return have
}

// awaitAcks asks the master which replicas have a durable write.
func (f *simFlow) awaitAcks(l *simLane, r *simRequest, reply simReply) {
	f.send(f.proc, l.server.proc, l.wire, func() {
		have := l.server.have(reply.offset)
		f.send(l.server.proc, f.proc, l.wire, func() {
			if counted(f.agreed.State.Durable, have) < r.acks {
				f.after(f.proc, simAckPause, func() {
					if l.wire.open(f.proc) {
						f.awaitAcks(l, r, reply)
					}
				})
				return
			}
			f.reply(l, r, reply, have)
		})
	})
}

// waitsForHolders reports whether an action says that nobody is promoted because of durable writes.
func waitsForHolders(a action) bool {
	return a.deed == deedAlarm && strings.Contains(a.why, "answered as durable")
}
