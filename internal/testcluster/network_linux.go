package testcluster

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it ends when nothing holds it any more, so none outlives the
// process that made it.
type namespace struct{ file *os.File }

const currentNamespace = "/proc/thread-self/ns/net"

// newNamespace makes one.
func newNamespace() (*namespace, error) {
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		// The thread is never unlocked: it is in a network where nobody else may run, and ends with its goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: fmt.Errorf("unshare: %w", err)}
			return
		}
		file, err := os.Open(currentNamespace)
		made <- result{file, err}
	}()
	r := <-made
	if r.err != nil {
		return nil, r.err
	}
	return &namespace{r.file}, nil
}

// path names the namespace for other processes.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// enter calls f on a thread that is in the namespace.
func (n *namespace) enter(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(currentNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("setns: %w", err)
	}
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) != nil {
			return // a thread that cannot come back stays locked, and ends with its goroutine
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

func (n *namespace) close() error { return n.file.Close() }
