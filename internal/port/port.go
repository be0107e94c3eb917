// Package port knows which addresses have a port.
package port

import (
	"net"
	"strconv"
)

// Of returns the port of host:port, and whether there is one from 0 to 65535. 0 stands for any port that is free, which is
// of use where one listens and nowhere else.
func Of(addr string) (number int, ok bool) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil
}

// Reachable reports whether addr is a host:port that can be connected to.
func Reachable(addr string) bool {
	n, ok := Of(addr)
	return ok && n > 0
}
