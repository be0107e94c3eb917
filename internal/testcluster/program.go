package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const programLog = "program.log"

// ProgramOptions say how a program is started.
type ProgramOptions struct {
	Path string   // of the executable
	Args []string // without its name
	Env  []string // NAME=value
	Dir  string   // its working directory, which also gets the log; it is made if it is not there

	// Ready returns nil once the program does what it was started for. It is called often.
	Ready func() error
}

// Program is a process that is none of the servers of this package, an Understudy for instance, running or not. The
// methods may be called by several goroutines; those that start or end the process wait for each other.
type Program struct {
	server

	opts ProgramOptions
}

// StartProgram starts a program and returns when it is ready. ctx limits the start (20 s at most), not the program's
// life. The error holds the tail of its log.
func StartProgram(ctx context.Context, opts ProgramOptions) (*Program, error) {
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, err
	}
	p := &Program{opts: opts}
	return p, p.start(ctx)
}

// start runs the program and waits until it is ready. The caller holds mu, or is the only one who knows p.
func (p *Program) start(ctx context.Context) error {
	cmd := exec.Command(p.opts.Path, p.opts.Args...)
	cmd.Env, cmd.Dir = p.opts.Env, p.opts.Dir
	proc, err := startProcess(nil, cmd, p.Log(), nil)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.opts.Path, err)
	}
	p.proc = proc
	if err := proc.await(ctx, filepath.Base(p.opts.Path)+" to be ready", p.opts.Ready); err != nil {
		return fmt.Errorf("%w\n%s", errors.Join(err, proc.kill()), p.LogTail())
	}
	return nil
}

// Restart starts the program again, after stopping it if it runs. It returns as StartProgram does.
func (p *Program) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.proc.stop(); err != nil {
		return err
	}
	return p.start(ctx)
}

// Log is the path of what the program prints.
func (p *Program) Log() string { return filepath.Join(p.opts.Dir, programLog) }

// LogTail gives the last lines of the log under a heading that names it.
func (p *Program) LogTail() string {
	return "--- log of " + p.opts.Path + ":\n" + logTail(p.Log(), tailLines)
}
