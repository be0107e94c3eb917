package proxy

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive makes the connections accepted on a TCP socket probe a silent peer every d, and give it up after three
// probes, as Redis does. They inherit it from the listening socket, which costs no system call for each.
func keepAlive(raw syscall.RawConn, d time.Duration) error {
	seconds := max(1, int(d.Seconds()))
	var failure error
	err := raw.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(1, seconds/3)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		} {
			if e := unix.SetsockoptInt(int(fd), o.level, o.name, o.value); e != nil {
				failure = e
			}
		}
	})
	if err != nil {
		return err
	}
	return failure
}

// giveUpSilent makes a connection to a node end when the node's host has acknowledged nothing of what was sent for d.
// The host of a server that is busy, or stopped, acknowledges; so this is for a network that loses everything between
// this process and a node that others reach, and that nobody replaces therefore. TCP itself would go on for a quarter of
// an hour, and so long clients would wait for answers to what they had sent.
func giveUpSilent(raw syscall.RawConn, d time.Duration) error {
	var failure error
	err := raw.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	return errors.Join(err, failure)
}
