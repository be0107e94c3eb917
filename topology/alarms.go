package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"
)

// Alarms are what the leading member has raised: what it knows to stand in the way and to need an operator, who may be
// asking any other member.
type Alarms struct {
	By    string    `json:"by"`    // the member
	Since time.Time `json:"since"` // when they became what they are
	Texts []string  `json:"texts"` // a sentence each; none: nothing stands in the way
}

// Raise implements Coordinator: who is alone tells of its alarms itself.
func (l *Local) Raise(context.Context, []string) error { return nil }

// Raised implements Coordinator: nobody else could have.
func (l *Local) Raised() Alarms { return Alarms{} }

// alarmsNode is the znode that holds Alarms. It is one of the folders: made with the cluster, and empty at first.
const alarmsNode = "alarms"

// Raise implements Coordinator. As Update does, the write checks that this member's candidacy still exists.
func (z *ZooKeeper) Raise(ctx context.Context, texts []string) error {
	return z.ask(ctx, func(ctx context.Context, s *session) error {
		if !s.elected.Load() {
			return ErrNotLeader
		}
		s.stands.Store(&texts) // first, so that followAlarms does not take the write for somebody else's
		for {
			was, stat, err := s.readAlarms(ctx)
			if err != nil {
				return err
			}
			if stat != nil {
				stat.Version = -1 // whatever there is by then
			}
			err = s.writeAlarms(ctx, was, stat, texts)
			if !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrNoNode) {
				return err
			}
		}
	})
}

// writeAlarms has others read texts instead of was, unless that is the same. stat says which version is replaced; nil: there is
// no znode.
func (s *session) writeAlarms(ctx context.Context, was Alarms, stat *zk.Stat, texts []string) error {
	candidate := s.candidate.Load()
	switch {
	case candidate == nil || !s.elected.Load():
		return ErrNotLeader
	case slices.Equal(was.Texts, texts) && (was.By == s.z.cfg.ID || len(texts) == 0):
		return nil
	}
	data, err := json.Marshal(Alarms{By: s.z.cfg.ID, Since: time.Now(), Texts: texts})
	if err != nil {
		return fmt.Errorf("topology: encode the alarms: %w", err)
	}
	path := s.z.path(alarmsNode)
	if stat == nil {
		return s.asLeader(ctx, *candidate, path, &zk.CreateRequest{Path: path, Data: data, Acl: s.z.acl})
	}
	return s.asLeader(ctx, *candidate, path, &zk.SetDataRequest{Path: path, Data: data, Version: stat.Version})
}

// Raised implements Coordinator.
func (z *ZooKeeper) Raised() Alarms {
	if a := z.raised.Load(); a != nil {
		return *a
	}
	return Alarms{}
}

// followAlarms reads what the leader has raised, now and then. People look at it, so seconds do not matter, and a watch of every
// member would be one more. The leader raises again what somebody has deleted or replaced.
func (s *session) followAlarms(ctx context.Context) error {
	return s.keepReading(ctx, nil, func() error {
		stands := s.stands.Load()
		found, stat, err := s.readAlarms(ctx)
		if err != nil {
			return err
		}
		s.z.raised.Store(&found)
		if stands == nil {
			return nil
		}
		switch err := s.writeAlarms(ctx, found, stat, *stands); {
		case errors.Is(err, ErrNotLeader), errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNodeExists), errors.Is(err, zk.ErrNoNode):
			return nil // others raise them, or they have changed meanwhile; the next look tells
		default:
			return err
		}
	})
}

// readAlarms returns what the leader has raised, and the stat of the znode; nil: somebody deleted it, or there was never one.
func (s *session) readAlarms(ctx context.Context) (Alarms, *zk.Stat, error) {
	var found Alarms
	data, stat, err := s.get(ctx, s.z.path(alarmsNode))
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return found, nil, nil
	case err != nil:
		return found, nil, err
	case len(data) == 0:
		return found, stat, nil
	}
	if err := json.Unmarshal(data, &found); err != nil {
		s.z.cfg.Log.Error("the alarms of the leader cannot be read", "error", err)
		return Alarms{}, stat, nil
	}
	return found, stat, nil
}
