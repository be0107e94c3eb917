package testcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that systems give to outgoing connections (32768 and up on Linux, 49152 and up
// elsewhere): a server that is down for a while must find its port free when it comes back.
const (
	firstPort = 20000
	lastPort  = 29999
)

// loopback is the only address that anything here listens on, but for what runs on a [Host].
const loopback = "127.0.0.1"

// ReservePort finds a free port of the loopback address and keeps every other process that uses this function away
// from it until release is called, whether or not something listens there. Use it for a server that is down at times,
// or not there at all.
func ReservePort() (port int, release func(), err error) {
	const attempts = 200
	for range attempts {
		port = firstPort + rand.IntN(lastPort-firstPort+1)
		release, err = lockPort(port)
		if err != nil {
			continue
		}
		var probe net.Listener
		if probe, err = net.Listen("tcp", address(port)); err == nil {
			if err = probe.Close(); err == nil {
				return port, release, nil
			}
		}
		release()
	}
	return 0, nil, fmt.Errorf("no free port between %d and %d after %d attempts: %w", firstPort, lastPort, attempts, err)
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
