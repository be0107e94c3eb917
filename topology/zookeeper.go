package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/internal/lease"
)

// openLimit is how long OpenZooKeeper waits for a server, at most.
const openLimit = 10 * time.Second

// ZooKeeper is the Coordinator of a member of many, who agree through a ZooKeeper ensemble.
//
// Its session with ZooKeeper is what makes it a member. When the session ends against its will, it begins another one
// and joins anew, knowing nothing but the last State, which serves reads; it has no grant until ZooKeeper has confirmed
// that State or given it a newer one. While it is only disconnected, its lease runs on to its end, and with it its
// grant and its leadership.
type ZooKeeper struct {
	*suspicions
	cfg     ZooKeeperConfig
	servers []string
	root    string // holds clusters
	home    string // the folder of this one
	acl     []zk.ACL

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{} // MembersChanged
	news    chan struct{} // there are Snapshots to deliver
	closed  atomic.Bool
	isReady chan struct{} // closed when OpenZooKeeper may return
	ready   sync.Once
	refusal chan error // why it must fail, at most one

	current   atomic.Pointer[Snapshot]
	lease     atomic.Pointer[lease.Lease]
	session   atomic.Pointer[session] // nil between two
	identity  atomic.Pointer[string]
	leaseTime atomic.Int64 // how long a lease lasts, a time.Duration
	enlisted  atomic.Bool  // this process is in the registry
	watchers  watchers[Snapshot]
	asking    watchers[[]Request]

	ledger     *ledger
	failsafe   atomic.Pointer[failsafe]
	authority  atomic.Pointer[Authority] // as it was told last
	tellers    watchers[Authority]
	leaderless atomic.Pointer[string] // the alarm that nobody may lead
	namesake   atomic.Pointer[string] // the alarm that another process has this member's id
	waits      atomic.Pointer[string] // for what this member has no lease yet
	raised     atomic.Pointer[Alarms] // by the leader
	estranged  atomic.Pointer[string] // why ZooKeeper does not take this member in any more; nil: it does
	started    time.Time
	looks      bool        // it joins nothing, see LookAtZooKeeper
	founded    atomic.Bool // this process has founded the cluster
	withdraws  atomic.Bool // it takes that back when it closes
	succeeds   atomic.Bool // an earlier process of this member did not take itself off the registry

	mu             sync.Mutex // orders changes of current and lease; guards the rest
	born           int64      // the transaction that created the znode of the State; 0: not seen yet
	requests       []Request  // replaced as a whole, never edited
	requestsRead   bool       // since this process began
	member         Member
	edits          uint64        // of member
	written        uint64        // the newest edit that others can read
	writtenData    []byte        // what they read; nil: not known
	writtenChanged chan struct{} // closed when written grows, and replaced
	made           []string      // folders that this process has made in ZooKeeper
	lastErr        error         // why the last session ended
}

var _ Coordinator = (*ZooKeeper)(nil)

// OpenZooKeeper joins the cluster, which it founds if there is none, and returns when this member knows the State (or
// that there is none yet), holds a lease and knows whether it leads. If a process with the same id was there a moment
// ago, it returns without a lease, and gets one when ZooKeeper has noticed that the other is gone.
//
// It waits 10 s for a server, or until ctx ends, and returns ErrUnreachable then. It returns ErrDenied,
// ErrOtherCluster, ErrSessionTooShort, ErrNewerFormat or ErrCorrupt, with a sentence that says what to do, when
// trying again would not help. What it finds in ZooKeeper it leaves as it is then.
func OpenZooKeeper(ctx context.Context, cfg ZooKeeperConfig) (*ZooKeeper, error) {
	z, err := newZooKeeper(cfg)
	if err != nil {
		return nil, err
	}
	z.running.Go(z.run)
	z.running.Go(z.deliver)
	z.running.Go(z.keepFailsafe)
	limit := time.NewTimer(openLimit)
	defer limit.Stop()
	select {
	case <-z.isReady:
		return z, nil
	case err = <-z.refusal:
	case <-limit.C:
		err = z.unreachable(openLimit.String())
	case <-ctx.Done():
		err = fmt.Errorf("%w (%w)", z.unreachable("the time given"), context.Cause(ctx))
	}
	return nil, errors.Join(err, z.Close())
}

