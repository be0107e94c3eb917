//go:build unix && !freebsd && !dragonfly

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
	room, err := clientsThatFit(uint64(limit.Cur), cfg.MaxClients)
	if err != nil {
		return err
	}
	if room < cfg.MaxClients {
		log.Warn("maxclients lowered: the limit of open files leaves no room for more", "maxclients", room, "configured", cfg.MaxClients,
			"open_files", limit.Cur)
		cfg.MaxClients = room
	}
	return nil
}

// clientsThatFit returns how many clients, up to want, there can be with so many descriptors.
func clientsThatFit(descriptors uint64, want int) (int, error) {
	if descriptors <= reservedDescriptors {
		return 0, fmt.Errorf("this process may open %d files and needs %d besides those of its clients: raise the limit (ulimit -n)",
			descriptors, reservedDescriptors)
	}
	return int(min(descriptors-reservedDescriptors, uint64(want))), nil
}
