package demo

import (
	"context"
	"sync"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

const (
	// restartAfter is how long a server stays dead.
	restartAfter = 5 * time.Second
	// firstKill and killInterval are when Chaos kills the master.
	firstKill    = 5 * time.Second
	killInterval = 10 * time.Second
	// lookInterval is how often it is noticed that a server has died.
	lookInterval = 20 * time.Millisecond
)

// keeper restarts servers that have died, whoever killed them, and kills the master now and then if it is told to.
type keeper struct {
	cluster *testcluster.Cluster
	script  *script
	chaos   bool
	born    time.Time

	mu   sync.Mutex
	died map[string]time.Time // by address, of servers that are dead
}

// run keeps the servers until ctx ends. settled tells the master's address, and whether all is well.
func (k *keeper) run(ctx context.Context, settled func() (master string, ok bool)) {
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
		if k.chaos && time.Now().After(next) {
			if master, ok := settled(); ok && k.kill(master) {
				next = time.Now().Add(killInterval)
			}
		}
	}
}

// lookAfter notices deaths and restarts what has been dead for long enough.
func (k *keeper) lookAfter(ctx context.Context) {
	for _, node := range k.cluster.Nodes {
		died, dead := k.diedAt(node.Addr)
		switch {
		case node.Running():
		case !dead:
			k.mark(node.Addr, time.Now())
			k.script.event("%s is dead (process %d); it is restarted in %v", node.Addr, node.Pid(), restartAfter)
		case time.Since(died) >= restartAfter:
			if err := node.Restart(ctx); err != nil {
				if ctx.Err() == nil {
					k.script.event("%s does not start: %v", node.Addr, err)
					k.mark(node.Addr, time.Now())
				}
				continue
			}
			k.mark(node.Addr, time.Time{})
			k.script.event("%s is restarted (process %d)", node.Addr, node.Pid())
		}
	}
}

// kill kills a server as a crash would.
func (k *keeper) kill(addr string) bool {
	node := k.cluster.Node(addr)
	if node == nil || !node.Running() {
		return false
	}
	k.script.event("killing the master %s: kill -9 %d", addr, node.Pid())
	if err := node.Kill(); err != nil {
		k.script.event("%v", err)
		return false
	}
	return true
}

// pid returns the process of the server at addr, 0 if there is none.
func (k *keeper) pid(addr string) int {
	node := k.cluster.Node(addr)
	if node == nil || !node.Running() {
		return 0
	}
	return node.Pid()
}

func (k *keeper) diedAt(addr string) (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.died[addr]
	return t, ok
}

// mark notes when a server died; the zero time is that it lives.
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

// dead reports whether a server is dead.
func (k *keeper) dead(addr string) bool {
	_, ok := k.diedAt(addr)
	return ok
}
