//go:build !linux

package agreement

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
