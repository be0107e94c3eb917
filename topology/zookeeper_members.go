package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// fetches is how many znodes are asked for at a time; the library sends no more than 16 ahead.
const fetches = 16

// Registration is a member that may have promised something, or will: it is entered before the member's first lease,
// and taken away when the member leaves in order with no promise outstanding, or when it has been gone for long and is
// no elector.
type Registration struct {
	ID      string        `json:"id"`
	Addr    string        `json:"addr"`       // where other members reach it
	Promise time.Duration `json:"promise_ns"` // how long its promises last at most
}

// roster is what a session knows of the members. While it leads it watches them, so that listing them again costs one
// request and one for each that changed.
type roster struct {
	s       *session
	listing chan none // one list at a time

	mu      sync.Mutex
	armed   bool // the list of names is watched
	entries map[string]*entry
}

// entry is one member.
type entry struct {
	member  Member
	present bool // member was read
	stale   bool // it may have changed since the last read began, or is not watched
}

func newRoster(s *session) *roster {
	return &roster{s: s, listing: make(chan none, 1), entries: make(map[string]*entry)}
}

// event takes in a watch that fired. The library calls it before it hands on answers that the server gave later: so
// when the names have been read, everything that changed before is known to be stale.
func (r *roster) event(e zk.Event) {
	id, found := strings.CutPrefix(e.Path, r.s.z.path("members"))
	if !found {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == "" {
		r.armed = false
	} else if known := r.entries[strings.TrimPrefix(id, "/")]; known != nil {
		known.stale = true
	}
	signal(r.s.z.changed)
}

// list returns all members that are present, sorted by id.
func (r *roster) list(ctx context.Context) ([]Member, error) {
	select {
	case r.listing <- none{}:
		defer func() { <-r.listing }()
	case <-ctx.Done(): // another one waits for ZooKeeper, and longer than this one can
		return nil, fmt.Errorf("%w (%w)", ErrUnreachable, ctx.Err())
	}
	watch := r.s.elected.Load()
	if !watch {
		r.mu.Lock()
		clear(r.entries)
		r.mu.Unlock()
	}
	// Those known to have changed are read at the same time as the names.
	var early sync.WaitGroup
	var earlyErr error
	early.Go(func() { earlyErr = r.fetch(ctx, r.stale(), watch) })
	ids, err := r.names(ctx, watch)
	early.Wait()
	if err := errors.Join(err, earlyErr); err != nil {
		return nil, err
	}
	r.keep(ids)
	if err := r.fetch(ctx, r.stale(), watch); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make([]Member, 0, len(r.entries))
	for _, id := range slices.Sorted(maps.Keys(r.entries)) {
		if known := r.entries[id]; known.present {
			m := known.member
			m.View = slices.Clone(m.View)
			members = append(members, m)
		}
	}
	return members, nil
}

// names reads who is there.
func (r *roster) names(ctx context.Context, watch bool) ([]string, error) {
	r.mu.Lock()
	arm := watch && !r.armed
	if arm {
		r.armed = true // before the request: an event may follow the answer at once
	}
	r.mu.Unlock()
	if !arm {
		return r.s.children(ctx, "members")
	}
	path := r.s.z.path("members")
	ids, err := call(ctx, r.s, path, func(c *zk.Conn) ([]string, error) { ids, _, _, err := c.ChildrenW(path); return ids, err })
	if err != nil {
		r.mu.Lock()
		r.armed = false
		r.mu.Unlock()
	}
	return ids, err
}

// keep makes entries for those who are there, and only for them.
func (r *roster) keep(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := make(map[string]*entry, len(ids))
	for _, id := range ids {
		if kept[id] = r.entries[id]; kept[id] == nil {
			kept[id] = &entry{stale: true}
		}
	}
	r.entries = kept
}

// stale returns those whose entry must be read.
func (r *roster) stale() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for id, known := range r.entries {
		if known.stale {
			ids = append(ids, id)
		}
	}
	return ids
}

