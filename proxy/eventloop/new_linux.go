package eventloop

// New returns the fastest loop of this system: here, the epoll driver. It fails when the process has no descriptors left.
func New() (Loop, error) { return NewEpoll() }
