package main

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childAttributes puts the child into a process group of its own and makes the kernel kill it when this process dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// cpuTime is the CPU time that a process has used so far, in user mode and in the kernel, with all threads that it has
// or had. It is what clock_getcpuclockid(3) reads: exact to the nanosecond, where /proc counts in hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED of a whole process
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &used); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// allowManyDescriptors raises the limit of open files for the children: a thousand clients are two thousand sockets.
// (Go has raised this process's own limit, and gives children the original one unless it is set explicitly.)
func allowManyDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	const enough = 8192
	if limit.Max < enough {
		return fmt.Errorf("the limit of open files is %d and %d are needed: raise it with ulimit -Hn", limit.Max, enough)
	}
	limit.Cur = enough
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
