package testcluster

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrNoNetwork means that this machine, or this user, cannot have networks of its own.
var ErrNoNetwork = errors.New("no network namespaces (on Linux they need root and the program ip: apt-get install iproute2)")

// nobody is a link address that no host has: what is sent to it is lost without a word.
const nobody = "02:00:00:00:00:01"

// Network is a switch with hosts that reach each other and nothing else: network namespaces of the kernel, which
// disappear with this process. What is cut is lost as packets are: connections stay open, senders repeat what they
// sent, and new connections are not refused but never made. The methods may not be called at the same time.
type Network struct {
	wires *Host // where the switch is; it has no address
	hosts []*Host
}

// ipProgram is the program ip, which is in no folder of an ordinary user's PATH on some systems.
func ipProgram() string {
	for _, path := range []string{"ip", "/usr/sbin/ip", "/sbin/ip"} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return "ip"
}

// StartNetwork makes a network without hosts. The error wraps [ErrNoNetwork] where that is not possible.
func StartNetwork() (*Network, error) {
	space, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNetwork, err)
	}
	n := &Network{wires: &Host{space: space}}
	if err := n.wires.run("link add switch type bridge\nlink set switch up\n", ipProgram(), "-batch", "-"); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoNetwork, err), n.Close())
	}
	return n, nil
}

// Host adds a host.
func (n *Network) Host() (*Host, error) {
	space, err := newNamespace()
	if err != nil {
		return nil, err
	}
	number := len(n.hosts) + 1
	// An address from those that are for documentation: nobody has it.
	h := &Host{IP: fmt.Sprintf("198.51.100.%d", number), space: space}
	n.hosts = append(n.hosts, h)
	port := fmt.Sprintf("port%d", number)
	plug := fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %s master switch up\n", port, space.path(), port)
	if err := n.wires.run(plug, ipProgram(), "-batch", "-"); err != nil {
		return nil, err
	}
	return h, h.run(fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n", h.IP), ipProgram(), "-batch", "-")
}

// Cut loses all packets between a host of a and one of b, both ways, from now on until Heal.
func (n *Network) Cut(a, b []*Host) error {
	return n.between(a, b, "neigh replace %s lladdr "+nobody+" dev eth0 nud permanent\n")
}

// Heal undoes Cut for the same hosts.
func (n *Network) Heal(a, b []*Host) error { return n.between(a, b, "neigh del %s dev eth0\n") }

// between has every host of a and of b carry out a command about each of the other side.
func (n *Network) between(a, b []*Host, command string) error {
	var failures []error
	for _, side := range [][2][]*Host{{a, b}, {b, a}} {
		for _, h := range side[0] {
			var commands strings.Builder
			for _, other := range side[1] {
				fmt.Fprintf(&commands, command, other.IP)
			}
			failures = append(failures, h.run(commands.String(), ipProgram(), "-batch", "-"))
		}
	}
	return errors.Join(failures...)
}

// Close takes the network apart. What still runs on its hosts loses it.
func (n *Network) Close() error {
	failures := []error{n.wires.space.close()}
	for _, h := range n.hosts {
		failures = append(failures, h.space.close())
	}
	return errors.Join(failures...)
}
