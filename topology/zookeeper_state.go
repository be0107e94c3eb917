package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"
)

// firstLook reads the State and watches it.
func (s *session) firstLook(ctx context.Context) (armed <-chan zk.Event, err error) {
	err = s.insist(ctx, func() error {
		armed, err = s.look(ctx)
		return err
	})
	return armed, err
}

// look reads the State with a watch for the next change.
func (s *session) look(ctx context.Context) (<-chan zk.Event, error) {
	path := s.z.path("state")
	type znode struct {
		data  []byte
		stat  *zk.Stat
		armed <-chan zk.Event
	}
	n, err := call(ctx, s, path, func(c *zk.Conn) (znode, error) {
		data, stat, armed, err := c.GetW(path)
		return znode{data, stat, armed}, err
	})
	if err != nil {
		return nil, stateGone(err, path)
	}
	return n.armed, s.z.learn(n.data, n.stat)
}

// refresh reads the State without a watch, from a server that has caught up.
func (s *session) refresh(ctx context.Context) error {
	path := s.z.path("state")
	if _, err := call(ctx, s, path, func(c *zk.Conn) (string, error) { return c.Sync(path) }); err != nil {
		return err
	}
	data, stat, err := s.get(ctx, path)
	if err != nil {
		return stateGone(err, path)
	}
	return s.z.learn(data, stat)
}

// wentBack returns ErrWentBack if the State is older than the one that this member knows. A server that lags shows an older
// one, too, so a transaction has to confirm it.
func (s *session) wentBack(ctx context.Context, known Snapshot) error {
	path := s.z.path("state")
	data, stat, err := s.get(ctx, path)
	if err != nil {
		return stateGone(err, path)
	}
	if int64(stat.Version) >= known.Version {
		return nil
	}
	_, err = call(ctx, s, path, func(c *zk.Conn) (none, error) {
		_, err := c.Multi(&zk.CheckVersionRequest{Path: path, Version: stat.Version})
		return none{}, err
	})
	switch {
	case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode):
		return nil
	case err != nil:
		return err
	}
	return s.z.older(data, stat, known)
}

// older is the error of a member that knows a newer State than the one that is there. Every change of master has an epoch of its own.
func (z *ZooKeeper) older(data []byte, stat *zk.Stat, known Snapshot) error {
	is, remedy := "empty", "another node may have become the master since then: stop all members, delete all of "+z.home+" and start them"
	if state, err := Decode(data); err == nil {
		is = fmt.Sprintf("of epoch %d", state.Epoch)
		if state.Epoch == known.epoch() {
			remedy = "no other node has become the master since then: restart all members to go on from it"
		}
	}
	return fmt.Errorf("%w: %s is %s, version %d, and was of epoch %d, version %d, as after a restore from a backup; %s", ErrWentBack, z.path("state"), is, stat.Version,
		known.epoch(), known.Version, remedy)
}

func stateGone(err error, path string) error {
	if errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("%w: %s was deleted", ErrCorrupt, path)
	}
	return err
}

