package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/understudy/understudy/internal/demo"
	"github.com/understudy/understudy/internal/testcluster"
)

// What the demonstration's members are called.
var demoMembers = []string{"a", "b"}

// showMembers plays with two Understudys in front of the nodes of d, each of which is a process of its own: killing one
// is as real as it gets.
func (c *demoCommand) showMembers(ctx context.Context, d *demo.Demo, s *streams) error {
	addrs, release, err := c.addresses()
	if err != nil {
		return explainListen(err, "--port")
	}
	defer release()
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to run it twice: %w", err)
	}
	var members []demo.Member
	for i, id := range demoMembers {
		// In this time ZooKeeper notices the death of the one that leads.
		args := []string{"--nodes", strings.Join(d.Nodes(), ","), "--listen", addrs[i], "--cluster", "demo", "--id", id, "--zookeeper", d.ZooKeeper(),
			"--zookeeper-tick", demo.Tick.String(), "--zookeeper-session-timeout", "3s", "--zookeeper-heartbeat", "200ms"}
		if _, err := defaultOptions(args...); err != nil {
			return err
		}
		members = append(members, demo.Member{ID: id, Addr: addrs[i], Args: append([]string{"run"}, args...)})
	}
	if err := d.StartMembers(ctx, program, members); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	c.introduceMembers(s.out, d, addrs)
	return d.Play(ctx, demo.Show{Addrs: addrs, Out: s.out, Color: colored(s.out), Chaos: c.Chaos})
}

// addresses finds an address for each member, which nobody else of this package's kind takes until release is called.
func (c *demoCommand) addresses() (addrs []string, release func(), err error) {
	first := c.Port
	if first == 0 {
		first = demoPort
	}
	for i := range demoMembers {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+i))
		ln, listenErr := net.Listen("tcp", addr)
		if listenErr != nil {
			err = listenError{listenErr}
			break
		}
		if err = ln.Close(); err != nil {
			break
		}
		addrs = append(addrs, addr)
	}
	if c.Port == 0 && errors.Is(err, syscall.EADDRINUSE) {
		return reserveAddresses()
	}
	return addrs, func() {}, err
}

// reserveAddresses finds any that are free.
func reserveAddresses() (addrs []string, release func(), err error) {
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	for range demoMembers {
		port, giveBack, err := testcluster.ReservePort()
		if err != nil {
			release()
			return nil, nil, err
		}
		releases = append(releases, giveBack)
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return addrs, release, nil
}

// introduceMembers says what can be done with the demonstration, and how it counts.
func (c *demoCommand) introduceMembers(out io.Writer, d *demo.Demo, addrs []string) {
	var ports []string
	for _, addr := range addrs {
		_, port, _ := strings.Cut(addr, ":") // an address of IPv4
		ports = append(ports, port)
	}
	pids := d.MemberPids()
	fmt.Fprintf(out, `
A master and two replicas behind two Understudys that agree through ZooKeeper %[4]s:

  connect   redis-cli -p %[1]s   or   redis-cli -p %[2]s
  look      %[3]s members --addr :%[1]s
            %[3]s events --addr :%[1]s
  change    %[3]s failover --addr :%[1]s
`, ports[0], ports[1], os.Args[0], d.ZooKeeper())
	if !c.Chaos {
		fmt.Fprintf(out, "  kill      kill -9 %d    (the master)\n            kill -9 %d    (the Understudy on :%s)\n            kill -9 %d    (the one on :%s; what dies is restarted some seconds later)\n",
			d.MasterPid(), pids[0], ports[0], pids[1], ports[1])
	}
	fmt.Fprintf(out, `  log       tail -f %s
  stop      Ctrl-C

Half of the clients here use the one Understudy and half the other, as applications use their sidecars. When theirs
dies, they go on with the other one until it is back. A connection that ends in this way is counted as moved and not as
an error, and a write that was under way on it as one with unknown result.

`, strings.Join(d.MemberLogs(), " "))
}
