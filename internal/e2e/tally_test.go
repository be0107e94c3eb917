package e2e

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// tally counts up a key of its own and keeps book of what was answered.
type tally struct {
	key     string
	acked   atomic.Int64
	last    int64 // the greatest answer
	unknown int64
	lost    int64 // answers that were not greater than one before
	twice   bool
	errs    []error
}

// write counts up once, and reports whether the client can go on.
func (y *tally) write(conn redis.Conn) bool {
	n, err := redis.Int64(conn.Do("INCR", y.key))
	switch {
	case isUnknown(err):
		y.unknown++
	case err != nil:
		y.errs = append(y.errs, err)
		return false
	default:
		y.note(n)
		y.acked.Add(1)
	}
	return true
}

// note takes in what the counter was when it was looked at, or counted up.
func (y *tally) note(n int64) {
	if n <= y.last {
		y.lost += y.last - n + 1
	}
	y.twice = y.twice || n > y.acked.Load()+1+y.unknown
	y.last = max(y.last, n)
}

// tallies are clients that all count at the same time.
type tallies struct {
	system  *system
	each    []*tally
	stop    atomic.Bool
	going   sync.RWMutex // held for reading by a client that waits for an answer
	running sync.WaitGroup
}

func (c *tallies) run(y *tally, conn redis.Conn) {
	for goesOn := true; goesOn && !c.stop.Load(); {
		c.going.RLock()
		goesOn = y.write(conn)
		c.going.RUnlock()
	}
}

// pause waits until everything is answered that was sent, and has nothing more be sent until resume is called. Every
// replica that runs has as much as the master when pause returns.
func (c *tallies) pause() (resume func()) {
	t := c.system.t
	t.Helper()
	c.going.Lock()
	resume = sync.OnceFunc(c.going.Unlock)
	t.Cleanup(resume)
	testcluster.WaitFor(t, "replicas that have all that the master has", func() bool {
		offsets := make(map[string]bool)
		for _, n := range c.system.cluster.Nodes {
			if n.Running() {
				info, err := n.Info("replication")
				must(t, err)
				offsets[info["master_repl_offset"]] = true
			}
		}
		return len(offsets) == 1
	})
	return resume
}

// count starts clients; end ends them.
func (s *system) count(clients int) *tallies {
	s.t.Helper()
	c := &tallies{system: s}
	s.t.Cleanup(c.running.Wait) // after their connections were closed, if the test fails before end
	for i := range clients {
		y := &tally{key: fmt.Sprint("tally:", i)}
		c.each = append(c.each, y)
		conn := s.dial()
		c.running.Go(func() { c.run(y, conn) })
	}
	return c
}

// acked returns how many writes were answered.
func (c *tallies) acked() (n int64) {
	for _, y := range c.each {
		n += y.acked.Load()
	}
	return n
}

// written waits until so many more writes were answered; which completes the name of what is waited for.
func (c *tallies) written(more int64, which string) {
	c.system.t.Helper()
	before := c.acked()
	testcluster.WaitFor(c.system.t, fmt.Sprintf("%d writes %s", more, which), func() bool { return c.acked() >= before+more })
}

// end ends the clients and looks at what they have counted. It takes a minute at most: then a connection gives up, and
// its client's errors say so.
func (c *tallies) end() []*tally {
	c.system.t.Helper()
	c.stop.Store(true)
	c.running.Wait()
	conn := c.system.dial()
	for _, y := range c.each {
		n, err := redis.Int64(conn.Do("GET", y.key))
		must(c.system.t, err)
		if n < y.last {
			y.lost += y.last - n
		}
		y.twice = y.twice || n > y.acked.Load()+y.unknown
	}
	return c.each
}

// isCorrect fails the test if the client met an error, or a write that was answered is lost or was done twice.
func (y *tally) isCorrect(t *testing.T) {
	t.Helper()
	for _, err := range y.errs {
		t.Errorf("%s: %v", y.key, err)
	}
	if y.lost > 0 || y.twice {
		t.Errorf("%s: %d answered writes are lost, applied twice: %v; %d were answered, the last with %d, %d have an unknown outcome",
			y.key, y.lost, y.twice, y.acked.Load(), y.last, y.unknown)
	}
}
