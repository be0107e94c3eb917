package topology

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/internal/lease"
)

// session is one session with ZooKeeper, from its beginning to its end, across any number of connections. Everything
// that a member knows only as long as its session lives belongs to it, and goes with it: another session begins with
// nothing. Each has a zk.Conn of its own, whose dialer refuses to connect once the session has expired, so that
// nothing meant for this session can be executed in another.
type session struct {
	z      *ZooKeeper
	ctx    context.Context
	cancel context.CancelCauseFunc
	dialer *dialer
	conn   *zk.Conn
	events <-chan zk.Event
	loops  sync.WaitGroup
	calls  sync.WaitGroup
	roster *roster

	mu        sync.Mutex // before that of z
	connected bool
	changed   chan struct{} // closed when connected or terms change, and replaced
	basis     lease.Session // what leases rest on
	termsErr  error         // why no lease can be had under its terms
	id        int64         // as ZooKeeper names it; 0 before it began
	ending    bool          // no more calls

	asked           sync.Mutex  // one reading of the requests at a time
	watchedRequests sync.Map    // paths of requests whose answer is watched for
	requestsArmed   atomic.Bool // the list of requests is watched
	requestsChanged chan struct{}
	electorsChanged chan struct{} // the State was replaced

	watchedLegacy sync.Map      // paths of redis_failover's znodes that are watched
	legacyChanged chan struct{} // there may be something to do for its clients

	expired   atomic.Bool // ZooKeeper said so
	firstBeat sync.Once
	candidate atomic.Pointer[string]   // the path of this session's election znode
	elected   atomic.Bool              // it was the lowest, and as long as it exists it stays so
	stands    atomic.Pointer[[]string] // the alarms that it has raised last; nil: none yet
	takeover  atomic.Pointer[takeover]
	beatNow   chan struct{} // a heartbeat should be sent
	beaten    chan struct{} // closed by the first successful heartbeat
}

