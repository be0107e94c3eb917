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
		candidate := s.candidate.Load()
		if candidate == nil || !s.elected.Load() {
			return ErrNotLeader
		}
		was, err := s.readAlarms(ctx)
		switch {
		case err != nil:
			return err
		case slices.Equal(was.Texts, texts) && (was.By == z.cfg.ID || len(texts) == 0):
			return nil
		}
		data, err := json.Marshal(Alarms{By: z.cfg.ID, Since: time.Now(), Texts: texts})
		if err != nil {
			return fmt.Errorf("topology: encode the alarms: %w", err)
		}
		path := z.path(alarmsNode)
		return s.asLeader(ctx, *candidate, path, &zk.SetDataRequest{Path: path, Data: data, Version: -1})
	})
}

// Raised implements Coordinator.
func (z *ZooKeeper) Raised() Alarms {
	if a := z.raised.Load(); a != nil {
		return *a
	}
	return Alarms{}
}

// followAlarms reads what the leader has raised, now and then. People look at it, so seconds do not matter, and a watch of every
// member would be one more.
func (s *session) followAlarms(ctx context.Context) error {
	return s.keepReading(ctx, nil, func() error {
		found, err := s.readAlarms(ctx)
		if err == nil {
			s.z.raised.Store(&found)
		}
		return err
	})
}

func (s *session) readAlarms(ctx context.Context) (Alarms, error) {
	var found Alarms
	data, _, err := s.get(ctx, s.z.path(alarmsNode))
	switch {
	case errors.Is(err, zk.ErrNoNode) || err == nil && len(data) == 0: // somebody deleted it, or there was never one
		return found, nil
	case err != nil:
		return found, err
	}
	if err := json.Unmarshal(data, &found); err != nil {
		s.z.cfg.Log.Error("the alarms of the leader cannot be read", "error", err)
		return Alarms{}, nil
	}
	return found, nil
}
