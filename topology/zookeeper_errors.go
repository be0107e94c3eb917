package topology

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/go-zookeeper/zk"
)

var (
	// ErrUnreachable means that no ZooKeeper server serves this member now. What was asked for may or may not have
	// been done.
	ErrUnreachable = errors.New("topology: ZooKeeper cannot be reached")
	// ErrDenied means that an ACL of ZooKeeper does not let this member do what it must.
	ErrDenied = errors.New("topology: ZooKeeper denies access")
	// ErrOtherCluster means that what lies in ZooKeeper belongs to another cluster, or to no Understudy.
	ErrOtherCluster = errors.New("topology: this is another cluster")
	// ErrWentBack means that ZooKeeper has lost what it had confirmed, as after a restore from a backup.
	ErrWentBack = errors.New("topology: ZooKeeper has forgotten what it had confirmed")
	// ErrSessionTooShort means that ZooKeeper grants so short a session that no lease fits into it.
	ErrSessionTooShort = errors.New("topology: the session of ZooKeeper is too short")
)

// What happens to a session; its member begins another one.
var (
	errSessionOver    = errors.New("topology: the session with ZooKeeper is over")
	errSessionExpired = fmt.Errorf("%w: it expired", errSessionOver)
	errZnodeGone      = fmt.Errorf("%w: a znode of this member was deleted by somebody else", errSessionOver)
	errNotResumed     = fmt.Errorf("%w: the servers grant other sessions and do not know this one", errSessionOver)
	errLibraryStuck   = fmt.Errorf("%w: the client library does not try to reconnect", errSessionOver)
)

// refused reports whether err cannot go away by itself soon: somebody must change something.
func refused(err error) bool {
	for _, e := range []error{ErrDenied, ErrOtherCluster, ErrWentBack, ErrSessionTooShort, ErrNewerFormat, ErrCorrupt} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// interrupted reports whether err says nothing about what was asked for, only that the answer did not arrive.
func interrupted(err error) bool { return errors.Is(err, ErrUnreachable) }

// explain turns an error of the library about path into one of ours where callers distinguish it, or where a user
// needs more words. Those of single operations (no node, node exists, bad version) stay as they are.
func explain(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrAuthFailed):
		return fmt.Errorf("%w to %s: check user and password, and who the ACL of that znode lets in", ErrDenied, path)
	case errors.Is(err, zk.ErrSessionExpired):
		return errSessionExpired
	case errors.Is(err, zk.ErrConnectionClosed), errors.Is(err, zk.ErrClosing), errors.Is(err, zk.ErrNoServer), errors.Is(err, zk.ErrSessionMoved):
		return fmt.Errorf("%w (%w)", ErrUnreachable, err)
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNodeExists), errors.Is(err, zk.ErrBadVersion):
		return err
	}
	// The library passes on what writing to the connection gave.
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	return fmt.Errorf("topology: ZooKeeper, %s: %w", path, err)
}
