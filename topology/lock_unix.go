//go:build unix

package topology

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes the lock at path for this process, until the file is closed or the process ends. It is a file of its
// own, because the State's file is replaced with every change and a lock goes with the file and not with its name.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := lockOnce(path)
		if err != nil {
			return nil, err
		}
		// A process that withdraws removes the file while it holds the lock: what was opened before is no lock any more.
		held, err := f.Stat()
		named, gone := os.Stat(path)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("topology: lock %s: %w", path, err), f.Close())
		case gone == nil && os.SameFile(held, named):
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("topology: lock %s: %w", path, err)
		}
	}
}

func lockOnce(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("topology: lock the state: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("topology: another Understudy process uses this state (%s is locked); give each process a file of its own", path)
	case err != nil:
		err = fmt.Errorf("topology: lock %s: %w", path, err)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}
