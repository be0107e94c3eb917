package agreement

import "syscall"

// childAttributes makes the kernel kill a process when this one dies, as it does when a test runs out of time.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