// runSession has one session with ZooKeeper, and says why it ended.
func (z *ZooKeeper) runSession(ctx context.Context) error {
	s := &session{z: z, changed: make(chan struct{}), beatNow: make(chan struct{}, 1), beaten: make(chan struct{}),
		requestsChanged: make(chan struct{}, 1), electorsChanged: make(chan struct{}, 1), legacyChanged: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.roster = newRoster(s)
	s.dialer = newDialer(s.ctx, z.servers, &z.cfg)
	s.dialer.greeted = s.greeted
	var err error
	s.conn, s.events, err = zk.Connect(z.servers, z.cfg.SessionTimeout,
		zk.WithHostProvider(s.dialer), zk.WithDialer(s.dialer.Dial), zk.WithEventCallback(s.event),
		zk.WithLogger(s), zk.WithLogInfo(false), zk.WithMaxBufferSize(16<<20))
	if err != nil {
		s.cancel(err)
		return fmt.Errorf("topology: begin a session with ZooKeeper: %w", err)
	}
	defer s.end()
	s.goes(s.supervise)
	z.session.Store(s)
	if err := s.enter(s.ctx); err != nil {
		s.fail(err)
	}
	<-s.ctx.Done()
	return context.Cause(s.ctx)
}

// goes runs a part of the session; the session ends when it returns an error.
func (s *session) goes(part func(ctx context.Context) error) {
	s.loops.Go(func() {
		if err := part(s.ctx); err != nil {
			s.fail(err)
		}
	})
}

// fail ends the session. Its authority ends at once: a session that expired has none left, and one that is given up
// may be missed by others at any moment.
func (s *session) fail(err error) {
	s.cancel(err)
	s.z.dropLease()
}

// end takes back what this session has in ZooKeeper, as far as that is possible now, and waits for everything that ran
// for it.
func (s *session) end() {
	s.fail(errSessionOver)
	s.loops.Wait()
	s.z.session.CompareAndSwap(s, nil)
	if s.z.ctx.Err() != nil && !s.expired.Load() {
		s.leave()
		if s.z.withdraws.Load() && s.z.founded.Load() {
			s.unfound()
		}
	}
	s.mu.Lock()
	s.ending = true
	connected := s.connected
	s.mu.Unlock()
	if !connected {
		s.dialer.drop() // a handshake
	}
	// Ends the session, and with it its ephemerals, if there is a connection; it waits for the answer, up to 1 s.
	s.conn.Close()
	s.dialer.drop()
	s.calls.Wait()
	// The library closes the channel when nothing of it runs any more.
	limit := time.NewTimer(2 * time.Second)
	defer limit.Stop()
	for {
		select {
		case _, open := <-s.events:
			if !open {
				return
			}
		case <-limit.C:
			s.z.cfg.Log.Error("the ZooKeeper client library does not end; something of it stays behind")
			return
		}
	}
}

// Printf implements zk.Logger.
func (s *session) Printf(format string, args ...any) {
	s.z.cfg.Log.Debug("zookeeper: " + fmt.Sprintf(format, args...))
}

// event is called by the library, for every event, and must not block.
func (s *session) event(e zk.Event) {
	if e.Type != zk.EventSession {
		s.roster.event(e)
		s.requestEvent(e)
		s.legacyEvent(e)
		return
	}
	if e.State == zk.StateExpired {
		// Before the library goes on to the next session, which the dialer refuses from now on.
		s.expired.Store(true)
		s.fail(errSessionExpired)
	}
	connected := e.State == zk.StateHasSession
	s.mu.Lock()
	was, id, timeout := s.connected, s.id, s.basis.Terms.Session
	s.connected = connected
	if connected != was {
		s.tellChange()
	}
	s.mu.Unlock()
	switch {
	case connected && !was:
		level := slog.LevelInfo
		if s.z.estranged.Load() != nil {
			level = slog.LevelDebug // an alarm says why this is tried again and again
		}
		s.z.cfg.Log.Log(s.ctx, level, "connected to ZooKeeper", "server", e.Server, "session", fmt.Sprintf("%#x", id), "timeout", timeout)
		// Much may have happened meanwhile. The library restores watches; a heartbeat tells whether the State is new.
		signal(s.beatNow)
		signal(s.z.changed)
		signal(s.legacyChanged)
	case was && !connected && s.ctx.Err() == nil:
		s.z.cfg.Log.Warn("disconnected from ZooKeeper", "server", e.Server)
	}
}

// greeted is called by the dialer when a connection has the session.
func (s *session) greeted(id int64, timeout time.Duration) {
	t, err := newTerms(&s.z.cfg, timeout)
	began := s.dialer.began()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = id
	if err != nil && (s.termsErr == nil || s.basis.Terms.Session != timeout) {
		s.z.cfg.Log.Error("no lease can be had, so this member neither writes nor leads", "error", err)
	}
	s.basis.Terms, s.basis.Began, s.termsErr = t, began, err
	s.z.shorten(t.Limit(began))
	// Others must wait for the longest that there may be.
	s.z.leaseTime.Store(max(s.z.leaseTime.Load(), int64(t.Lease)))
	s.tellChange()
}

// tellChange wakes those who wait for a change. The caller holds mu.
func (s *session) tellChange() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) isConnected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected
}

// agreed returns the terms of the newest connection.
func (s *session) agreed() (lease.Terms, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.basis.Terms, s.termsErr
}

// awaitConnected returns when there is a connection, or an error when the session has ended.
func (s *session) awaitConnected(ctx context.Context) error {
	for {
		s.mu.Lock()
		connected, changed := s.connected, s.changed
		s.mu.Unlock()
		if connected {
			return nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", ErrUnreachable, context.Cause(ctx))
		}
	}
}

