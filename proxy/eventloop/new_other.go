//go:build !linux

package eventloop

// New returns the fastest loop of this system: here, the net driver. It does not fail.
func New() (Loop, error) { return NewNet() }
