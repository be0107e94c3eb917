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

// identity is what the folder of a cluster holds: made once, with the cluster.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	ID      string `json:"id"` // random
}

// folders are what lies in the folder of a cluster next to its State.
var folders = []string{"registry", "members", "election", "requests", alarmsNode}

// enter makes this member one of the cluster, step by step, and starts what keeps it one. It begins anew with every
// session, and uses nothing that an earlier one knew.
func (s *session) enter(ctx context.Context) error {
	z := s.z
	// agreed has terms once a connection is there.
	if err := s.awaitConnected(ctx); err != nil {
		return err
	}
	if _, err := s.agreed(); err != nil && !z.isOpen() {
		return err
	}
	if z.looks {
		return s.insist(ctx, func() error { return s.survey(ctx) })
	}
	if err := s.insist(ctx, func() error { return s.anchor(ctx) }); err != nil {
		return err
	}
	if err := s.insist(ctx, func() error { return s.find(ctx) }); err != nil {
		return err
	}
	armed, err := s.firstLook(ctx)
	if err != nil {
		return err
	}
	s.goes(func(ctx context.Context) error { return s.follow(ctx, armed) })
	s.goes(s.followRequests)
	s.goes(s.followAlarms)
	// From here on this member may be of use for reads.
	if err := s.register(ctx); err != nil {
		return err
	}
	s.goes(s.beat)
	// Whoever opens a coordinator finds a lease, and knows whether it leads.
	select {
	case <-s.beaten:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if z.estranged.Swap(nil) != nil {
		z.cfg.Log.Warn("this member has its place in the cluster again")
	}
	s.goes(s.elect)
	if z.cfg.LegacyRoot != "" {
		s.goes(s.serveLegacy)
	}
	return nil
}

// anchor sets a watch that never fires, on a znode that every ensemble has and nobody can change, so that this session
// has one at every moment: conn.awaitWatches counts on that.
func (s *session) anchor(ctx context.Context) error {
	const path = "/zookeeper"
	_, err := call(ctx, s, path, func(c *zk.Conn) (none, error) {
		_, _, _, err := c.ExistsW(path)
		return none{}, err
	})
	if err == nil {
		s.dialer.watches()
	}
	return err
}

// none is the value of requests that give none.
type none = struct{}

// find makes sure that the root and the cluster are there and are the right ones.
func (s *session) find(ctx context.Context) error {
	z := s.z
	// A root that may not be read is no hindrance; one that is itself a cluster is a chroot with a name too many.
	if data, _, err := s.get(ctx, z.root); err == nil {
		if id, ok := readIdentity(data); ok {
			return fmt.Errorf("%w: %s is the cluster %q itself, and no folder for clusters: leave the last name out of the chroot", ErrOtherCluster, z.root, id.Cluster)
		}
	} else if interrupted(err) {
		return err
	}
	data, stat, err := s.get(ctx, z.home)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return s.found(ctx, nil)
	case err != nil:
		return err
	case len(data) == 0 && stat.NumChildren == 0:
		return s.found(ctx, stat) // prepared by an administrator, with an ACL of theirs
	}
	if err := s.recognise(data); err != nil {
		return err
	}
	return s.complete(ctx)
}

func readIdentity(data []byte) (identity, bool) {
	var id identity
	err := json.Unmarshal(data, &id)
	return id, err == nil && id.Cluster != "" && id.ID != ""
}

// recognise refuses the data of a folder that does not hold this member's cluster.
func (s *session) recognise(data []byte) error {
	z := s.z
	id, ok := readIdentity(data)
	known := z.identity.Load()
	switch {
	case !ok:
		return fmt.Errorf("%w: %s in ZooKeeper is not a cluster of Understudy: choose another chroot or cluster", ErrOtherCluster, z.home)
	case id.Format > Format:
		return fmt.Errorf("%w: %s has format %d, this version understands %d; start that version", ErrNewerFormat, z.home, id.Format, Format)
	case id.Cluster != z.cfg.Cluster:
		return fmt.Errorf("%w: %s holds the cluster %q, not %q: choose another chroot or cluster", ErrOtherCluster, z.home, id.Cluster, z.cfg.Cluster)
	case z.cfg.Identity != "" && Fingerprint(id.ID) != z.cfg.Identity:
		return fmt.Errorf("%w: the one at %s has the identity %s, and %s is wanted: check chroot, cluster and cluster-identity",
			ErrOtherCluster, z.home, Fingerprint(id.ID), z.cfg.Identity)
	case known != nil && *known != id.ID:
		return fmt.Errorf("%w: the one at %s was replaced, its identity is %s and was %s; restart this member to join it",
			ErrOtherCluster, z.home, Fingerprint(id.ID), Fingerprint(*known))
	}
	z.identity.Store(&id.ID)
	return nil
}

