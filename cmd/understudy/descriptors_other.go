//go:build !unix || freebsd || dragonfly

package main

import (
	"log/slog"

	"github.com/understudy/understudy/proxy"
)

// fitDescriptors leaves the limit of open files, if this system has one, as it is.
func fitDescriptors(*proxy.Config, *slog.Logger) error { return nil }
