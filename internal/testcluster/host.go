package testcluster

import (
	"context"
	"net"
	"os/exec"
	"strings"
)

// Host is a machine of its own on a [Network], where servers may run. A nil Host is the loopback interface of this
// machine.
type Host struct {
	IP string // the only address that it has for others

	space *namespace
}

// ip is the address to which a server on this host binds.
func (h *Host) ip() string {
	if h == nil {
		return loopback
	}
	return h.IP
}

// Dial opens a connection from this host.
func (h *Host) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = h.Enter(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Enter calls f on a thread that has this host's network: what f connects, listens on, or starts belongs to the host
// for good. Goroutines that f starts do not.
func (h *Host) Enter(f func() error) error {
	if h == nil {
		return f()
	}
	return h.space.enter(f)
}

// run runs a program on this host and returns what it printed, as an error, if it failed.
func (h *Host) run(input string, name string, args ...string) error {
	return h.Enter(func() error {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(input)
		cmd.SysProcAttr = childAttributes()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return &runError{program: name, input: input, output: strings.TrimSpace(string(out)), err: err}
		}
		return nil
	})
}

// runError is the failure of a program that was given commands.
type runError struct {
	program, input, output string
	err                    error
}

func (e *runError) Error() string {
	return e.program + " did not do " + strings.Join(strings.Split(strings.TrimSpace(e.input), "\n"), "; ") + ": " + e.output + " (" + e.err.Error() + ")"
}

func (e *runError) Unwrap() error { return e.err }
