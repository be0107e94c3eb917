package topology

import (
	"context"
	"crypto/subtle"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy/understudy/internal/lease"
)

// Promisers carries requests for promises to other members. Promise returns nil when the elector e itself has promised, a
// Refusal when it answers that it does not, and another error when it cannot be asked. It may be called for several
// electors at once.
type Promisers interface {
	Promise(ctx context.Context, e Elector, r PromiseRequest) error
}

// Refusal is why an elector does not promise, in its own words.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// newLedger returns the ledger of a member, which has promised nothing.
func newLedger(cfg *ZooKeeperConfig) *ledger {
	return &ledger{
		self:  Elector{ID: cfg.ID, Addr: cfg.Addr, Limit: cfg.FailsafeLimit},
		fresh: max(cfg.Heartbeat*3/2, cfg.SessionTimeout/6),
		most:  cfg.SessionTimeout,
	}
}

// isReachable reports whether other members can ask this one at its address.
func (z *ZooKeeper) isReachable() bool {
	host, port, err := net.SplitHostPort(z.cfg.Addr)
	if err != nil || host == "" || port == "" || port == "0" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsUnspecified()
}

// Promise implements Coordinator.
func (z *ZooKeeper) Promise(r PromiseRequest) error {
	known := z.identity.Load()
	if known == nil || subtle.ConstantTimeCompare([]byte(*known), []byte(r.Identity)) != 1 {
		return ErrStranger
	}
	err := z.ledger.promise(time.Now(), r, z.Snapshot)
	if err == nil {
		z.cfg.Log.Debug("promised not to lead", "to", r.ID, "for", r.Duration)
	}
	return err
}

// asker collects the promises that this member needs while ZooKeeper is away.
type asker struct {
	z        *ZooKeeper
	promises promises
	refusals map[string]error // why electors did not promise, when they were asked last
	asked    time.Time
	complete bool // all promised when they were asked last
	drill    drill
}

// keepFailsafe collects promises while ZooKeeper is away, and tells what the grant rests on.
func (z *ZooKeeper) keepFailsafe() {
	if !z.isReachable() {
		z.cfg.Log.Warn("writes stop when ZooKeeper is away, for all members: this one has no address by which the others reach it; give it one (advertise)",
			"id", z.cfg.ID, "addr", z.cfg.Addr)
	}
	a := &asker{z: z}
	// Random, so that members that lost ZooKeeper in the same moment do not ask in the same moment.
	look := time.NewTimer(z.glance())
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-z.ctx.Done():
			return
		}
		if now := time.Now(); a.due(now) {
			a.ask(z.ctx)
		} else if a.drill.due(z, now) {
			a.drill.run(z.ctx, z)
		}
		z.tell(a.reason(time.Now()))
		look.Reset(z.glance())
	}
}

// glance is how long to wait until the next look at what the grant rests on.
func (z *ZooKeeper) glance() time.Duration {
	d := min(z.cfg.Heartbeat/2, time.Second)
	return d*3/4 + rand.N(d/2+1)
}

// silence is how long ago ZooKeeper was heard; there is none before the first time.
func (z *ZooKeeper) silence(now time.Time) (time.Duration, bool) {
	contact := z.ledger.touched()
	return lease.Age(now, contact), !contact.IsZero()
}

// due reports whether it is time to ask: half of the lease has passed without a heartbeat that succeeded, so that an
// election among ZooKeeper's servers passes without promises, after which nobody may lead for a while; and the rest of
// the lease is enough to be given them.
func (a *asker) due(now time.Time) bool {
	z := a.z
	silence, known := z.silence(now)
	longest := z.Lease()
	if z.cfg.Promisers == nil || !known || longest == 0 || silence < longest/2 || silence >= z.cfg.FailsafeLimit || z.closed.Load() {
		return false
	}
	is := z.Snapshot()
	if is.State == nil || is.State.Phase != Stable || len(is.State.Electors) == 0 {
		return false
	}
	// Who has refused, or was not there, is asked again soon: the others may be about to lose ZooKeeper, too.
	hurry := silence < 2*longest && !a.complete || a.promises.version != is.Version
	return hurry || now.Sub(a.asked) >= longest/4
}

// ask asks all electors at once.
func (a *asker) ask(ctx context.Context) {
	z := a.z
	is, d := z.Snapshot(), z.Lease()
	a.promises.about(is)
	a.asked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, d/4)
	defer cancel()
	request := PromiseRequest{Identity: z.Identity(), ID: z.cfg.ID, Version: is.Version, Epoch: is.State.Epoch, Duration: d}
	refusals := make(map[string]error)
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, e := range is.State.Electors {
		if e.ID == z.cfg.ID {
			continue
		}
		all.Go(func() {
			sent := time.Now()
			err := z.cfg.Promisers.Promise(ctx, e, request)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refusals[e.ID] = err
				return
			}
			a.promises.take(is.Version, e.ID, sent, d)
		})
	}
	all.Wait()
	a.refusals = refusals
	a.complete = len(refusals) == 0
	a.conclude(is, d)
}

