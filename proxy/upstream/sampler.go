package upstream

import (
	"time"

	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/topology"
)

// judgeAnew has the replicas of a State judged under the reign of its master. While a master is being deposed the
// replicas have what they had.
func (p *Pool) judgeAnew(s topology.Snapshot) {
	m := s.State.Master
	if s.State.Phase == topology.Stable {
		p.reign = freshness.Reign{Epoch: s.State.Epoch, Master: freshness.Node{Addr: m.Addr, RunID: m.RunID}, ReplID: m.ReplID}
	}
	var nodes []freshness.Node
	for _, r := range p.replicas {
		if r.serves {
			nodes = append(nodes, freshness.Node{Addr: r.addr, RunID: r.runID})
		}
	}
	fresh := p.cfg.Freshness.Enroll(s.Version, p.reign, nodes)
	for _, r := range p.replicas {
		if r.fresh = nil; r.serves {
			r.fresh, fresh = fresh[0], fresh[1:]
		}
	}
	if p.enrolled != nil {
		p.enrolled()
	}
}

// Sampler takes the samples of a process, over connections of its own: one to the master, one to each replica that
// serves. It belongs to one pool, and to the loop of that pool; the Tracker is everybody's.
//
// While samples are needed it asks every Interval, or seldom if for some time there were only writes: the master, if what
// it answered last is too old for somebody, and each replica that is behind what is needed. As soon as the master has answered the replicas are asked, so that one
// which keeps up is known to do so within two round trips of the write.
type Sampler struct {
	pool     *Pool
	tracker  *freshness.Tracker
	interval time.Duration
	maxSkew  time.Duration // between the clocks of a replica that serves and the master; 0: any

	reign    freshness.Reign
	since    time.Time // the reign began
	samples  *freshness.Samples
	master   *probe
	replicas []*probe
	timer    eventloop.Timer // of the next look; nil: there was none yet
	resting  bool            // no look is due
	slow     bool            // one is, but late, because nobody reads
	readAt   time.Time       // something was read, or a rest ended
	look     func()
}

// NewSampler begins to take samples whenever they are needed, for as long as the loop runs. The loop need not run yet.
func NewSampler(p *Pool, interval, maxSkew time.Duration) *Sampler {
	s := &Sampler{pool: p, tracker: p.cfg.Freshness.Tracker, interval: interval, maxSkew: maxSkew}
	s.samples = s.tracker.NewSamples()
	s.resting = true
	s.look = func() {
		s.resting = true
		s.tick()
	}
	p.enrolled = s.enroll
	begin := s.begin
	s.tracker.OnNeed(func() { p.loop.Post(begin) })
	return s
}

// begin ends a rest, or has what is awaited looked after at once.
func (s *Sampler) begin() {
	if !s.resting {
		if !s.slow && !s.tracker.Hurried() {
			return
		}
		s.timer.Stop()
		s.resting = true
	}
	s.readAt = s.pool.loop.Now()
	s.tick()
}

// lookAfter has the next look taken after d. There is one timer for all of them: there are hundreds in a second.
func (s *Sampler) lookAfter(d time.Duration) {
	s.resting = false
	if s.timer == nil {
		s.timer = s.pool.loop.After(d, s.look)
		return
	}
	s.timer.Reset(d)
}

// pause is the time to the next look. Each costs two or three system calls for every node and the wake-ups that go with them:
// with 50 clients that pipeline writes, looks every 2 ms took a fifth of the process's time.
func (s *Sampler) pause(now time.Time) time.Duration {
	if s.tracker.WasRead() {
		s.readAt = now
	}
	s.slow = false
	switch {
	case s.tracker.Hurried():
		return min(s.interval, hurriedInterval)
	case now.Sub(s.readAt) > unreadFor:
		s.slow = true
		s.tracker.Slow()
		return s.interval * unreadFactor
	}
	return s.interval
}

// enroll follows a new State.
func (s *Sampler) enroll() {
	p := s.pool
	if s.reign != p.reign {
		s.reign, s.since = p.reign, p.loop.Now()
		s.samples = s.tracker.NewSamples()
		s.master.close()
		s.master = nil
	}
	if s.master == nil || s.master.node != p.master {
		s.master.close()
		s.master = &probe{sampler: s, node: p.master}
	}
	var next []*probe
	for _, n := range p.replicas {
		if !n.serves {
			continue
		}
		keep := &probe{sampler: s, node: n, fresh: n.fresh}
		for i, r := range s.replicas {
			if r != nil && r.node == n && r.fresh == n.fresh {
				keep, s.replicas[i] = r, nil
			}
		}
		next = append(next, keep)
	}
	for _, r := range s.replicas {
		r.close()
	}
	s.replicas = next
	if s.resting {
		p.loop.Post(s.begin)
	}
}

// tick asks whom there is to ask, or rests.
func (s *Sampler) tick() {
	s.pool.Refresh()
	if s.master == nil || len(s.replicas) == 0 {
		return // nobody's freshness is needed; enroll begins anew
	}
	now := s.pool.loop.Now()
	needed := s.tracker.Needed()
	if s.samples.Last() == 0 && now.Sub(s.since) > firstPatience {
		for _, r := range s.replicas {
			r.fresh.Trust()
		}
	}
	settled, left := s.settled(needed, now)
	if settled && !left {
		s.tracker.Settled(needed)
	}
	if settled && s.tracker.Rest(needed) {
		if left {
			s.lookAfter(probeRetry)
		}
		return
	}
	s.lookAfter(s.pause(now))
	if s.master.verified && s.samples.Last() >= needed || !s.master.ask(now) {
		s.askReplicas(needed, now)
	}
}

// settled reports whether every replica has reached what is needed, or cannot be asked now: then some are left.
func (s *Sampler) settled(needed uint64, now time.Time) (settled, left bool) {
	for _, r := range s.replicas {
		if r.fresh.AsOf() < needed {
			if r.asked || r.mayAsk(now) {
				return false, false
			}
			left = true
		}
	}
	return true, left
}

func (s *Sampler) askReplicas(needed uint64, now time.Time) {
	for _, r := range s.replicas {
		if r.fresh.AsOf() < needed {
			r.ask(now)
		}
	}
}

// sampled takes in what the master answered.
func (s *Sampler) sampled(n uint64, offset int64) {
	s.samples.Answered(n, offset)
	for _, r := range s.replicas {
		if r.verified {
			s.samples.Reached(r.fresh, r.offset, s.pool.loop.Now())
		}
	}
	s.askReplicas(s.tracker.Needed(), s.pool.loop.Now())
}

// Where there were only writes for unreadFor, samples are taken at so many times the interval, until somebody reads what
// needs one.
const (
	unreadFor    = 100 * time.Millisecond
	unreadFactor = 5
)

// hurriedInterval is the time between two looks while somebody waits for a replica.
const hurriedInterval = time.Millisecond

// firstPatience is how long a process that begins without a master waits for its answer before replicas serve reads.
const firstPatience = 200 * time.Millisecond
