//go:build unix

package testcluster

import (
	"errors"
	"os"
	"syscall"
)

// signalGroup signals the child's whole process group: a server that is killed or paused takes along the child that
// is saving its data, as the loss of its machine would.
func signalGroup(p *os.Process, signal syscall.Signal) error {
	err := syscall.Kill(-p.Pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func killGroup(p *os.Process) error   { return signalGroup(p, syscall.SIGKILL) }
func pauseGroup(p *os.Process) error  { return signalGroup(p, syscall.SIGSTOP) }
func resumeGroup(p *os.Process) error { return signalGroup(p, syscall.SIGCONT) }

// terminate asks the child to end in order. A paused one has to run to hear of it.
func terminate(p *os.Process) error {
	return errors.Join(p.Signal(syscall.SIGTERM), resumeGroup(p))
}