// follow reads the State after every change, and now and then. Heartbeats check its version, so a watch that got lost
// would be noticed by them; this one also serves a member that has no heartbeat.
func (s *session) follow(ctx context.Context, armed <-chan zk.Event) error {
	look := time.NewTicker(s.z.cfg.SessionTimeout / 2)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-armed:
			armed = nil
		case <-look.C:
		}
		err := s.insist(ctx, func() (err error) {
			if armed == nil {
				armed, err = s.look(ctx)
				return err
			}
			// Another watch would be one more in the library's memory, for as long as the first has not fired.
			data, stat, err := s.get(ctx, s.z.path("state"))
			if err != nil {
				return stateGone(err, s.z.path("state"))
			}
			return s.z.learn(data, stat)
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// learn takes in what the State's znode held at one moment. It returns an error if this member must not act on it.
func (z *ZooKeeper) learn(data []byte, stat *zk.Stat) error {
	err := z.replaceSnapshot(data, stat)
	signal(z.news)
	return err
}

// replaceSnapshot is learn without telling anybody.
func (z *ZooKeeper) replaceSnapshot(data []byte, stat *zk.Stat) error {
	path := z.path("state")
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.born != 0 && z.born != stat.Czxid {
		return fmt.Errorf("%w: %s was deleted and made anew; restart this member to join what is there now", ErrOtherCluster, path)
	}
	was := z.current.Load()
	if int64(stat.Version) <= was.Version && z.born != 0 {
		return nil // a server that lags, or nothing new
	}
	if len(data) == 0 {
		if stat.Version > 0 {
			return fmt.Errorf("%w: %s in ZooKeeper was emptied", ErrCorrupt, path)
		}
		z.born = stat.Czxid
		return nil // the cluster is new
	}
	state, err := Decode(data)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return fmt.Errorf("%w; start that version (%s)", err, path)
	case err != nil:
		return fmt.Errorf("%w; it was left as it is: restore %s", err, path)
	case state.Cluster != z.cfg.Cluster:
		return fmt.Errorf("%w: %s holds the State of cluster %q, not of %q", ErrOtherCluster, path, state.Cluster, z.cfg.Cluster)
	}
	if was.State != nil && state.Epoch < was.State.Epoch {
		// Epochs that come again would be taken for acknowledged ones.
		return z.older(data, stat, *was)
	}
	z.born = stat.Czxid
	now := Snapshot{State: state, Version: int64(stat.Version)}
	z.current.Store(&now)
	z.watchers.queue(now)
	if s := z.session.Load(); s != nil {
		signal(s.electorsChanged)
	}
	// A lease that was confirmed under this epoch, perhaps with the acknowledgement of its fence, still holds.
	// What is rehearsed is how soon members show that they know the State.
	if s := z.session.Load(); s != nil && state.Phase == Stable {
		if l := z.lease.Load(); l == nil || l.Epoch != state.Epoch || state.Rehearsal != nil {
			signal(s.beatNow)
		}
	}
	return nil
}

// Update implements Coordinator. The write checks in one step that this member's candidacy, which was the lowest,
// still exists, and that the State is the one that was read. After an error other than ErrStale, ErrNotLeader and
// those about next itself the outcome is unknown; before it gives that, it looks whether the State was replaced, and
// tries again as long as ctx and the session last, for one session timeout at most.
func (z *ZooKeeper) Update(ctx context.Context, version int64, next *State) (err error) {
	data, err := z.admissible(version, next)
	if err != nil {
		return err
	}
	s := z.session.Load()
	if s == nil || !s.elected.Load() || s.ctx.Err() != nil {
		return ErrNotLeader
	}
	is := z.Snapshot()
	if is.Version != version {
		return ErrStale
	}
	right := s.right(is)
	// From here on this member promises nobody anything, until it knows what has become of the State.
	if right == noRight || !z.ledger.begin(time.Now(), right == asElector) {
		return ErrNotLeader
	}
	sent := false
	defer func() { z.ledger.end(sent && err != nil && !errors.Is(err, ErrStale)) }()
	var proof []any
	if right == asSuccessor {
		if data, proof, err = s.claim(is, next); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, z.cfg.SessionTimeout)
	defer cancel()
	unsure := false
	err = s.insist(ctx, func() error {
		err := s.replace(ctx, version, data, proof, unsure)
		sent = sent || !errors.Is(err, errNotSent)
		unsure = unsure || interrupted(err) && !errors.Is(err, errNotSent)
		return err
	})
	z.watchers.deliver()
	switch {
	case z.closed.Load() && !errors.Is(err, ErrStale) && err != nil:
		return ErrClosed
	case errors.Is(err, errSessionOver):
		return fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	return err
}

// admissible encodes next if it may follow version.
func (z *ZooKeeper) admissible(version int64, next *State) ([]byte, error) {
	was := z.Snapshot()
	switch {
	case z.closed.Load():
		return nil, ErrClosed
	case version < was.Version:
		return nil, ErrStale
	}
	data, err := Encode(next)
	switch {
	case err != nil:
		return nil, err
	case next.Cluster != z.cfg.Cluster:
		return nil, fmt.Errorf("topology: a state of cluster %q was offered to cluster %q", next.Cluster, z.cfg.Cluster)
	case was.State != nil && next.Epoch < was.State.Epoch:
		return nil, fmt.Errorf("topology: epoch %d was offered after epoch %d", next.Epoch, was.State.Epoch)
	}
	return data, nil
}

// replace makes one attempt to replace version of the State by data, if what proof checks is so. If the answer to an earlier attempt was lost
// (unsure), it finds out whether that one succeeded: requests of a session are executed in order.
func (s *session) replace(ctx context.Context, version int64, data []byte, proof []any, unsure bool) error {
	z := s.z
	path := z.path("state")
	candidate := s.candidate.Load()
	switch {
	case candidate == nil:
		return ErrNotLeader
	case version < 0 || version >= math.MaxInt32:
		return ErrStale
	}
	type result struct {
		stat    *zk.Stat
		deposed bool
		refuted bool // an elector was back
	}
	r, err := call(ctx, s, path, func(c *zk.Conn) (result, error) {
		answers, err := c.Multi(append([]any{
			&zk.CheckVersionRequest{Path: *candidate, Version: -1},
			&zk.SetDataRequest{Path: path, Data: data, Version: int32(version)},
		}, proof...)...)
		var r result
		if len(answers) >= 2 {
			r = result{stat: answers[1].Stat, deposed: errors.Is(answers[0].Error, zk.ErrNoNode),
				refuted: slices.ContainsFunc(answers[2:], func(a zk.MultiResponse) bool {
					return errors.Is(a.Error, zk.ErrNoNode) || errors.Is(a.Error, zk.ErrBadVersion) || errors.Is(a.Error, zk.ErrNodeExists)
				})}
		}
		return r, err
	})
	switch {
	case err == nil:
		return z.learn(data, r.stat)
	case r.deposed:
		return s.deposed(*candidate)
	case r.refuted:
		s.takeover.Store(nil)
		return ErrNotLeader
	case errors.Is(err, zk.ErrNoNode):
		return stateGone(err, path)
	case !errors.Is(err, zk.ErrBadVersion):
		return err
	}
	// Somebody replaced it: perhaps an attempt of ours whose answer was lost.
	found, stat, err := s.get(ctx, path)
	if err != nil {
		return err
	}
	if err := z.learn(found, stat); err != nil {
		return err
	}
	if unsure && int64(stat.Version) == version+1 && bytes.Equal(found, data) {
		return nil
	}
	return ErrStale
}
