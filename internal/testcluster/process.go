package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// startLimit is how long a server may take to be ready when the caller's context has no earlier end.
const startLimit = 90 * time.Second

// stopGrace is how long a server may take to end after SIGTERM before it is killed. Redis with a paused replica waits
// for it much longer (shutdown-timeout, 10 s), which no test wants.
const stopGrace = 3 * time.Second

// process is one child, from its start until it has been reaped. Its methods may be called by several goroutines.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child has been reaped
}

// startProcess starts cmd on a host, in a process group of its own, with its output appended to the file logPath and
// copied to extra if that is not nil.
func startProcess(host *Host, cmd *exec.Cmd, logPath string, extra io.Writer) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout = log
	if extra != nil {
		cmd.Stdout = io.MultiWriter(log, extra)
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = childAttributes()
	// With a writer that is no file, Wait also waits for the end of the output, and a forked child of the server
	// (saving its data) may hold it open.
	cmd.WaitDelay = time.Second

	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that forked ends, so the goroutine that forks
		// keeps its thread until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		running := false
		err := host.Enter(func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			running = true
			started <- nil
			// How it ended can be read from its log; a killed server "fails" as it was asked to.
			_ = cmd.Wait()
			close(p.done)
			return nil
		})
		if !running {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// await polls until a child that was just started is ready. It gives up when the child ends, when ctx ends, or after
// startLimit.
func (p *process) await(ctx context.Context, what string, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ctx, ended := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-p.done:
			ended(errors.New("the process ended"))
		case <-ctx.Done():
		}
	})
	defer watch.Wait()
	defer ended(nil)
	return Poll(ctx, what, ready)
}

// kill ends the child and whatever it forked, at once, and waits until it has been reaped. Killing what has ended is
// no error.
func (p *process) kill() error {
	if !p.running() {
		return nil
	}
	if err := killGroup(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s, process %d: %w", p.cmd.Path, p.pid(), err)
	}
	<-p.done
	return nil
}

// stop asks the child to end, also if it is paused, and kills it when it has not done so within stopGrace.
func (p *process) stop() error {
	if !p.running() {
		return nil
	}
	if err := terminate(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s, process %d: %w", p.cmd.Path, p.pid(), err)
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
		return p.kill()
	}
}

// pause stops the child's execution; its sockets stay open and the kernel still accepts connections for it.
func (p *process) pause() error {
	if err := pauseGroup(p.cmd.Process); err != nil {
		return fmt.Errorf("pause %s, process %d: %w", p.cmd.Path, p.pid(), err)
	}
	return nil
}

func (p *process) resume() error {
	if err := resumeGroup(p.cmd.Process); err != nil {
		return fmt.Errorf("resume %s, process %d: %w", p.cmd.Path, p.pid(), err)
	}
	return nil
}
