package testcluster

import "syscall"

// childAttributes puts the child into a process group of its own, so that Ctrl-C in a terminal reaches only this
// process, which then stops its children in order; and makes the kernel kill the child when this process dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