// supervise gives the session up when the library has stopped trying to reconnect, or when no server resumes it. No way is
// known in which the library still does; but it waits for itself in more than one place, and a member that is deaf for ever
// would not be noticed.
func (s *session) supervise(ctx context.Context) error {
	limit := s.z.cfg.SessionTimeout + 2*longestPause + connectLimit
	look := time.NewTicker(limit / 4)
	defer look.Stop()
	away := time.Now() // since when there is no connection
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			switch {
			case s.isConnected():
				away = time.Now()
			case time.Since(s.dialer.began()) > limit:
				return errLibraryStuck
			case time.Since(away) > limit && s.sessionID() != 0 && !s.z.looks:
				if s.isForgotten(ctx, limit) {
					return errNotResumed
				}
				away = time.Now()
			}
		}
	}
}

// isForgotten reports whether the ensemble serves others and does not resume this session. A server that has seen less than a client, as
// after a restore from a backup, ends its connections without a word, and the library would go on trying for ever.
func (s *session) isForgotten(ctx context.Context, limit time.Duration) bool {
	if _, err := LookAtZooKeeper(ctx, s.z.cfg); err != nil && !refused(err) {
		return false // it serves nobody
	}
	again := time.NewTimer(limit) // it may have begun to only now
	defer again.Stop()
	for {
		s.mu.Lock()
		connected, changed := s.connected, s.changed
		s.mu.Unlock()
		if connected {
			return false
		}
		select {
		case <-changed:
		case <-again.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// callLimit is how long one call may take before its connection is given up for another: short enough that a lease
// outlives a server that has stopped.
func (s *session) callLimit() time.Duration {
	return max(s.z.cfg.SessionTimeout/4, 50*time.Millisecond)
}

// call makes one request about path and waits for its answer, for callLimit at most. It refuses at once without a
// connection: the library would queue the request. An error that is ErrUnreachable leaves open whether the request
// was executed, unless it is errNotSent. request may still run when call has returned, so what it finds out is its
// value, and it writes to nothing that it captures.
func call[T any](ctx context.Context, s *session, path string, request func(*zk.Conn) (T, error)) (T, error) {
	var none T
	switch {
	case s.expired.Load():
		return none, errSessionExpired
	case !s.isConnected():
		return none, errNotSent
	case ctx.Err() != nil:
		return none, ctx.Err()
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return none, errSessionOver
	}
	s.calls.Go(func() {
		value, err := request(s.conn)
		answers <- answer{value, err}
	})
	s.mu.Unlock()
	limit := time.NewTimer(s.callLimit())
	defer limit.Stop()
	select {
	case a := <-answers:
		return a.value, explain(a.err, path)
	case <-ctx.Done():
		return none, fmt.Errorf("%w (%w)", ErrUnreachable, context.Cause(ctx))
	case <-limit.C:
		s.z.cfg.Log.Warn("ZooKeeper does not answer; trying another server", "server", s.conn.Server(), "after", s.callLimit())
		s.dialer.drop()
		return none, fmt.Errorf("%w: no answer within %v", ErrUnreachable, s.callLimit())
	}
}

// errNotSent is the ErrUnreachable of a request that was never sent.
var errNotSent = fmt.Errorf("%w: there is no connection", ErrUnreachable)

// insist calls f until it returns something else than ErrUnreachable, or the session or ctx ends.
func (s *session) insist(ctx context.Context, f func() error) error {
	for {
		if err := s.awaitConnected(ctx); err != nil {
			return err
		}
		err := f()
		if !interrupted(err) || ctx.Err() != nil {
			return err
		}
		// The library tells of a lost connection a moment later.
		if err := rest(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%w (%w)", ErrUnreachable, err)
		}
	}
}

// keepReading calls read now, with every piece of news, and every half of a session timeout, because news can get lost; until
// ctx ends, or read returns something else than ErrUnreachable.
func (s *session) keepReading(ctx context.Context, news <-chan struct{}, read func() error) error {
	look := time.NewTicker(s.z.cfg.SessionTimeout / 2)
	defer look.Stop()
	for {
		err := s.insist(ctx, read)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-look.C:
		}
	}
}

// rest waits between half of d and one and a half, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	due := time.NewTimer(d/2 + rand.N(d+1))
	defer due.Stop()
	select {
	case <-due.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
