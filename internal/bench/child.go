package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopGrace is how long a proxy may take to end when it is asked to.
const stopGrace = 3 * time.Second

// child is a proxy's process, from its start until it has been reaped.
type child struct {
	cmd  *exec.Cmd
	log  string // path of what it prints
	done chan struct{}
}

// startChild starts cmd with its output in the file log. The child gets a process group of its own, so that Ctrl-C
// reaches this program only, which then ends its children in order.
func startChild(cmd *exec.Cmd, log string) (*child, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	c := &child{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(c.done)
		defer file.Close()
		bindToThread(cmd, started)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// runChild runs cmd to its end, like cmd.Run, with the attributes of a child.
func runChild(cmd *exec.Cmd) error {
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() { ended <- bindToThread(cmd, started) }()
	if err := <-started; err != nil {
		return err
	}
	return <-ended
}

// bindToThread starts cmd, says on started how that went, and waits for its end, all on one thread: the kernel ends a
// child when the thread that started it is gone (childAttributes), so the thread must be there until then.
func bindToThread(cmd *exec.Cmd, started chan<- error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = childAttributes()
	err := cmd.Start()
	started <- err
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// stop ends the child and waits until it is gone. Stopping one that has ended does nothing.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s, process %d: %w", c.cmd.Path, c.cmd.Process.Pid, err)
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-c.done:
		return nil
	case <-grace.C:
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s, process %d: %w", c.cmd.Path, c.cmd.Process.Pid, err)
	}
	<-c.done
	return nil
}

// ended reports whether the child is gone.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// printed is the end of what the child has printed, for messages about one that failed.
func (c *child) printed() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error() + "\n"
	}
	return tail(text)
}
