package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/understudy/understudy/internal/demo"
)

// demoPort is where the demonstration listens if nobody else does.
const demoPort = 6380

type demoCommand struct {
	Chaos     bool          `env:"-" help:"Kill the master every ten seconds; with --zookeeper every other time the Understudy that leads instead."`
	Zookeeper bool          `env:"-" help:"Start a ZooKeeper server and two Understudys that agree through it, each a process of its own."`
	For       time.Duration `env:"-" placeholder:"DURATION" help:"End after this time; without it, on Ctrl-C."`
	Port      int           `env:"-" help:"Port for clients; without it 6380 if that is free, else any that is. The second Understudy has the next port."`
}

// Run shows the demonstration until ctx ends or its time is over, and leaves nothing behind.
func (c *demoCommand) Run(ctx context.Context, s *streams) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // its terminal was closed: nothing is to be left behind
	defer stop()
	last := 65535
	if c.Zookeeper {
		last-- // the second Understudy has the next one
	}
	if c.For < 0 || c.Port < 0 || c.Port > last {
		return badUsage{fmt.Errorf("for is %v and port is %d: for must not be negative, and port must be from 1 to %d", c.For, c.Port, last)}
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	show, what := c.show, "a master and two replicas"
	if c.Zookeeper {
		show, what = c.showMembers, "a master, two replicas, ZooKeeper and two Understudys"
	}
	fmt.Fprintf(s.out, "starting %s ...\n", what)
	d, err := demo.Start(ctx, c.Zookeeper)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(s.out, cleared)
			return nil
		}
		return err
	}
	defer func() {
		err = errors.Join(err, d.Close())
		fmt.Fprintln(s.out, cleared)
	}()
	return show(ctx, d, s)
}

const cleared = "all servers are stopped and their files removed"

// show plays with an Understudy in front of the nodes of d.
func (c *demoCommand) show(ctx context.Context, d *demo.Demo, s *streams) (err error) {
	log, err := os.Create(filepath.Join(d.Dir, "understudy.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	ports := []int{c.Port}
	if c.Port == 0 {
		ports = []int{demoPort, 0} // 0: any
	}
	for i, port := range ports {
		err = c.play(ctx, d, port, log, s)
		if i+1 < len(ports) && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		break
	}
	return explainListen(err, "--port")
}

// play serves on one port and plays until ctx ends.
func (c *demoCommand) play(ctx context.Context, d *demo.Demo, port int, log *os.File, s *streams) error {
	o, err := defaultOptions("--nodes", strings.Join(d.Nodes(), ","), "--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		"--cluster", "demo", "--state", filepath.Join(d.Dir, "state.json"),
		"--max-failovers", "0", "--failback-delay", "0s") // here masters die all the time
	if err != nil {
		return err
	}
	// The demonstration's clients leave before the proxy does: serving ends when the show is over.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	playing, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan net.Addr, 1)
	served := make(chan error, 1)
	go func() {
		err := serve(serving, o, slog.New(slog.NewTextHandler(log, nil)), func(a []net.Addr) { ready <- a[0] })
		cancel() // the show cannot go on
		served <- err
	}()
	select {
	case err := <-served:
		return err
	case addr := <-ready:
		c.introduce(s.out, addr, d, log.Name())
		err := d.Play(playing, demo.Show{Addrs: []string{addr.String()}, Out: s.out, Color: colored(s.out), Chaos: c.Chaos})
		stop()
		return errors.Join(err, <-served)
	}
}

// introduce says what can be done with the demonstration.
func (c *demoCommand) introduce(out io.Writer, addr net.Addr, d *demo.Demo, logPath string) {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		port = addr.String() // not reached: it is a TCP address
	}
	fmt.Fprintf(out, `
A master and two replicas behind one port:

  connect   redis-cli -p %[1]s
  load      redis-benchmark -p %[1]s -t set,get,incr -c 50 -P 16 -q
            (it ends at the first error, so at the -UNKNOWNRESULT of a write that a kill interrupts; start it again)
  look      %[2]s nodes --addr :%[1]s
`, port, os.Args[0])
	if !c.Chaos {
		fmt.Fprintf(out, "  kill      kill -9 %d    (the master; what dies is restarted some seconds later)\n", d.MasterPid())
	}
	fmt.Fprintf(out, "  log       tail -f %s\n  stop      Ctrl-C\n\n", logPath)
	fmt.Fprintln(out, "A read goes to the replica that promises to answer sooner: under so little load mostly to one of them, under more to both alike.")
	fmt.Fprintln(out)
}

// defaultOptions returns the options that args give, and defaults for the rest: what the environment says is meant for
// other clusters.
func defaultOptions(args ...string) (*options, error) {
	var o options
	parser, err := kong.New(&o, kong.Vars(defaults()))
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, err
	}
	return &o, o.validate()
}

// colored reports whether out is a terminal whose user wants colours (no-color.org).
func colored(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
