//go:build !linux

package proxy

import (
	"syscall"
	"time"
)

// giveUpSilent leaves it to the system's own, longer limits.
func giveUpSilent(syscall.RawConn, time.Duration) error { return nil }

// keepAlive leaves it to net.ListenConfig, whose listeners set it on each connection that they accept.
func keepAlive(syscall.RawConn, time.Duration) error { return nil }