// fetch reads the entries of these members, several at a time.
func (r *roster) fetch(ctx context.Context, ids []string, watch bool) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	slots := make(chan struct{}, fetches)
	for _, id := range ids {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := r.read(ctx, id, watch); err != nil {
				mu.Lock()
				failures = append(failures, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(failures) > 0 {
		return failures[0]
	}
	return nil
}

// read reads the entry of one member.
func (r *roster) read(ctx context.Context, id string, watch bool) error {
	r.mu.Lock()
	known := r.entries[id]
	known.stale = !watch // before the request: an event may follow the answer at once
	r.mu.Unlock()
	path := r.s.z.path("members/" + id)
	data, err := call(ctx, r.s, path, func(c *zk.Conn) ([]byte, error) {
		if watch {
			data, _, _, err := c.GetW(path)
			return data, err
		}
		data, _, err := c.Get(path)
		return data, err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, zk.ErrNoNode):
		known.stale, known.present = true, false
		return nil
	case err != nil:
		known.stale = true
		return err
	}
	known.present = true
	known.member = Member{}
	if err := json.Unmarshal(data, &known.member); err != nil {
		// It counts all the same: whoever waits for its acknowledgement must go on waiting.
		r.s.z.cfg.Log.Error("what a member says of itself cannot be read", "member", id, "error", err)
		known.member = Member{}
	}
	known.member.ID = id
	return nil
}

func (s *session) children(ctx context.Context, name string) ([]string, error) {
	path := s.z.path(name)
	return call(ctx, s, path, func(c *zk.Conn) ([]string, error) { names, _, err := c.Children(path); return names, err })
}

// Members implements Coordinator. It asks ZooKeeper: the list is not older than the call, and after an Update of this
// member it is not older than that. A member that is listed may hold a grant; one that is not holds none, unless it
// has the promises of all electors, and then this member has promised, too, or is none.
func (z *ZooKeeper) Members(ctx context.Context) (members []Member, err error) {
	err = z.ask(ctx, func(ctx context.Context, s *session) error {
		members, err = s.roster.list(ctx)
		var leader string
		if err == nil {
			leader, err = s.leader(ctx)
		}
		if errors.Is(err, zk.ErrNoNode) {
			return z.gone()
		}
		for i := range members {
			members[i].Leads = members[i].ID == leader
		}
		return err
	})
	return members, err
}

// leader returns the id of the member whose candidate is the lowest, "" if there is none.
func (s *session) leader(ctx context.Context) (string, error) {
	if s.elected.Load() {
		return s.z.cfg.ID, nil
	}
	names, err := s.candidates(ctx)
	if err != nil || len(names) == 0 {
		return "", err
	}
	id, _, err := s.get(ctx, s.z.path("election/"+names[0]))
	if errors.Is(err, zk.ErrNoNode) {
		return "", nil // it has just gone
	}
	return string(id), err
}

// Registered lists the members that may have promised something: those that are present, and those that are gone without
// having closed their coordinator in order, since less than ForgetAfter or while they are electors.
func (z *ZooKeeper) Registered(ctx context.Context) (found []Registration, err error) {
	err = z.ask(ctx, func(ctx context.Context, s *session) error {
		ids, err := s.children(ctx, "registry")
		if err != nil {
			return err
		}
		found = make([]Registration, 0, len(ids))
		for _, id := range slices.Sorted(slices.Values(ids)) {
			data, _, err := s.get(ctx, z.path("registry/"+id))
			if errors.Is(err, zk.ErrNoNode) {
				continue
			}
			if err != nil {
				return err
			}
			var r Registration
			if err := json.Unmarshal(data, &r); err != nil {
				z.cfg.Log.Error("the registration of a member cannot be read", "member", id, "error", err)
				r = Registration{}
			}
			r.ID = id
			found = append(found, r)
		}
		return nil
	})
	return found, err
}

// ask reads something from ZooKeeper in the present session, for one session timeout at most.
func (z *ZooKeeper) ask(ctx context.Context, f func(context.Context, *session) error) error {
	s := z.session.Load()
	switch {
	case z.closed.Load():
		return ErrClosed
	case s == nil:
		z.mu.Lock()
		defer z.mu.Unlock()
		if refused(z.lastErr) {
			return z.lastErr // until somebody has changed something
		}
		return errNotSent
	}
	ctx, cancel := context.WithTimeout(ctx, z.cfg.SessionTimeout)
	defer cancel()
	err := s.insist(ctx, func() error { return f(ctx, s) })
	switch {
	case err != nil && z.closed.Load():
		return ErrClosed
	case errors.Is(err, errSessionOver):
		return errors.Join(ErrUnreachable, err)
	}
	return err
}

// change edits what others read of this member, and returns when it has been written.
func (z *ZooKeeper) change(ctx context.Context, edit func(*Member)) error {
	z.mu.Lock()
	edit(&z.member)
	z.edits++
	wanted := z.edits
	z.mu.Unlock()
	if s := z.session.Load(); s != nil {
		signal(s.beatNow)
	}
	limit := time.NewTimer(z.cfg.SessionTimeout)
	defer limit.Stop()
	for {
		z.mu.Lock()
		written, changed := z.written, z.writtenChanged
		z.mu.Unlock()
		switch {
		case z.closed.Load():
			return ErrClosed
		case written >= wanted:
			return nil
		}
		select {
		case <-changed:
		case <-z.ctx.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return ErrUnreachable
		}
	}
}

// unwritten encodes what others are to read of this member, with the number of the newest edit in it, and reports
// whether it differs from what they read now.
func (z *ZooKeeper) unwritten() (data []byte, number uint64, fresh bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := z.member
	known := z.current.Load()
	m.Applied, m.Version = known.epoch(), known.Version
	m.Lease = z.Lease()
	data, err := json.Marshal(m)
	if err != nil {
		panic("topology: a member cannot be encoded: " + err.Error()) // it holds nothing that could fail
	}
	return data, z.edits, string(data) != string(z.writtenData)
}

// noteWritten records that others read data now, which holds all edits up to number.
func (z *ZooKeeper) noteWritten(data []byte, number uint64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.writtenData = data
	if number > z.written {
		z.written = number
		close(z.writtenChanged)
		z.writtenChanged = make(chan struct{})
	}
}

// forgetWritten records that it is not known what others read now.
func (z *ZooKeeper) forgetWritten() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.writtenData = nil
}

// Acknowledge implements Coordinator. An epoch older than one acknowledged before changes nothing. It returns when
// the leader can read it. It outlives the session: a member that said it has nothing in flight need not say it again.
func (z *ZooKeeper) Acknowledge(ctx context.Context, epoch uint64) error {
	return z.change(ctx, func(m *Member) { m.Fenced = max(m.Fenced, epoch) })
}

// Publish implements Coordinator. It returns when the leader can read it.
func (z *ZooKeeper) Publish(ctx context.Context, view []NodeView) error {
	return z.change(ctx, func(m *Member) { m.View = slices.Clone(view) })
}
