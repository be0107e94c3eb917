package topology

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// makeRoot makes the folder for clusters, for one that may be founded: a chroot that was mistyped leaves nothing behind.
func (s *session) makeRoot(ctx context.Context) error {
	z := s.z
	for i, r := range z.root {
		if i > 0 && r == '/' {
			if err := s.makeFolder(ctx, z.root[:i]); err != nil {
				return err
			}
		}
	}
	return s.makeFolder(ctx, z.root)
}

// found founds the cluster: all of it or nothing. stat is that of an empty folder that is there already.
func (s *session) found(ctx context.Context, stat *zk.Stat) error {
	z := s.z
	if known := z.identity.Load(); known != nil {
		return z.gone()
	}
	if z.cfg.Identity != "" {
		return z.missing()
	}
	if z.cfg.MayFound != nil {
		if objection := z.cfg.MayFound(ctx); objection != nil {
			return s.joinLate(ctx, objection)
		}
	}
	if err := s.makeRoot(ctx); err != nil {
		return err
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("topology: make an identity: %w", err)
	}
	data, err := json.Marshal(identity{Format: Format, Cluster: z.cfg.Cluster, ID: hex.EncodeToString(random)})
	if err != nil {
		return fmt.Errorf("topology: encode the identity: %w", err)
	}
	var ops []any
	if stat == nil {
		ops = append(ops, &zk.CreateRequest{Path: z.home, Data: data, Acl: z.acl})
	} else {
		ops = append(ops, &zk.SetDataRequest{Path: z.home, Data: data, Version: stat.Version})
	}
	// The State begins empty, so that its version is never 0 when there is one.
	for _, name := range append([]string{"state"}, folders...) {
		ops = append(ops, &zk.CreateRequest{Path: z.path(name), Acl: z.acl})
	}
	_, err = call(ctx, s, z.home, func(c *zk.Conn) (none, error) { _, err := c.Multi(ops...); return none{}, err })
	switch {
	case err == nil:
		z.founded.Store(true)
		z.cfg.Log.Info("cluster founded in ZooKeeper", "path", z.home)
	case errors.Is(err, zk.ErrNodeExists), errors.Is(err, zk.ErrBadVersion), interrupted(err):
		// Somebody else was faster, or perhaps it was this member.
	default:
		return err
	}
	data, _, err = s.get(ctx, z.home)
	if err != nil {
		return err
	}
	return s.recognise(data)
}

// unfound takes back the cluster that this process has founded, all of it or nothing: it stays where there is a State, or a
// znode of another member. A root that was made for it goes, too, if nothing else lies there.
func (s *session) unfound() {
	z := s.z
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	names := append([]string{"state"}, folders...)
	if candidate := s.candidate.Load(); candidate != nil {
		names = append([]string{strings.TrimPrefix(*candidate, z.home+"/")}, names...)
	}
	if there, err := s.isThere(ctx, z.path("members/"+z.cfg.ID)); err == nil && there {
		names = append([]string{"members/" + z.cfg.ID}, names...)
	}
	var ops []any
	for _, name := range names {
		version := int32(-1)
		if name == "state" {
			version = 0 // nobody has written one
		}
		ops = append(ops, &zk.DeleteRequest{Path: z.path(name), Version: version})
	}
	ops = append(ops, &zk.DeleteRequest{Path: z.home, Version: -1})
	_, err := call(ctx, s, z.home, func(c *zk.Conn) (none, error) { _, err := c.Multi(ops...); return none{}, err })
	if err != nil {
		z.cfg.Log.Debug("the cluster that was founded stays", "path", z.home, "reason", err)
		return
	}
	z.cfg.Log.Info("the cluster that was founded is taken back, because nobody has used it", "path", z.home)
	z.mu.Lock()
	made := slices.DeleteFunc(slices.Clone(z.made), func(path string) bool { return strings.HasPrefix(path, z.home) })
	z.mu.Unlock()
	for _, path := range slices.Backward(made) {
		if _, err := call(ctx, s, path, func(c *zk.Conn) (none, error) { return none{}, c.Delete(path, -1) }); err != nil {
			return // somebody else uses it
		}
	}
}

// missing is the error of a member that looks for a certain cluster where there is none.
func (z *ZooKeeper) missing() error {
	return fmt.Errorf("%w: there is none at %s, and the one with the identity %s is wanted: check chroot, cluster and cluster-identity",
		ErrOtherCluster, z.home, z.cfg.Identity)
}

// gone is the error of a member whose cluster is not in ZooKeeper any more.
func (z *ZooKeeper) gone() error {
	return fmt.Errorf("%w: %s is gone from ZooKeeper, with its State; restore it, or stop all members and start them again to found a new one", ErrOtherCluster, z.home)
}

// joinLate joins the cluster that was founded while this member was about to found one: those that it has met are of that.
// Where there is still none, they are of another one, which is the objection.
func (s *session) joinLate(ctx context.Context, objection error) error {
	z := s.z
	if _, err := call(ctx, s, z.home, func(c *zk.Conn) (string, error) { return c.Sync(z.home) }); err != nil {
		return err
	}
	data, _, err := s.get(ctx, z.home)
	switch {
	case errors.Is(err, zk.ErrNoNode), err == nil && len(data) == 0:
		return fmt.Errorf("%w: there is none at %s, and %w", ErrOtherCluster, z.home, objection)
	case err != nil:
		return err
	}
	return s.recognise(data)
}
