//go:build unix

package main

import (
	"fmt"
	"log/slog"
	"syscall"

	"github.com/understudy/understudy/proxy"
)

// reservedDescriptors are for everything but clients: listeners, lanes, the monitor's connections, files.
const reservedDescriptors = 256

// fitDescriptors gets this process as many descriptors as the clients of cfg may need, or lowers the number of clients
// to what there is, as redis-server does.
func fitDescriptors(cfg *proxy.Config, log *slog.Logger) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	// Each client may need a connection of its own to the master: a transaction, a blocking command, a subscription.
	if want := uint64(2*cfg.MaxClients + reservedDescriptors); limit.Cur < want {
		raised := syscall.Rlimit{Cur: want, Max: max(want, limit.Max)}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) != nil {
			// Only root may go above the hard limit; up to it everybody may.
			raised = syscall.Rlimit{Cur: min(want, limit.Max), Max: limit.Max}
			if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) != nil {
				raised = limit
			}
		}
		limit = raised
	}
	room := int64(limit.Cur) - reservedDescriptors
	switch {
	case limit.Cur > 1<<30 || room >= int64(cfg.MaxClients):
		return nil
	case room < 1:
		return fmt.Errorf("this process may open %d files only and needs %d besides its clients: raise the limit (ulimit -n)",
			limit.Cur, reservedDescriptors)
	}
	log.Warn("maxclients lowered: the limit of open files leaves no room for more", "maxclients", room, "configured", cfg.MaxClients,
		"open_files", limit.Cur)
	cfg.MaxClients = int(room)
	return nil
}
