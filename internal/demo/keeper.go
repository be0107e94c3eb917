package demo

import (
	"context"
	"sync"
	"time"
)

const (
	// restartAfter is how long a process stays dead.
	restartAfter = 5 * time.Second
	// firstKill and killInterval are when Chaos kills.
	firstKill    = 5 * time.Second
	killInterval = 10 * time.Second
	// lookInterval is how often it is noticed that a process has died.
	lookInterval = 20 * time.Millisecond
)

// server is a process that the keeper looks after.
type server interface {
	Running() bool
	Pid() int
	Restart(ctx context.Context) error
	Kill() error
}

// charge is a server with its address and what it is called in the account.
type charge struct {
	server
	addr string
	name string
}

// keeper restarts what has died, whoever killed it, and kills now and then if it is told to.
type keeper struct {
	charges []charge
	script  *script
	chaos   bool
	rivals  bool // there are several Understudys: every other kill hits the one that leads
	born    time.Time
	kills   int

	mu   sync.Mutex
	died map[string]time.Time // by address, of what is dead
}

// run keeps the servers until ctx ends. settled tells the addresses of the master and of the leading Understudy, and
// whether all is well.
func (k *keeper) run(ctx context.Context, settled func() (master, leader string, ok bool)) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	next := k.born.Add(firstKill)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.lookAfter(ctx)
		if !k.chaos || time.Now().Before(next) {
			continue
		}
		master, leader, ok := settled()
		if !ok {
			continue
		}
		what, addr := "the master", master
		if k.rivals && k.kills%2 == 1 {
			what, addr = "the Understudy that leads,", leader
		}
		if k.kill(what, addr) {
			k.kills++
			next = time.Now().Add(killInterval)
		}
	}
}

// lookAfter notices deaths and restarts what has been dead for long enough.
func (k *keeper) lookAfter(ctx context.Context) {
	for _, c := range k.charges {
		died, dead := k.diedAt(c.addr)
		switch {
		case c.Running():
		case !dead:
			k.mark(c.addr, time.Now())
			k.script.event("%s is dead (process %d); it is restarted in %v", c.name, c.Pid(), restartAfter)
		case time.Since(died) >= restartAfter:
			if err := c.Restart(ctx); err != nil {
				if ctx.Err() == nil {
					k.script.event("%s does not start: %v", c.name, err)
					k.mark(c.addr, time.Now())
				}
				continue
			}
			k.mark(c.addr, time.Time{})
			k.script.event("%s is restarted (process %d)", c.name, c.Pid())
		}
	}
}

// at returns what has this address.
func (k *keeper) at(addr string) (charge, bool) {
	for _, c := range k.charges {
		if c.addr == addr {
			return c, true
		}
	}
	return charge{}, false
}

// kill kills a process as a crash would.
func (k *keeper) kill(what, addr string) bool {
	c, found := k.at(addr)
	if !found || !c.Running() {
		return false
	}
	k.script.event("killing %s %s: kill -9 %d", what, addr, c.Pid())
	if err := c.Kill(); err != nil {
		k.script.event("%v", err)
		return false
	}
	return true
}

// pid returns the process at addr, 0 if there is none.
func (k *keeper) pid(addr string) int {
	c, found := k.at(addr)
	if !found || !c.Running() {
		return 0
	}
	return c.Pid()
}

func (k *keeper) diedAt(addr string) (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.died[addr]
	return t, ok
}

// mark notes when something died; the zero time is that it lives.
func (k *keeper) mark(addr string, died time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.died == nil {
		k.died = make(map[string]time.Time)
	}
	if died.IsZero() {
		delete(k.died, addr)
	} else {
		k.died[addr] = died
	}
}

// dead reports whether what is at addr is dead.
func (k *keeper) dead(addr string) bool {
	_, ok := k.diedAt(addr)
	return ok
}
