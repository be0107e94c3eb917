//go:build !linux

package testcluster

import (
	"fmt"
	"sync"
)

var claimed sync.Map // of port numbers

// lockPort claims a port within this process, which is all that can be had without leaving files behind.
func lockPort(port int) (release func(), err error) {
	if _, taken := claimed.LoadOrStore(port, nil); taken {
		return nil, fmt.Errorf("port %d is in use by this process", port)
	}
	return sync.OnceFunc(func() { claimed.Delete(port) }), nil
}
