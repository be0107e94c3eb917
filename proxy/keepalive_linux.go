package proxy

import (
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
