package topology

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// LocalConfig says who the one member is and where its State is kept.
type LocalConfig struct {
	Cluster string // the name that every State must carry; a file of another cluster is refused
	ID      string // this member's name
	Addr    string // where this member's admin commands are answered; may be empty
	Path    string // the State's file; "" keeps the State in memory only, so a restart forgets who is master
}

// Local is the Coordinator of a process that is alone: it leads as long as it is open, its grant has no end, and its
// State lies in a file that no second process can open meanwhile.
type Local struct {
	*suspicions
	cfg      LocalConfig
	lock     *os.File // held while open; nil without a file
	made     bool     // there was no State in the file when it was opened
	current  atomic.Pointer[Snapshot]
	closed   atomic.Bool
	changed  chan struct{}
	watchers watchers[Snapshot]
	asking   watchers[[]Request]

	mu       sync.Mutex // orders changes of current and requests, guards the rest
	member   Member
	lastID   uint64
	requests []Request // replaced as a whole, never edited
}

var _ Coordinator = (*Local)(nil)

// OpenLocal takes the State's file for this process and reads it. An absent file means that there is no State yet. It
// returns an error, and leaves the file as it is, when another process has it, when it is damaged (ErrCorrupt), when a
// newer version wrote it (ErrNewerFormat) or when it belongs to another cluster.
func OpenLocal(cfg LocalConfig) (*Local, error) {
	switch {
	case cfg.Cluster == "":
		return nil, errors.New("topology: the local coordinator needs the name of the cluster")
	case cfg.ID == "":
		return nil, errors.New("topology: the local coordinator needs an id for this member")
	}
	l := &Local{
		suspicions: newSuspicions(),
		cfg:        cfg,
		changed:    make(chan struct{}, 1),
		member:     Member{ID: cfg.ID, Addr: cfg.Addr},
	}
	l.current.Store(&Snapshot{})
	if cfg.Path == "" {
		return l, nil
	}
	lock, err := lockFile(cfg.Path + ".lock")
	if err != nil {
		return nil, err
	}
	state, err := readState(cfg.Path, cfg.Cluster)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.lock, l.made = lock, state == nil
	if state != nil {
		l.current.Store(&Snapshot{State: state, Version: 1})
	}
	return l, nil
}

// Snapshot implements Coordinator.
func (l *Local) Snapshot() Snapshot { return *l.current.Load() }

// Watch implements Coordinator. stop does not wait for a call of f that is being made.
func (l *Local) Watch(f func(Snapshot)) (stop func()) {
	l.mu.Lock()
	var first *Snapshot
	if s := l.Snapshot(); s.State != nil {
		first = &s
	}
	stop = l.watchers.watch(f, first)
	l.mu.Unlock()
	l.watchers.deliver()
	return stop
}

// Grant implements Coordinator. It is without end: nobody else can depose the master. It holds only while the State is
// stable, so that a fence takes effect with the write that makes it.
func (l *Local) Grant() Grant {
	s := l.current.Load().State
	if s == nil || s.Phase != Stable || l.closed.Load() {
		return Grant{}
	}
	return Grant{Epoch: s.Epoch}
}

// Acknowledge implements Coordinator. An epoch older than one acknowledged before changes nothing.
func (l *Local) Acknowledge(_ context.Context, epoch uint64) error {
	return l.changeMember(func(m *Member) { m.Fenced = max(m.Fenced, epoch) })
}

// Publish implements Coordinator.
func (l *Local) Publish(_ context.Context, view []NodeView) error {
	return l.changeMember(func(m *Member) { m.View = slices.Clone(view) })
}

func (l *Local) changeMember(change func(*Member)) error {
	if l.closed.Load() {
		return ErrClosed
	}
	l.mu.Lock()
	change(&l.member)
	l.mu.Unlock()
	signal(l.changed)
	return nil
}

// Members implements Coordinator: there is one. It routes under the newest epoch as soon as there is one.
func (l *Local) Members(context.Context) ([]Member, error) {
	if l.closed.Load() {
		return nil, ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.member
	m.Leads = true
	m.View = slices.Clone(m.View)
	if known := l.current.Load(); known.State != nil {
		m.Applied, m.Version = known.State.Epoch, known.Version
	}
	return []Member{m}, nil
}

// MembersChanged implements Coordinator.
func (l *Local) MembersChanged() <-chan struct{} { return l.changed }

// Leading implements Coordinator: always, until Close.
func (l *Local) Leading() bool { return !l.closed.Load() }

// Shared implements Coordinator: there are no other members.
func (l *Local) Shared() bool { return false }

// Update implements Coordinator. The State is on disk before anybody sees it. It refuses, with an error of its own, a
// State that is not valid, names another cluster or goes back to an older epoch.
func (l *Local) Update(_ context.Context, version int64, next *State) error {
	err := l.replace(version, next)
	l.watchers.deliver()
	return err
}

func (l *Local) replace(version int64, next *State) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	was := l.current.Load()
	if was.Version != version {
		return ErrStale
	}
	encoded, err := Encode(next)
	if err != nil {
		return err
	}
	switch {
	case next.Cluster != l.cfg.Cluster:
		return fmt.Errorf("topology: a state of cluster %q was offered to cluster %q", next.Cluster, l.cfg.Cluster)
	case was.State != nil && next.Epoch < was.State.Epoch:
		return fmt.Errorf("topology: epoch %d was offered after epoch %d", next.Epoch, was.State.Epoch)
	}
	if l.cfg.Path != "" {
		if err := writeFile(l.cfg.Path, encoded); err != nil {
			return err
		}
	}
	now := Snapshot{State: next.Clone(), Version: version + 1}
	l.current.Store(&now)
	l.watchers.queue(now)
	return nil
}

// Lease implements Coordinator: the grant has no end, and there is nobody else to wait for.
func (l *Local) Lease() time.Duration { return 0 }

// Withdraw is Close for a process that fails before it has served anybody: what it has made of files it takes away again. A
// State that was there before stays.
func (l *Local) Withdraw() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	if l.lock != nil && l.made && !l.closed.Load() {
		for _, path := range []string{l.cfg.Path, l.lock.Name()} {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("topology: take back %s: %w", path, err))
			}
		}
	}
	return errors.Join(append(errs, l.shut())...)
}

// Close implements Coordinator. It gives the file free for another process. A second Close does nothing.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shut()
}

// shut ends the use of the file. The caller holds mu.
func (l *Local) shut() error {
	if l.closed.Swap(true) || l.lock == nil {
		return nil
	}
	if err := l.lock.Close(); err != nil {
		return fmt.Errorf("topology: release the state's file: %w", err)
	}
	return nil
}