// conclude makes of the promises what they are worth. This member's own is the last one: it is not given while those of
// others are missing, because this member may lead as soon as it finds ZooKeeper again.
func (a *asker) conclude(is Snapshot, d time.Duration) {
	z := a.z
	now := time.Now()
	silence, _ := z.silence(now)
	own := promise{now, d}
	limit := now.Add(z.cfg.FailsafeLimit - silence)
	if f := a.promises.failsafe(is.State.Electors, z.cfg.ID, own, limit); !f.holds(now) {
		return
	}
	if err := z.ledger.pledge(now, d); err != nil {
		a.complete = false
		a.refusals[z.cfg.ID] = err
		return
	}
	z.failsafe.Store(a.promises.failsafe(is.State.Electors, z.cfg.ID, own, limit))
}

// reason says why there are no promises, or cannot be.
func (a *asker) reason(now time.Time) string {
	z := a.z
	is := z.Snapshot()
	silence, known := z.silence(now)
	switch {
	case is.State == nil || !known:
		return ""
	case z.cfg.Promisers == nil:
		return "it is switched off"
	case len(is.State.Electors) == 0 && !z.isReachable():
		return "this member has no address by which others reach it"
	case len(is.State.Electors) == 0:
		return "the state has no electors: a member has no address of its own by which the others reach it, or is of an older version, or they are yet to be written"
	case silence < z.Lease()/2:
		return a.drill.problem
	case silence >= z.cfg.FailsafeLimit:
		return fmt.Sprintf("ZooKeeper has been away for longer than %v", z.cfg.FailsafeLimit)
	case is.State.Phase != Stable:
		return "a change of master is under way"
	}
	var missing []string
	for _, id := range slices.Sorted(maps.Keys(a.refusals)) {
		missing = append(missing, fmt.Sprintf("%s did not promise: %v", id, a.refusals[id]))
	}
	return strings.Join(missing, "; ")
}

// tell logs, and tells those who watch, what the grant rests on since now.
//
// Between two States, and until a heartbeat has confirmed a new one, there is no grant for a moment, of which others tell.
func (z *ZooKeeper) tell(reason string) {
	now := time.Now()
	was, is := z.authority.Load(), z.assess(now, reason)
	silence, known := z.silence(now)
	if state := z.Snapshot().State; is.Source == NoGrant && (state == nil || state.Phase != Stable || known && silence < z.Lease()) {
		is.Source = was.Source
	}
	z.mu.Lock()
	z.authority.Store(&is)
	changed := was.Source != is.Source || was.Alarm != is.Alarm
	if changed {
		z.tellers.queue(is)
	}
	z.mu.Unlock()
	if !changed {
		return
	}
	z.tellers.deliver()
	switch {
	case was.Source == is.Source || was.Source == "" || z.closed.Load():
	case is.Source == Promised:
		z.cfg.Log.Warn("writes go on without ZooKeeper", "promised_by", strings.Join(is.By, ","), "until", is.Until)
	case is.Source == Leased && was.Source == Promised:
		z.cfg.Log.Info("ZooKeeper is back; writes go on under a lease again")
	case is.Source == Leased:
		z.cfg.Log.Info("ZooKeeper is back; writes go on")
	case is.Source == NoGrant:
		z.cfg.Log.Warn("writes stop, because ZooKeeper does not answer", "for", silence.Round(time.Millisecond), "no_failsafe_because", reason)
	}
}

// assess returns what the grant rests on at now.
func (z *ZooKeeper) assess(now time.Time, reason string) Authority {
	g, source := z.grant(now)
	a := Authority{Source: source, Until: g.Until, Reason: reason}
	if f := z.failsafe.Load(); source == Promised && f != nil {
		a.By = f.by
	}
	if alarm := z.leaderless.Load(); alarm != nil {
		a.Alarm = *alarm
	}
	if estranged := z.estranged.Load(); estranged != nil {
		a.Alarm = *estranged
	}
	if waits := z.waits.Load(); waits != nil {
		a.Waits = *waits
	}
	if namesake := z.namesake.Load(); namesake != nil {
		a.Namesake, a.Alarm = *namesake, *namesake
	}
	return a
}

// Authority implements Coordinator.
func (z *ZooKeeper) Authority() Authority { return z.assess(time.Now(), z.authority.Load().Reason) }

// WatchAuthority implements Coordinator. stop does not wait for a call of f that is being made.
func (z *ZooKeeper) WatchAuthority(f func(Authority)) (stop func()) {
	z.mu.Lock()
	stop = z.tellers.watch(f, z.authority.Load())
	z.mu.Unlock()
	z.tellers.deliver()
	return stop
}
