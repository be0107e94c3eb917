package monitor

import (
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// Durable writes: who counts and who may be promoted is decided by the real rules (topology.Durable, durable.go and
// counting.go), and so is what may be answered, and when it may not any more (topology.Tenure). Here is what proxy/session does with
// replies that are withheld.

// simAcksTimeout is after how long an application is told that too few replicas have its write.
const simAcksTimeout = time.Second

// simClaim is the reply to a durable write that is withheld.
type simClaim struct {
	lane    *simLane
	request *simRequest
	reply   simReply
	stamp   uint64 // the sample as of which enough holders must be fresh
}

// claim withholds a reply. The write is in the data of every replica that is fresh as of the next sample.
func (f *simFlow) claim(l *simLane, r *simRequest, reply simReply) {
	c := &simClaim{l, r, reply, f.sampler.tracker.Next()}
	if f.rule == simEarlierSample {
		c.stamp--
	}
	f.claims = append(f.claims, c)
	f.sampler.need(f.sampler.tracker.Next())
	f.after(f.proc, simAcksTimeout, func() {
		if i := slices.Index(f.claims, c); i >= 0 {
			f.claims = slices.Delete(f.claims, i, i+1)
			f.tell("%s says that too few replicas have write %d", f, r.id)
			r.by.answered(r, false)
			f.settled()
		}
	})
}

// honour answers what is durable now.
func (f *simFlow) honour() {
	f.refresh()
	if len(f.claims) == 0 {
		return
	}
	have := f.sampler.have()
	asOf := f.durableAsOf(have)
	claims := f.claims
	f.claims = nil
	for _, c := range claims {
		if c.stamp > asOf {
			f.claims = append(f.claims, c)
			continue
		}
		var holders []topology.Holder
		for _, h := range have {
			if h.AsOf >= c.stamp {
				holders = append(holders, h.Holder)
			}
		}
		f.checkAnswer(f.simMember, c.lane, c.request, c.reply, holders)
		c.request.by.answered(c.request, true)
	}
	f.settled()
}

// durableAsOf is what Tenure says, or what it would say if it were deceived.
func (f *simFlow) durableAsOf(have []topology.Holding) uint64 {
	if d := f.tenure.State.Durable; f.rule == simAnyReplicaCounts && len(d.Holders) > 0 {
		have = slices.Clone(have)
		for i := range have {
			have[i].Holder = d.Holders[0]
		}
	}
	return f.tenure.DurableAsOf(have, f.plan.acks)
}

// forsake says of everything that is withheld that it will not be known what becomes of it.
func (f *simFlow) forsake() {
	claims := f.claims
	f.claims = nil
	for _, c := range claims {
		f.tell("%s does not know what will become of write %d: another master may come", f, c.request.id)
		c.request.by.answered(c.request, false)
	}
}

// simAuthority is what a loop sees of the agreement.
type simAuthority struct{ *simFlow }

func (a simAuthority) Snapshot() topology.Snapshot { return a.agreed }

// waitsForHolders reports whether an action says that nobody is promoted because of durable writes.
func waitsForHolders(a action) bool {
	return a.deed == deedAlarm && strings.Contains(a.why, "answered as durable")
}