// complete makes folders of the cluster anew that somebody deleted. A State that was deleted is not made anew.
func (s *session) complete(ctx context.Context) error {
	z := s.z
	names, err := call(ctx, s, z.home, func(c *zk.Conn) ([]string, error) { names, _, err := c.Children(z.home); return names, err })
	if err != nil {
		return err
	}
	if !slices.Contains(names, "state") {
		return fmt.Errorf("%w: %s is missing in ZooKeeper; restore it, or delete all of %s to begin anew", ErrCorrupt, z.path("state"), z.home)
	}
	for _, name := range folders {
		if slices.Contains(names, name) {
			continue
		}
		if err := s.makeFolder(ctx, z.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// makeFolder creates a persistent znode without data, unless it is there.
func (s *session) makeFolder(ctx context.Context, path string) error {
	// Who may not create it may still see that it is there.
	there, err := s.isThere(ctx, path)
	if err != nil || there {
		return err
	}
	_, err = s.create(ctx, path, nil, 0)
	switch {
	case errors.Is(err, zk.ErrNodeExists):
		return nil
	case err == nil:
		s.z.mu.Lock()
		s.z.made = append(s.z.made, path)
		s.z.mu.Unlock()
	}
	return err
}

func (s *session) get(ctx context.Context, path string) ([]byte, *zk.Stat, error) {
	type znode struct {
		data []byte
		stat *zk.Stat
	}
	n, err := call(ctx, s, path, func(c *zk.Conn) (znode, error) {
		data, stat, err := c.Get(path)
		return znode{data, stat}, err
	})
	return n.data, n.stat, err
}

func (s *session) create(ctx context.Context, path string, data []byte, flags int32) (string, error) {
	return call(ctx, s, path, func(c *zk.Conn) (string, error) { return c.Create(path, data, flags, s.z.acl) })
}

// register enters this member into members and registry. It waits as long as another process has the same id: that
// one may be a predecessor that was killed, whose lease may not have ended; its znode goes after it has.
func (s *session) register(ctx context.Context) error {
	z := s.z
	path := z.path("members/" + z.cfg.ID)
	waiting := namesake{began: time.Now()}
	defer z.namesake.Store(nil)
	defer z.waits.Store(nil)
	for {
		data, number, _ := z.unwritten()
		var owner int64
		var there []byte
		err := s.insist(ctx, func() (err error) {
			if _, err = s.create(ctx, path, data, zk.FlagEphemeral); err == nil || !errors.Is(err, zk.ErrNodeExists) {
				return err
			}
			var stat *zk.Stat
			there, stat, err = s.get(ctx, path)
			if err == nil {
				owner = stat.EphemeralOwner
			}
			return err
		})
		switch {
		case errors.Is(err, zk.ErrNoNode): // gone between the two
			continue
		case err != nil:
			return err
		case owner == 0:
			z.noteWritten(data, number)
			return s.enlist(ctx)
		case owner == s.sessionID():
			// By an attempt whose answer was lost, perhaps with older data.
			z.forgetWritten()
			return s.enlist(ctx)
		}
		waiting.meets(z, there, owner, time.Now())
		z.opened()
		if err := rest(ctx, z.cfg.Heartbeat); err != nil {
			return err
		}
	}
}

// enlist enters this member into the registry of those that may have promised something, where it stays when its session
// ends. It does so in every session, before the first heartbeat; see lookFor.
func (s *session) enlist(ctx context.Context) error {
	z := s.z
	path := z.path("registry/" + z.cfg.ID)
	data, err := json.Marshal(Registration{ID: z.cfg.ID, Addr: z.cfg.Addr, Promise: z.ledger.most})
	if err != nil {
		return fmt.Errorf("topology: encode the registration: %w", err)
	}
	return s.insist(ctx, func() error {
		_, err := s.create(ctx, path, data, 0)
		if errors.Is(err, zk.ErrNodeExists) {
			if err := s.succeed(ctx, path); err != nil {
				return err
			}
			_, err = call(ctx, s, path, func(c *zk.Conn) (*zk.Stat, error) { return c.Set(path, data, -1) })
		}
		if err == nil {
			z.enlisted.Store(true)
		}
		return err
	})
}

// succeed takes note, when this process registers for the first time, that an earlier one of this member is registered
// still: it was killed, and what it had promised is not known.
func (s *session) succeed(ctx context.Context, path string) error {
	z := s.z
	if z.enlisted.Load() {
		return nil
	}
	data, _, err := s.get(ctx, path)
	if err != nil {
		return err
	}
	var before Registration
	if err := json.Unmarshal(data, &before); err != nil || before.Promise <= 0 {
		before.Promise = z.ledger.most
	}
	z.succeeds.Store(true)
	z.ledger.inherit(z.started.Add(before.Promise))
	return nil
}

// leave takes this member off the registry: it will promise nothing any more, and nothing is outstanding.
func (s *session) leave() {
	z := s.z
	if !z.enlisted.Load() {
		return
	}
	if !z.ledger.close(time.Now()) {
		z.cfg.Log.Info("this member stays in the registry, because it has promised not to lead and the promise has not ended")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	path := z.path("registry/" + z.cfg.ID)
	_, err := call(ctx, s, path, func(c *zk.Conn) (none, error) { return none{}, c.Delete(path, -1) })
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		z.cfg.Log.Warn("this member stays in the registry until the leader forgets it", "error", err)
	}
}

// sessionID is what znodes of this session have as their owner.
func (s *session) sessionID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// path is where a part of the cluster lies.
func (z *ZooKeeper) path(name string) string { return z.home + "/" + strings.TrimPrefix(name, "/") }
