//go:build !unix

package main

import (
	"log/slog"

	"github.com/understudy/understudy/proxy"
)

// fitDescriptors has nothing to do where there is no limit of open files.
func fitDescriptors(*proxy.Config, *slog.Logger) error { return nil }
