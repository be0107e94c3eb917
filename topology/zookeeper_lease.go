package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/internal/lease"
)

// newTerms computes the lease for a session timeout that ZooKeeper granted. It returns an error that wraps
// ErrSessionTooShort if no useful lease fits into it.
func newTerms(cfg *ZooKeeperConfig, session time.Duration) (lease.Terms, error) {
	t := lease.NewTerms(lease.Settings{Heartbeat: cfg.Heartbeat, Tick: cfg.Tick, Lease: cfg.Lease}, session)
	if t.Lease == 0 {
		return t, fmt.Errorf("%w: ZooKeeper grants %v (%v were asked for), which leaves %v for the lease (timeout - heartbeat of %v - %v, after which a server has told of it - 5 %%), and it must be at least %v; ask for a longer session, or correct heartbeat and tick",
			ErrSessionTooShort, session, cfg.SessionTimeout, t.Most(), t.Heartbeat, t.Telling, max(t.Least(), cfg.Lease))
	}
	return t, nil
}

// beat renews the lease and keeps what others read of this member up to date.
func (s *session) beat(ctx context.Context) error {
	due := time.NewTimer(s.z.cfg.Heartbeat)
	defer due.Stop()
	for {
		if err := s.insist(ctx, func() error { return s.heartbeat(ctx) }); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.firstBeat.Do(func() { close(s.beaten) })
		due.Reset(s.z.cfg.Heartbeat)
		select {
		case <-due.C:
		case <-s.beatNow:
		case <-ctx.Done():
			return nil
		}
	}
}

// confirmed takes in that a heartbeat was confirmed, which was made up under the terms of before.
func (s *session) confirmed(epoch uint64, sent time.Time, before lease.Terms) {
	s.mu.Lock() // no other terms come in between; see greeted
	defer s.mu.Unlock()
	if until, ok := s.basis.Confirm(sent, before); ok {
		s.z.renew(s, &lease.Lease{Epoch: epoch, Sent: sent, Until: until})
	}
}

// heartbeat makes one quorum write that proves, in one step, that this member's session lives, that its znodes exist
// and that the State is the one it knows. A read would not do: a server that is cut off from the others goes on
// answering reads when the session has expired. What others read of this member is written only when it has changed:
// the leader, who watches it, is not woken by every heartbeat of everybody.
func (s *session) heartbeat(ctx context.Context) error {
	z := s.z
	for {
		known := z.Snapshot()
		before, _ := s.agreed() // before what others read is made up: they wait for no longer lease than they can read of
		data, number, fresh := z.unwritten()
		member, state := z.path("members/"+z.cfg.ID), z.path("state")
		ops := []any{&zk.CheckVersionRequest{Path: state, Version: int32(known.Version)}}
		if fresh {
			ops = append(ops, &zk.SetDataRequest{Path: member, Data: data, Version: -1})
		} else {
			ops = append(ops, &zk.CheckVersionRequest{Path: member, Version: -1})
		}
		candidate := s.candidate.Load()
		if candidate != nil {
			ops = append(ops, &zk.CheckVersionRequest{Path: *candidate, Version: -1})
		}
		turn := z.ledger.sending()
		sent := time.Now()
		cause, err := call(ctx, s, z.home, func(c *zk.Conn) (int, error) {
			answers, err := c.Multi(ops...)
			return slices.IndexFunc(answers, func(a zk.MultiResponse) bool { return a.Error != nil }), err
		})
		switch {
		case err == nil:
			z.ledger.confirm(sent, turn)
			s.confirmed(known.epoch(), sent, before)
			z.noteWritten(data, number)
			return nil
		case errors.Is(err, zk.ErrBadVersion):
			if err := s.refresh(ctx); err != nil {
				return err
			}
			if z.Snapshot().Version == known.Version {
				if err := s.wentBack(ctx, known); err != nil {
					return err
				}
				// The server that was asked lags behind the one that checked.
				if err := rest(ctx, time.Millisecond); err != nil {
					return err
				}
			}
			continue
		case errors.Is(err, zk.ErrNoNode) && cause == 0:
			return stateGone(err, state)
		case errors.Is(err, zk.ErrNoNode) && candidate != nil && s.candidate.Load() != candidate:
			continue // it was given up meanwhile
		case errors.Is(err, zk.ErrNoNode):
			return errZnodeGone
		}
		if fresh {
			z.forgetWritten() // it may have been written, or not
		}
		return err
	}
}
