//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

// CPU times of other processes come from Linux; without them there is nothing worth comparing.
var errNotLinux = errors.New("the comparison runs on Linux only")

func childAttributes() *syscall.SysProcAttr { return nil }
func cpuTime(int) (time.Duration, error)    { return 0, errNotLinux }
func allowManyDescriptors() error           { return errNotLinux }
