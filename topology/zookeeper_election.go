package topology

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// electionPrefix begins the names of candidates; ZooKeeper appends a number that only grows.
const electionPrefix = "n_"

// elect stands for election, waits to become the lowest candidate, and leads then; see awaitStanding for who stands, and
// lead for who steps back.
func (s *session) elect(ctx context.Context) error {
	for {
		err := s.awaitStanding(ctx)
		if err == nil {
			err = s.rise(ctx)
		}
		if err == nil {
			s.elected.Store(true)
			signal(s.z.changed)
			signal(s.legacyChanged)
			s.z.opened()
			err = s.lead(ctx)
		}
		if err == nil {
			err = s.stepBack(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stepBack gives the candidacy up.
func (s *session) stepBack(ctx context.Context) error {
	s.z.cfg.Log.Info("this member lets an elector lead", "id", s.z.cfg.ID)
	s.elected.Store(false)
	own := s.candidate.Swap(nil) // before it is gone: heartbeats check it
	err := s.insist(ctx, func() error {
		_, err := call(ctx, s, *own, func(c *zk.Conn) (none, error) { return none{}, c.Delete(*own, -1) })
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	// The elector may need a moment before it stands.
	return rest(ctx, s.z.cfg.SessionTimeout/4)
}

// rise stands for election and returns when this session's candidate is the lowest. Each candidate watches the one
// before it only, so that the end of a leader wakes one member and not all. Who is the lowest stays so until its own
// znode is gone, which every heartbeat checks.
func (s *session) rise(ctx context.Context) error {
	own, err := s.stand(ctx)
	if err != nil {
		return err
	}
	s.candidate.Store(&own)
	look := time.NewTicker(s.z.cfg.SessionTimeout)
	defer look.Stop()
	var watched string
	var armed <-chan zk.Event
	for {
		var before string
		err := s.insist(ctx, func() (err error) {
			before, err = s.before(ctx, own)
			if err != nil || before == "" {
				return err
			}
			armed, err = s.watchGone(ctx, before)
			watched = before
			return err
		})
		if err != nil || before == "" {
			return err
		}
		if armed == nil {
			continue // it went between the two
		}
		s.z.opened()
		for armed != nil {
			select {
			case <-armed:
				armed = nil
			case <-look.C:
				// Only whether that one is there: listing all candidates, by all of them, would be a load.
				if there, err := s.isThere(ctx, watched); err == nil && !there {
					armed = nil
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (s *session) isThere(ctx context.Context, path string) (bool, error) {
	return call(ctx, s, path, func(c *zk.Conn) (bool, error) { there, _, err := c.Exists(path); return there, err })
}

// stand creates this session's candidate and returns its path.
func (s *session) stand(ctx context.Context) (path string, err error) {
	unsure := false
	err = s.insist(ctx, func() (err error) {
		if unsure {
			// An attempt whose answer was lost may have created one.
			if path, err = s.findOwn(ctx); err != nil || path != "" {
				return err
			}
		}
		unsure = true
		path, err = s.create(ctx, s.z.path("election/"+electionPrefix), []byte(s.z.cfg.ID), zk.FlagEphemeral|zk.FlagSequence)
		return err
	})
	return path, err
}

// findOwn returns the path of the candidate that belongs to this session, or "".
func (s *session) findOwn(ctx context.Context) (string, error) {
	names, err := s.candidates(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Backward(names) { // it is one of the newest
		path := s.z.path("election/" + name)
		_, stat, err := s.get(ctx, path)
		switch {
		case errors.Is(err, zk.ErrNoNode):
		case err != nil:
			return "", err
		case stat.EphemeralOwner == s.sessionID():
			return path, nil
		}
	}
	return "", nil
}

// before returns the path of the candidate directly before own, "" if own is the lowest.
func (s *session) before(ctx context.Context, own string) (string, error) {
	names, err := s.candidates(ctx)
	if err != nil {
		return "", err
	}
	i := slices.Index(names, own[strings.LastIndexByte(own, '/')+1:])
	switch i {
	case -1:
		return "", errZnodeGone
	case 0:
		return "", nil
	}
	return s.z.path("election/" + names[i-1]), nil
}

// candidates returns the names of all candidates, in order.
func (s *session) candidates(ctx context.Context) ([]string, error) {
	path := s.z.path("election")
	names, err := call(ctx, s, path, func(c *zk.Conn) ([]string, error) { names, _, err := c.Children(path); return names, err })
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { _, ok := sequence(name); return !ok })
	slices.SortFunc(names, func(a, b string) int {
		x, _ := sequence(a)
		y, _ := sequence(b)
		return x - y
	})
	return names, nil
}

// sequence reads the number of a candidate.
func sequence(name string) (int, bool) {
	number, found := strings.CutPrefix(name, electionPrefix)
	n, err := strconv.ParseInt(number, 10, 32)
	return int(n), found && err == nil
}

// watchGone returns a channel that tells when the znode is gone, nil if it is gone already.
func (s *session) watchGone(ctx context.Context, path string) (<-chan zk.Event, error) {
	return call(ctx, s, path, func(c *zk.Conn) (<-chan zk.Event, error) {
		there, _, armed, err := c.ExistsW(path)
		if err != nil || !there {
			return nil, err
		}
		return armed, nil
	})
}

// forgetSome removes members from the registry that have been gone for long enough, and notes in gone which others are.
// Electors stay: that one is not registered is the proof that it has left in order.
func (s *session) forgetSome(ctx context.Context, gone map[string]time.Time) error {
	is := s.z.Snapshot()
	registered, err := s.children(ctx, "registry")
	if err != nil {
		return err
	}
	present, err := s.children(ctx, "members")
	if err != nil {
		return err
	}
	here := make(map[string]bool, len(present))
	for _, id := range present {
		here[id] = true
	}
	maps.DeleteFunc(gone, func(id string, _ time.Time) bool { return here[id] })
	for _, id := range registered {
		since, known := gone[id]
		switch {
		case here[id] || is.State.elects(id):
		case !known:
			gone[id] = time.Now()
		case time.Since(since) >= s.z.cfg.ForgetAfter:
			if err := s.strike(ctx, is.Version, id); err != nil {
				return err
			}
			delete(gone, id)
		}
	}
	return nil
}

// strike takes a member off the registry unless it is back. Who comes back enters members first and then writes its
// registration, so that either the second look finds it or the version has changed.
func (s *session) strike(ctx context.Context, version int64, id string) error {
	path := s.z.path("registry/" + id)
	_, stat, err := s.get(ctx, path)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	back, err := s.isThere(ctx, s.z.path("members/"+id))
	if err != nil || back {
		return err
	}
	_, err = call(ctx, s, path, func(c *zk.Conn) (none, error) {
		_, err := c.Multi(
			&zk.CheckVersionRequest{Path: s.z.path("state"), Version: int32(version)}, // under which it is no elector
			&zk.DeleteRequest{Path: path, Version: stat.Version},
		)
		return none{}, err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrBadVersion):
		return nil
	case err == nil:
		s.z.cfg.Log.Info("a member that has been gone for long was taken off the registry", "member", id)
	}
	return err
}

// asLeader executes operations about path together with a check that our candidate still exists. It returns
// ErrNotLeader if it does not; then the session is over, unless the candidacy was given up.
func (s *session) asLeader(ctx context.Context, candidate, path string, ops ...any) error {
	deposed, err := call(ctx, s, path, func(c *zk.Conn) (bool, error) {
		answers, err := c.Multi(append([]any{&zk.CheckVersionRequest{Path: candidate, Version: -1}}, ops...)...)
		return len(answers) > 0 && errors.Is(answers[0].Error, zk.ErrNoNode), err
	})
	if deposed {
		return s.deposed(candidate)
	}
	return err
}

// deposed takes in that a candidate of ours is gone. If this member has not given it up, somebody else has deleted it, and the session is
// over.
func (s *session) deposed(candidate string) error {
	if own := s.candidate.Load(); own != nil && *own == candidate {
		s.fail(errZnodeGone)
	}
	return ErrNotLeader
}