// newZooKeeper returns a member that does nothing yet.
func newZooKeeper(cfg ZooKeeperConfig) (*ZooKeeper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	servers, root, err := ParseZooKeeper(cfg.Servers)
	if err != nil {
		return nil, err
	}
	if root == "" {
		root = defaultRoot
	}
	z := &ZooKeeper{
		suspicions: newSuspicions(),
		cfg:        cfg, servers: servers, root: root, home: root + "/" + cfg.Cluster,
		acl:     zk.WorldACL(zk.PermAll),
		changed: make(chan struct{}, 1), news: make(chan struct{}, 1),
		isReady: make(chan struct{}), refusal: make(chan error, 1),
		member: Member{ID: cfg.ID, Addr: cfg.Addr, Process: whereabouts(), WriteAcks: cfg.WriteAcks}, writtenChanged: make(chan struct{}),
		started: time.Now(),
	}
	z.ledger = newLedger(&cfg)
	if z.isReachable() {
		z.member.Limit = cfg.FailsafeLimit
	}
	z.authority.Store(&Authority{})
	if z.member.NodeMap = cfg.NodeMap; cfg.NodeMap == nil {
		z.member.NodeMap = map[string]string{}
	}
	if cfg.Auth != "" {
		z.acl = zk.AuthACL(zk.PermAll)
	}
	z.current.Store(&Snapshot{})
	z.ctx, z.cancel = context.WithCancel(context.Background())
	return z, nil
}

// unreachable is the sentence for a user who waited in vain.
func (z *ZooKeeper) unreachable(waited string) error {
	reason := errors.New("no connection was tried")
	if s := z.session.Load(); s != nil {
		reason = s.dialer.problem()
	}
	advice := "; check the addresses and that a majority of the servers runs"
	if errors.As(reason, new(certificateProblem)) {
		advice = ""
	}
	return fmt.Errorf("%w: no session with %s within %s (%w)%s", ErrUnreachable, strings.Join(z.servers, ", "), waited, reason, advice)
}

// run has one session after the other until Close.
func (z *ZooKeeper) run() {
	told := ""
	for failures := 0; ; failures++ {
		began := time.Now()
		err := z.runSession(z.ctx)
		if z.ctx.Err() != nil {
			return
		}
		if refused(err) && !z.isOpen() {
			z.refusal <- err
			return
		}
		z.mu.Lock()
		z.lastErr = err
		z.mu.Unlock()
		if time.Since(began) > z.cfg.SessionTimeout {
			failures, told = 0, ""
		}
		pause := min(firstPause<<min(failures, 10), longestPause)
		if refused(err) {
			pause = z.cfg.SessionTimeout / 2
			why := "this member has lost its place in the cluster: " + strings.TrimPrefix(err.Error(), "topology: ")
			z.estranged.Store(&why)
		}
		if text := err.Error(); text != told {
			told = text
			level := slog.LevelWarn
			if refused(err) {
				level = slog.LevelError
			}
			z.cfg.Log.Log(z.ctx, level, "this member lost its place in the cluster and joins anew", "reason", err)
		}
		if rest(z.ctx, pause) != nil {
			return
		}
	}
}

// deliver calls those who watch. It has a goroutine of its own: what they do may need those that learn of the State.
func (z *ZooKeeper) deliver() {
	for {
		select {
		case <-z.news:
			z.watchers.deliver()
		case <-z.ctx.Done():
			return
		}
	}
}

// opened lets OpenZooKeeper return.
func (z *ZooKeeper) opened() { z.ready.Do(func() { close(z.isReady) }) }

func (z *ZooKeeper) isOpen() bool {
	select {
	case <-z.isReady:
		return true
	default:
		return false
	}
}

// Snapshot implements Coordinator.
func (z *ZooKeeper) Snapshot() Snapshot { return *z.current.Load() }

// epoch is that of the State, 0 without one.
func (s Snapshot) epoch() uint64 {
	if s.State == nil {
		return 0
	}
	return s.State.Epoch
}

// Watch implements Coordinator. stop does not wait for a call of f that is being made.
func (z *ZooKeeper) Watch(f func(Snapshot)) (stop func()) {
	z.mu.Lock()
	var first *Snapshot
	if now := z.Snapshot(); now.State != nil {
		first = &now
	}
	stop = z.watchers.watch(f, first)
	z.mu.Unlock()
	z.watchers.deliver()
	return stop
}

// Grant implements Coordinator. There is one while the State is stable and a heartbeat has confirmed its epoch, until
// the lease of that heartbeat ends; or while all electors of this State promise not to lead, until the first of these
// promises ends.
func (z *ZooKeeper) Grant() Grant {
	g, _ := z.grant(time.Now())
	return g
}

