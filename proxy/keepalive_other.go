//go:build !linux

package proxy

import (
	"syscall"
	"time"
)

// keepAlive leaves it to net.ListenConfig, whose listeners set it on each connection that they accept.
func keepAlive(syscall.RawConn, time.Duration) error { return nil }
