package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

// Proxy serves clients. Make one with New, and Run it once.
type Proxy struct {
	cfg       Config
	coord     Coordinator
	log       *slog.Logger
	admin     session.Admin
	listeners []net.Listener
	workers   []*worker
	commands  atomic.Pointer[command.Table]
	scripts   session.Scripts
	pause     session.Pause
	freshness *freshness.Tracker

	complaints            complaints
	configHint, usersHint sync.Once // each is logged once

	clients atomic.Int64 // connected
	refused atomic.Int64 // told that there are too many
	lastID  atomic.Uint64

	fences fences
	gate   upstream.Gate
}

// New opens the listening sockets, so that an address in use is known before anything starts. admin answers PROXY and
// INFO understudy.
func New(cfg Config, coord Coordinator, admin session.Admin, log *slog.Logger) (*Proxy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{KeepAlive: 15 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
			return giveUpSilent(raw, max(cfg.HoldTimeout, time.Second))
		}}).DialContext
	}
	p := &Proxy{cfg: cfg, coord: coord, log: log, admin: admin, freshness: freshness.NewTracker(), complaints: complaints{log: log}}
	p.commands.Store(command.Builtin())
	for _, l := range cfg.Listen {
		ln, err := listen(l, cfg.KeepAlive)
		if err != nil {
			p.closeListeners()
			return nil, fmt.Errorf("proxy: %w", err)
		}
		p.listeners = append(p.listeners, ln)
	}
	for i := range cfg.Loops {
		w, err := newWorker(p, i)
		if err != nil {
			p.closeListeners()
			return nil, fmt.Errorf("proxy: %w", err)
		}
		p.workers = append(p.workers, w)
	}
	return p, nil
}

// listen opens one listening socket. The socket file that a killed process has left behind is replaced; one that
// somebody serves is not.
func listen(l Listen, alive time.Duration) (net.Listener, error) {
	if l.Network == "unix" {
		if c, err := net.DialTimeout("unix", l.Addr, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("listen on unix:%s: another process serves this socket", l.Addr)
		}
		if fi, err := os.Lstat(l.Addr); err == nil && fi.Mode()&os.ModeSocket != 0 {
			if err := os.Remove(l.Addr); err != nil {
				return nil, fmt.Errorf("listen on unix:%s: %w", l.Addr, err)
			}
		}
	}
	lc := net.ListenConfig{KeepAlive: alive}
	if alive == 0 {
		lc.KeepAlive = -1
	}
	ln, err := lc.Listen(context.Background(), l.Network, l.Addr)
	if err != nil {
		return nil, err
	}
	if l.Network == "unix" && l.Mode != 0 {
		if err := os.Chmod(l.Addr, l.Mode); err != nil {
			ln.Close()
			return nil, fmt.Errorf("listen on unix:%s: %w", l.Addr, err)
		}
	}
	if tcp, ok := ln.(*net.TCPListener); ok && alive > 0 {
		raw, err := tcp.SyscallConn()
		if err == nil {
			err = keepAlive(raw, alive)
		}
		if err != nil {
			ln.Close()
			return nil, fmt.Errorf("listen on %s: setting keepalive: %w", l.Addr, err)
		}
	}
	return ln, nil
}

// Addrs returns the addresses listened on, in the order of the configuration: with the port that was chosen where
// the configuration said 0.
func (p *Proxy) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(p.listeners))
	for i, l := range p.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

func (p *Proxy) closeListeners() {
	for _, l := range p.listeners {
		l.Close() // nothing was accepted on it
	}
}

// Run serves until ctx ends. Then it accepts no more, lets clients finish what is under way for up to DrainTimeout,
// closes them and returns nil. It returns an error when an event loop fails.
func (p *Proxy) Run(ctx context.Context) error {
	background, cancel := context.WithCancel(context.Background())
	defer cancel()
	var helpers, loops sync.WaitGroup
	failed := make(chan error, len(p.workers))
	var known commandsKnown
	// The first client, too, is served by what names mean to this master, unless it does not answer in time.
	p.learnCommandsOrSay(ctx, &known)
	for _, w := range p.workers {
		loops.Go(func() {
			if err := w.run(); err != nil {
				failed <- fmt.Errorf("proxy: %w", err)
			}
		})
	}
	stable := make(chan struct{}, 1)
	stop := p.coord.Watch(func(s topology.Snapshot) {
		for _, w := range p.workers {
			w.loop.Post(w.pool.Refresh)
		}
		if s.State != nil && s.State.Phase == topology.Stable {
			select {
			case stable <- struct{}{}:
			default:
			}
		}
	})
	helpers.Go(func() { p.refreshCommands(background, stable, &known) })
	helpers.Go(func() { p.acknowledge(background) })

	var err error
	select {
	case <-ctx.Done():
		p.drain()
	case err = <-failed:
	}
	stop()
	cancel()
	for _, w := range p.workers {
		w.loop.Stop()
	}
	loops.Wait()
	helpers.Wait()
	p.closeListeners()
	return err
}

// drain lets clients finish.
func (p *Proxy) drain() {
	p.log.Info("draining", "clients", p.clients.Load(), "timeout", p.cfg.DrainTimeout)
	deadline := time.NewTimer(p.cfg.DrainTimeout)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for _, w := range p.workers {
		w.loop.Post(w.stopAccepting)
	}
	for p.clients.Load() > 0 {
		for _, w := range p.workers {
			w.loop.Post(w.drain)
		}
		select {
		case <-deadline.C:
			p.log.Warn("closing clients that were not done", "clients", p.clients.Load())
			return
		case <-again.C:
		}
	}
}

// Clients returns how many clients are connected.
func (p *Proxy) Clients() int { return int(p.clients.Load()) }
