//go:build !unix

package testcluster

import (
	"errors"
	"os"
	"syscall"
)

// Systems without signals can end a child, not pause it.

func childAttributes() *syscall.SysProcAttr { return nil }
func killGroup(p *os.Process) error         { return p.Kill() }
func terminate(p *os.Process) error         { return p.Kill() }
func pauseGroup(*os.Process) error          { return errors.ErrUnsupported }
func resumeGroup(*os.Process) error         { return errors.ErrUnsupported }
