package topology

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/go-zookeeper/zk"
)

// errSeen ends the session of one that only looks.
var errSeen = errors.New("topology: everything has been seen")

// LookAtZooKeeper tells what a member of this configuration would find, and leaves everything as it is. It returns the
// Fingerprint of the cluster, "" if there is none yet, or the error with which OpenZooKeeper would end.
func LookAtZooKeeper(ctx context.Context, cfg ZooKeeperConfig) (identity string, err error) {
	z, err := newZooKeeper(cfg)
	if err != nil {
		return "", err
	}
	defer z.cancel()
	z.looks = true
	over := make(chan error, 1)
	z.running.Go(func() { over <- z.runSession(z.ctx) })
	limit := time.NewTimer(openLimit)
	defer limit.Stop()
	select {
	case err = <-over:
	case <-limit.C:
		err = z.unreachable(openLimit.String())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	z.cancel()
	z.running.Wait()
	if !errors.Is(err, errSeen) {
		return "", err
	}
	if known := z.identity.Load(); known != nil {
		identity = Fingerprint(*known)
	}
	return identity, nil
}

// survey goes through what enter does, up to where that would write something.
func (s *session) survey(ctx context.Context) error {
	z := s.z
	data, stat, err := s.get(ctx, z.home)
	switch {
	case errors.Is(err, zk.ErrNoNode) && z.cfg.Identity != "":
		return z.missing()
	case errors.Is(err, zk.ErrNoNode):
		folder, err := s.nearest(ctx, z.root)
		if err != nil {
			return err
		}
		return s.tryToCreateIn(ctx, folder)
	case err != nil:
		return err
	case len(data) == 0 && stat.NumChildren == 0:
		return s.tryToCreateIn(ctx, z.home)
	}
	if err := s.recognise(data); err != nil {
		return err
	}
	return s.tryToCreateIn(ctx, z.path("members"))
}

// nearest returns the folder that is there and under which this one would be made.
func (s *session) nearest(ctx context.Context, folder string) (string, error) {
	for folder != "/" {
		there, err := s.isThere(ctx, folder)
		if err != nil || there {
			return folder, err
		}
		folder = path.Dir(folder)
	}
	return folder, nil
}

// tryToCreateIn finds out whether a znode may be made in a folder, in a transaction that cannot succeed.
func (s *session) tryToCreateIn(ctx context.Context, folder string) error {
	name := path.Join(folder, "understudy-check")
	_, err := call(ctx, s, folder, func(c *zk.Conn) (none, error) {
		_, err := c.Multi(&zk.CreateRequest{Path: name, Acl: s.z.acl}, &zk.CheckVersionRequest{Path: name + "/nothing", Version: 0})
		return none{}, err
	})
	if err == nil {
		return fmt.Errorf("topology: ZooKeeper has found %s, which nobody has made", name+"/nothing")
	}
	if errors.Is(err, zk.ErrNoNode) {
		return errSeen // the first part was allowed, and the second one has undone it
	}
	return err
}
