//go:build unix && !linux

package testcluster

import "syscall"

// childAttributes puts the child into a process group of its own, so that Ctrl-C in a terminal reaches only this
// process, which then stops its children in order. A child outlives this process if that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
