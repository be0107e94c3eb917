package testcluster

import "sync"

// server is what everything that is started here can be made to do while it runs, or when it does not. What starts the
// process, and the methods that end it, hold mu and so wait for each other.
type server struct {
	mu   sync.Mutex
	proc *process // what runs now, or ran last
}

func (s *server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// Pid is the process id of the running server, or of the last one if it is not running.
func (s *server) Pid() int { return s.process().pid() }

// Running says whether the process exists; a paused one does.
func (s *server) Running() bool { return s.process().running() }

// Kill ends the server at once (SIGKILL), as a crash of its machine would but for the resets that its connections
// get, and waits until it is gone. Killing one that is not running does nothing.
func (s *server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.kill()
}

// Stop ends the server in order (SIGTERM), also if it is paused, and waits until it is gone; one that takes more than
// 3 s is killed. Ports and folder stay reserved for Restart.
func (s *server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.stop()
}

// Pause stops the server's execution (SIGSTOP): connections stay open, new ones are accepted by the kernel, nothing
// is answered.
func (s *server) Pause() error { return s.process().pause() }

// Resume lets a paused server run on (SIGCONT).
func (s *server) Resume() error { return s.process().resume() }
