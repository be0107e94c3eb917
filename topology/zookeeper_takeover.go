package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// right is why a member whose candidate is the lowest may lead.
type right int

const (
	noRight     right = iota
	asAnybody         // the State has no electors
	asElector         // it is one of them
	asSuccessor       // all electors are gone, and so are their promises
)

// takeover is the right of a member that is no elector to lead from one version of the State to the next.
type takeover struct {
	version int64
	proof   []any // what ZooKeeper must check: that no elector has been there since
}

// absence is what a member that is no elector knows of one that is.
type absence struct {
	registration int32     // the version of its entry in the registry; -1: it has none
	since        time.Time // of this member's knowledge; zero: it is present
}

// right returns this session's right to lead from a State to the next, if its candidate is the lowest.
func (s *session) right(is Snapshot) right {
	z := s.z
	switch t := s.takeover.Load(); {
	case is.State == nil || len(is.State.Electors) == 0:
		return asAnybody
	case is.State.mayLead(z.cfg.ID, z.cfg.Addr):
		return asElector
	case t != nil && t.version == is.Version:
		return asSuccessor
	}
	return noRight
}

// claim changes next so that this member is the only elector, and returns what must be checked with the write. From
// that State on it leads as any other.
func (s *session) claim(is Snapshot, next *State) (data []byte, proof []any, err error) {
	z := s.z
	t := s.takeover.Load()
	if t == nil || t.version != is.Version {
		return nil, nil, ErrNotLeader
	}
	next = next.Clone()
	next.Electors = nil
	if z.isReachable() {
		next.Electors = []Elector{z.ledger.self}
	}
	data, err = Encode(next)
	return data, t.proof, err
}

// awaitStanding returns when this member should stand for election: when it is an elector, when there are none, or when
// nobody stands.
func (s *session) awaitStanding(ctx context.Context) error {
	look := time.NewTicker(s.z.cfg.SessionTimeout / 2)
	defer look.Stop()
	for {
		var standing []string
		err := s.insist(ctx, func() (err error) {
			standing, err = s.candidates(ctx)
			return err
		})
		if err != nil || len(standing) == 0 {
			return err
		}
		for looked := false; !looked; {
			if s.z.Snapshot().State.mayLead(s.z.cfg.ID, s.z.cfg.Addr) {
				return nil
			}
			s.z.opened()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.electorsChanged:
			case <-look.C:
				looked = true
			}
		}
	}
}

// lead keeps the right to lead up to date while this session's candidate is the lowest. It returns nil when another
// member should be the lowest: this one is no elector, and one is present.
func (s *session) lead(ctx context.Context) error {
	z := s.z
	defer z.leaderless.Store(nil)
	look := time.NewTicker(min(z.cfg.Heartbeat, z.cfg.FailsafeLimit/40))
	defer look.Stop()
	clean := time.NewTicker(z.cfg.ForgetAfter / 10)
	defer clean.Stop()
	gone := make(map[string]absence)
	lost := make(map[string]time.Time)
	version := int64(-1)
	leads := false
	for {
		switch is := z.Snapshot(); s.right(is) {
		case asAnybody, asElector:
			clear(gone)
			z.leaderless.Store(nil)
			if !leads {
				leads = true
				z.cfg.Log.Info("this member leads", "id", z.cfg.ID)
			}
		case noRight, asSuccessor:
			if version != is.Version {
				clear(gone)
				version = is.Version
			}
			var present bool
			err := s.insist(ctx, func() (err error) {
				present, err = s.lookFor(ctx, is.State.Electors, gone)
				return err
			})
			if err != nil {
				return err
			}
			if present {
				s.takeover.Store(nil)
				return nil
			}
			s.consider(is, gone)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.electorsChanged:
		case <-look.C:
		case <-clean.C:
			if err := s.insist(ctx, func() error { return s.forgetSome(ctx, lost) }); err != nil {
				return err
			}
		}
	}
}

// lookFor brings what is known of the electors' absence up to date, and reports whether one is present.
//
// Of each the registry is read first. Whoever joins, with a new session, enters members, then writes its entry in the
// registry, and only then sends heartbeats. So if the entry has the version that it had when its owner was found
// absent, no heartbeat of the owner has been confirmed since.
func (s *session) lookFor(ctx context.Context, electors []Elector, gone map[string]absence) (present bool, err error) {
	z := s.z
	for _, e := range electors {
		registration := int32(-1)
		_, stat, err := s.get(ctx, z.path("registry/"+e.ID))
		switch {
		case err == nil:
			registration = stat.Version
		case !errors.Is(err, zk.ErrNoNode):
			return false, err
		}
		if e.ID == z.cfg.ID {
			// This very member, at another address: what entered the registry is itself. The process that was made an
			// elector is gone, since its session was over when this one's began.
			if !z.succeeds.Load() {
				registration = -1
			}
			if _, known := gone[e.ID]; !known {
				gone[e.ID] = absence{registration, time.Now()}
			}
			continue
		}
		there, err := s.isPresent(ctx, e)
		if err != nil {
			return false, err
		}
		if there {
			delete(gone, e.ID)
			present = true
			continue
		}
		if known, found := gone[e.ID]; !found || known.registration != registration {
			gone[e.ID] = absence{registration, time.Now()}
		}
	}
	return present, nil
}

// isPresent reports whether an elector is a member now. A process of its id at another address is none: as an elector
// the one was chosen that is gone.
func (s *session) isPresent(ctx context.Context, e Elector) (bool, error) {
	data, _, err := s.get(ctx, s.z.path("members/"+e.ID))
	if errors.Is(err, zk.ErrNoNode) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var m Member
	err = json.Unmarshal(data, &m)
	return err != nil || m.Addr == e.Addr, nil
}

// consider gives this session the right to lead when no promise of an elector can last any more: each has left in order,
// and then had none outstanding, or has been absent for longer than it promises anything after its last contact.
func (s *session) consider(is Snapshot, gone map[string]absence) {
	z := s.z
	var proof []any
	var awaited []string
	var longest time.Duration
	now := time.Now()
	for _, e := range is.State.Electors {
		a := gone[e.ID]
		path := z.path("registry/" + e.ID)
		switch patience := e.Limit + e.Limit/20; {
		case a.registration >= 0 && now.Sub(a.since) < patience:
			awaited = append(awaited, fmt.Sprintf("%s at %s", e.ID, e.Addr))
			longest = max(longest, patience-now.Sub(a.since))
		case e.ID == z.cfg.ID: // only this session can write its entry
		case a.registration >= 0:
			proof = append(proof, &zk.CheckVersionRequest{Path: path, Version: a.registration})
		default:
			proof = append(proof, &zk.CreateRequest{Path: path, Acl: z.acl}, &zk.DeleteRequest{Path: path, Version: -1})
		}
	}
	if len(awaited) == 0 {
		z.leaderless.Store(nil)
		if s.takeover.Swap(&takeover{is.Version, proof}) == nil {
			z.cfg.Log.Warn("all members that may lead are gone; this one takes over", "id", z.cfg.ID, "version", is.Version)
		}
		return
	}
	slices.Sort(awaited)
	// Without the time that remains, which changes all the time.
	alarm := fmt.Sprintf("nobody may lead, so there is no failover: all electors (%s) are gone, and may have let somebody write without ZooKeeper; start one of them again, or, if all of them have ended, delete what they have in %s in ZooKeeper",
		strings.Join(awaited, ", "), z.path("registry"))
	if was := z.leaderless.Swap(&alarm); was == nil || *was != alarm {
		z.cfg.Log.Error("operator needed", "alarm", alarm, "otherwise_in", longest.Round(time.Second))
	}
}
