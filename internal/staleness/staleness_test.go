package staleness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/session"
)

// outcome is what a checker has found.
type outcome struct {
	reads, stale atomic.Int64
	example      atomic.Pointer[string]
}

func (o *outcome) check(ok bool, format string, args ...any) {
	o.reads.Add(1)
	if !ok {
		o.stale.Add(1)
		text := fmt.Sprintf(format, args...)
		o.example.CompareAndSwap(nil, &text)
	}
}

// checkers are the workers of one measurement; the first error of any ends them all.
type checkers struct {
	outcome
	t       testing.TB
	want    int64
	running sync.WaitGroup
	failed  atomic.Pointer[error]
}

// run has n workers repeat a step until enough reads have been checked.
func (c *checkers) run(n int, step func(worker, round int) error) {
	for worker := range n {
		c.running.Go(func() {
			for round := 0; c.reads.Load() < c.want && c.failed.Load() == nil; round++ {
				if err := step(worker, round); err != nil {
					c.failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
}

func (c *checkers) wait() {
	c.t.Helper()
	c.running.Wait()
	if err := c.failed.Load(); err != nil {
		c.t.Fatal(*err)
	}
}

// writeThenRead has every worker write keys of its own and read them at once: over the connection that wrote, and over
// another one of the pool. Between them it reads keys that it wrote a little earlier, which replicas may have by now, and
// must have if they answer. All the ways to write and to read a key take turns.
func writeThenRead(c *checkers, m *member) {
	c.run(8, func(worker, round int) error {
		const keys = 64
		one, other := m.pool.Get(), m.pool.Get()
		defer one.Close()
		defer other.Close()
		key := func(round int) string { return fmt.Sprintf("w%d:%d", worker, round%keys) }
		value := strconv.Itoa(round)
		var err error
		switch {
		case round%100 == 99: // nothing but the master answers until a replica has this, so it is rare
			_, err = one.Do("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, key(round), value)
		case round%4 == 1:
			_, err = one.Do("MSET", "x"+key(round), value, key(round), value)
		case round%4 == 2:
			if err = errors.Join(one.Send("MULTI"), one.Send("SET", key(round), value)); err == nil {
				_, err = one.Do("EXEC")
			}
		case round%4 == 3:
			if _, err = one.Do("WATCH", key(round)); err == nil {
				if _, err = one.Do("MULTI"); err == nil {
					if _, err = one.Do("SET", key(round), value); err == nil {
						_, err = one.Do("EXEC")
					}
				}
			}
		default:
			_, err = one.Do("SET", key(round), value)
		}
		if err != nil {
			return err
		}
		for i, conn := range []redis.Conn{other, one, other} {
			for _, of := range []int{round, round - 1 - rand.IntN(keys-1)} {
				if of < 0 {
					continue
				}
				got, err := redis.String(conn.Do("GET", key(of)))
				if err != nil && !errors.Is(err, redis.ErrNil) {
					return err
				}
				c.check(got == strconv.Itoa(of), "GET %s over connection %d: %q instead of %d", key(of), i, got, of)
			}
		}
		got, err := redis.Strings(other.Do("MGET", key(round), "x"+key(round)))
		if err != nil {
			return err
		}
		c.check(got[0] == value, "MGET %s: %q instead of %s", key(round), got[0], value)
		if round%100 == 50 {
			fresh := fmt.Sprintf("new:%d:%d", worker, round)
			if _, err := one.Do("SET", fresh, 1, "PX", 60_000); err != nil {
				return err
			}
			found, err := redis.Strings(other.Do("KEYS", fresh))
			if err != nil {
				return err
			}
			c.check(len(found) == 1, "KEYS %s: %v", fresh, found)
		}
		return nil
	})
}

// handOver has jobs written through one proxy and taken through another, where what belongs to them is looked up.
func handOver(c *checkers, from, to *member) {
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			conn := from.pool.Get()
			defer conn.Close()
			for i := 0; c.reads.Load() < c.want && c.failed.Load() == nil; i++ {
				id := fmt.Sprintf("%d-%d", w, i)
				_, err := conn.Do("SET", "job:"+id, "data", "EX", 300)
				if err == nil {
					_, err = conn.Do("LPUSH", "jobs", id)
				}
				if err != nil {
					c.failed.CompareAndSwap(nil, &err)
				}
				if i%100 == 0 { // no more than the workers take
					n, err := redis.Int(conn.Do("LLEN", "jobs"))
					for ; err == nil && n > 500 && c.reads.Load() < c.want; n, err = redis.Int(conn.Do("LLEN", "jobs")) {
						time.Sleep(time.Millisecond)
					}
				}
			}
		})
	}
	c.run(4, func(worker, round int) error {
		one, other := to.pool.Get(), to.pool.Get()
		defer one.Close()
		defer other.Close()
		var id string
		var err error
		if round%2 == 0 {
			id, err = redis.String(one.Do("RPOP", "jobs"))
		} else {
			var pair []string
			if pair, err = redis.Strings(one.Do("BRPOP", "jobs", 1)); err == nil {
				id = pair[1]
			}
		}
		if errors.Is(err, redis.ErrNil) {
			return nil
		}
		if err != nil {
			return err
		}
		for i, conn := range []redis.Conn{other, one} {
			data, err := redis.String(conn.Do("GET", "job:"+id))
			if err != nil && !errors.Is(err, redis.ErrNil) {
				return err
			}
			c.check(data == "data", "job %s over connection %d: %q", id, i, data)
		}
		return nil
	})
	c.running.Go(writers.Wait)
}

// neverBack has a counter raised through one proxy and read through the other, where no session may see it fall.
func neverBack(c *checkers, from, to *member) {
	writer := from.pool.Get()
	defer writer.Close()
	var raising sync.WaitGroup
	raising.Go(func() {
		for c.reads.Load() < c.want && c.failed.Load() == nil {
			if _, err := writer.Do("INCR", "counter"); err != nil {
				c.failed.CompareAndSwap(nil, &err)
			}
		}
	})
	c.run(4, func(worker, round int) error {
		conn := to.pool.Get()
		defer conn.Close()
		last := 0
		for i := range 50 {
			if i%10 == 9 { // the master tells it something
				if _, err := conn.Do("INCR", fmt.Sprint("own:", worker)); err != nil {
					return err
				}
			}
			n, err := redis.Int(conn.Do("GET", "counter"))
			if err != nil && !errors.Is(err, redis.ErrNil) {
				return err
			}
			c.check(n >= last, "the counter fell from %d to %d", last, n)
			last = n
		}
		return nil
	})
	raising.Wait()
}

// measure runs all of it, each with so many reads, and logs what it found.
func measure(t *testing.T, delay time.Duration, policy session.Policy, n int) (stale int64) {
	servers := startNodes(t, 2, delay)
	a, b := startMember(t, servers, policy, 2), startMember(t, servers, policy, 1)
	for _, part := range []struct {
		name string
		run  func(*checkers)
	}{
		{"read what was written", func(c *checkers) { writeThenRead(c, a) }},
		{"look up a job from the other proxy", func(c *checkers) { handOver(c, b, a) }},
		{"read a counter", func(c *checkers) { neverBack(c, b, a) }},
	} {
		c := &checkers{t: t, want: int64(n)}
		began := time.Now()
		before := a.traffic(t, 0)
		part.run(c)
		c.wait()
		after := a.traffic(t, c.reads.Load())
		example := ""
		if e := c.example.Load(); e != nil {
			example = ", for example " + *e
		}
		t.Logf("%v behind, %v: %s: %d stale of %d reads in %v%s; replicas served %d, the master %d %v", delay, policy, part.name, c.stale.Load(), c.reads.Load(),
			time.Since(began).Round(time.Millisecond), example, after.Reads-before.Reads, after.MasterReads()-before.MasterReads(), reasons(before, after))
		stale += c.stale.Load()
	}
	return stale
}

// reasons tells why reads went to the master.
func reasons(before, after session.Stats) map[string]uint64 {
	why := map[string]uint64{}
	for reason := range freshness.Reasons {
		if n := after.MasterReadsBy[reason] - before.MasterReadsBy[reason]; n > 0 {
			why[reason.String()] = n
		}
	}
	return why
}

func TestNoReadIsStaleWhateverTheDelayOfReplication(t *testing.T) {
	for _, delay := range []time.Duration{3 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
		if stale := measure(t, delay, session.Causal, *reads); stale > 0 {
			t.Errorf("with a delay of %v, %d reads were stale", delay, stale)
		}
	}
}

func TestTheSameReadsAreStaleWithoutCausality(t *testing.T) {
	if stale := measure(t, 50*time.Millisecond, session.Eventual, 500); stale == 0 {
		t.Error("no read was stale: the checkers see nothing")
	}
}

// TestReplicasServeMostReadsOfAMixedLoad measures the share of reads that replicas serve: sessions that write one of
// 100 000 keys, and then read ten.
func TestReplicasServeMostReadsOfAMixedLoad(t *testing.T) {
	const delay, keys, share = 3 * time.Millisecond, 100_000, 0.9
	servers := startNodes(t, 2, delay)
	m := startMember(t, servers, session.Causal, 1)
	c := &checkers{t: t, want: int64(4 * *reads)}
	before := m.traffic(t, 0)
	began := time.Now()
	c.run(16, func(worker, round int) error {
		conn := m.pool.Get()
		defer conn.Close()
		rng := rand.New(rand.NewPCG(uint64(worker), uint64(round)))
		if _, err := conn.Do("SET", fmt.Sprint("key:", rng.IntN(keys)), round); err != nil {
			return err
		}
		for range 10 {
			if _, err := conn.Do("GET", fmt.Sprint("key:", rng.IntN(keys))); err != nil {
				return err
			}
			c.reads.Add(1)
		}
		return nil
	})
	c.wait()
	took := time.Since(began)
	after := m.traffic(t, c.reads.Load())
	atReplicas, atMaster := after.Reads-before.Reads, after.MasterReads()-before.MasterReads()
	got := float64(atReplicas) / float64(atReplicas+atMaster)
	t.Logf("%d reads and %d writes in %v: replicas served %.2f %% of the reads, the master %d %v", atReplicas+atMaster, after.Writes-before.Writes, took.Round(time.Millisecond),
		100*got, atMaster, reasons(before, after))
	if got < share {
		t.Errorf("replicas served %.1f %% of the reads, less than %.0f %%", 100*got, 100*share)
	}
}
