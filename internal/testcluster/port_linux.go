package testcluster

import (
	"net"
	"strconv"
	"sync"
)

// lockPort claims a port among all processes of this network namespace. The claim is a socket in the abstract
// namespace: it has no file, and the kernel drops it with the process.
func lockPort(port int) (release func(), err error) {
	claim, err := net.Listen("unix", "@understudy-testcluster-"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { _ = claim.Close() }), nil
}