// grant returns the grant at now and what it rests on.
func (z *ZooKeeper) grant(now time.Time) (Grant, Source) {
	// In this order: a lease that is newer than the State read is of a later epoch, or as good for this one.
	is, l, f := z.current.Load(), z.lease.Load(), z.failsafe.Load()
	if is.State == nil || is.State.Phase != Stable {
		return Grant{}, NoGrant
	}
	leased := l != nil && l.Epoch == is.State.Epoch && l.Holds(now)
	promised := f != nil && f.version == is.Version && f.epoch == is.State.Epoch && f.holds(now) && !z.closed.Load()
	switch {
	case leased && !(promised && f.until.After(l.Until)):
		return Grant{Epoch: is.State.Epoch, Until: l.Until}, Leased
	case promised:
		return Grant{Epoch: is.State.Epoch, Until: f.until}, Promised
	}
	return Grant{}, NoGrant
}

// Leading implements Coordinator: this member's candidate was the lowest, its lease has not ended, within which the
// candidate cannot have gone, it is one of those who may lead, and it has promised nobody not to.
func (z *ZooKeeper) Leading() bool {
	s := z.session.Load()
	now := time.Now()
	if s == nil || !s.elected.Load() || s.ctx.Err() != nil || !z.lease.Load().Holds(now) {
		return false
	}
	right := s.right(z.Snapshot())
	return right != noRight && z.ledger.free(now, right == asElector)
}

// Shared implements Coordinator: that is what ZooKeeper is for.
func (z *ZooKeeper) Shared() bool { return true }

// Lease returns how long a grant of this member lasts after the heartbeat that confirmed it was sent, at most. Whoever
// has made a fence and waits 1.05 times the longest Lease of all members waits long enough for a member that is cut
// off or stopped.
func (z *ZooKeeper) Lease() time.Duration { return time.Duration(z.leaseTime.Load()) }

// Identity returns what distinguishes this cluster from any other of the same name: a random text that was made when
// it was founded.
func (z *ZooKeeper) Identity() string { return *z.identity.Load() }

// MembersChanged implements Coordinator. Only the leader watches the members; another member hears of nothing here.
func (z *ZooKeeper) MembersChanged() <-chan struct{} { return z.changed }

// ZooKeeperStatus is how a member stands with ZooKeeper, for people to read.
type ZooKeeperStatus struct {
	Connected bool
	Server    string        // the present or last one
	Session   string        // as ZooKeeper's logs have it; "" without one
	Timeout   time.Duration // of the session, as ZooKeeper granted it
	Lease     time.Duration // see ZooKeeper.Lease
	Remaining time.Duration // of the present lease; 0: none
	Leading   bool
	Problem   error // why there is no session or no lease; nil if there is nothing to say
}

// Status returns how this member stands with ZooKeeper now.
func (z *ZooKeeper) Status() ZooKeeperStatus {
	st := ZooKeeperStatus{Lease: z.Lease(), Leading: z.Leading()}
	if l, now := z.lease.Load(), time.Now(); l.Holds(now) {
		st.Remaining = l.Until.Sub(now)
	}
	s := z.session.Load()
	if s == nil {
		z.mu.Lock()
		defer z.mu.Unlock()
		st.Problem = z.lastErr
		return st
	}
	s.mu.Lock()
	st.Connected, st.Timeout, st.Problem = s.connected, s.basis.Terms.Session, s.termsErr
	if s.id != 0 {
		st.Session = fmt.Sprintf("%#x", s.id)
	}
	s.mu.Unlock()
	st.Server = s.conn.Server()
	if !st.Connected {
		st.Problem = s.dialer.problem()
	}
	return st
}

// renew puts a lease in place, unless the session or the coordinator has ended meanwhile.
func (z *ZooKeeper) renew(s *session, l *lease.Lease) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if s.ctx.Err() != nil || z.closed.Load() {
		return
	}
	z.lease.Store(z.lease.Load().Renewed(l))
}

// shorten has the present lease end no later than that.
func (z *ZooKeeper) shorten(limit time.Time) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.lease.Store(z.lease.Load().EndingBy(limit))
}

// dropLease ends this member's authority.
func (z *ZooKeeper) dropLease() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.lease.Store(nil)
}

// Withdraw is Close for a process that fails before it has served anybody: it takes back the cluster that it has founded, unless
// there is a State by now or another member. Where ZooKeeper is away it cannot, and the empty cluster does no harm: the next
// member to start joins it.
func (z *ZooKeeper) Withdraw() error {
	z.withdraws.Store(true)
	return z.Close()
}

// Close implements Coordinator. It takes this member's znodes away if there is a connection; if there is none,
// ZooKeeper does when the session expires. It may take a second when the server does not answer. A second Close
// waits for the first.
func (z *ZooKeeper) Close() error {
	z.closed.Store(true)
	z.ledger.close(time.Now())
	z.dropLease()
	z.cancel()
	z.running.Wait()
	return nil
}
