package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// market is producers that push jobs, and clients that block until they get one, with a record of what became of each
// job. Half of the jobs go through a list (BLPOP), half through a stream with a group (XREADGROUP).
type market struct {
	s       *system
	turmoil atomic.Int64 // odd while a master is being killed, and another number afterwards
	sold    atomic.Bool  // producers push no more
	closed  atomic.Bool  // connections are being closed
	running sync.WaitGroup
	conns   []redis.Conn

	producing sync.WaitGroup // those of running that push

	mu      sync.Mutex
	pushed  map[string]bool // acknowledged; true: the push is known to have reached a replica
	got     map[string]int  // how often it was delivered
	settled map[string]bool // a delivery of it is known to have reached a replica
	twice   []string        // delivered again although settled
	unknown map[string]int  // by command
}

const (
	jobList, jobStream = "jobs", "stream"
	blockedClients     = 200
)

// blockedForJobs matches a line of CLIENT LIST about one that blocks until there is a job.
var blockedForJobs = regexp.MustCompile(`(?m)^.* flags=[a-zA-Z]*b.* cmd=(blpop|xreadgroup) .*$`)

// open starts a market. durable has producers and clients ask for the replicas' acknowledgement of every step.
func open(s *system, durable bool) *market {
	s.t.Helper()
	m := &market{s: s, pushed: map[string]bool{}, got: map[string]int{}, settled: map[string]bool{}, unknown: map[string]int{}}
	s.do("XGROUP", "CREATE", jobStream, "group", "$", "MKSTREAM")
	for i := range blockedClients {
		take := m.popList
		if i%2 == 1 {
			take = m.readStream
		}
		m.start(func(c redis.Conn) error { return m.consume(c, i, durable, take) })
	}
	for i := range 4 {
		m.producing.Add(1)
		m.start(func(c redis.Conn) error {
			defer m.producing.Done()
			return m.produce(c, i, durable)
		})
	}
	return m
}

func (m *market) start(work func(redis.Conn) error) {
	m.s.t.Helper()
	c, err := redis.Dial("tcp", m.s.addr)
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.conns = append(m.conns, c)
	m.running.Go(func() {
		if err := work(c); err != nil && !m.closed.Load() {
			m.s.t.Error(err)
		}
	})
}

// step does a command, and reports whether it was carried out, and is known to have reached a replica that has not been
// killed since. An unknown result is no error.
func (m *market) step(c redis.Conn, durable bool, command string, args ...any) (reply any, done, safe bool, err error) {
	before := m.turmoil.Load()
	reply, err = c.Do(command, args...)
	if isUnknown(err) {
		m.mu.Lock()
		m.unknown[command]++
		m.mu.Unlock()
		return nil, false, false, nil
	}
	if err != nil || reply == nil {
		return reply, false, false, err
	}
	if durable {
		acked, err := redis.Int(c.Do("WAIT", 1, 500))
		if err != nil {
			return reply, true, false, err
		}
		safe = acked > 0 && before%2 == 0 && m.turmoil.Load() == before
	}
	return reply, true, safe, nil
}

func (m *market) produce(c redis.Conn, id int, durable bool) error {
	for i := 0; !m.sold.Load(); i++ {
		job := fmt.Sprintf("%d-%d", id, i)
		command, args := "RPUSH", []any{jobList, "l" + job}
		if i%2 == 1 {
			command, args = "XADD", []any{jobStream, "*", "job", "s" + job}
		}
		_, done, safe, err := m.step(c, durable, command, args...)
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		if done {
			m.mu.Lock()
			m.pushed[args[len(args)-1].(string)] = safe
			m.mu.Unlock()
		}
		time.Sleep(time.Millisecond) // paces the load
	}
	return nil
}

func (m *market) consume(c redis.Conn, id int, durable bool, take func(redis.Conn, int, bool) (string, bool, error)) error {
	for {
		job, safe, err := take(c, id, durable)
		if err != nil {
			return err
		}
		if job == "" {
			continue
		}
		m.mu.Lock()
		m.got[job]++
		if m.settled[job] {
			m.twice = append(m.twice, job)
		}
		m.settled[job] = m.settled[job] || safe
		m.mu.Unlock()
	}
}

func (m *market) popList(c redis.Conn, id int, durable bool) (job string, safe bool, err error) {
	timeout := []string{"0", "0.25", "1", "100"}[id/2%4]
	reply, done, safe, err := m.step(c, durable, "BLPOP", jobList, timeout)
	if !done || err != nil {
		return "", false, wrap("BLPOP", err)
	}
	pair, err := redis.Strings(reply, nil)
	if err != nil || len(pair) != 2 {
		return "", false, fmt.Errorf("BLPOP gives %v (%w)", reply, err)
	}
	return pair[1], safe, nil
}

func (m *market) readStream(c redis.Conn, id int, durable bool) (job string, safe bool, err error) {
	timeout := []int{0, 250, 1000, 100_000}[id/2%4]
	reply, done, safe, err := m.step(c, durable, "XREADGROUP", "GROUP", "group", id, "COUNT", 1, "BLOCK", timeout, "STREAMS", jobStream, ">")
	if !done || err != nil {
		return "", false, wrap("XREADGROUP", err)
	}
	text := fmt.Sprintf("%s", reply) // [[stream [[id [job NAME]]]]]
	_, text, found := strings.Cut(text, "[job ")
	if !found {
		return "", false, fmt.Errorf("XREADGROUP gives %s", reply)
	}
	return strings.TrimRight(text, "]"), safe, nil
}

func wrap(command string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", command, err)
}

// deliveries waits until n more jobs have been delivered.
func (m *market) deliveries(n int) {
	m.s.t.Helper()
	count := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.got)
	}
	want := count() + n
	testcluster.WaitFor(m.s.t, fmt.Sprintf("%d jobs to be delivered", want), func() bool { return count() >= want })
}

// close ends the producers, lets the clients take what is left, and ends them, too.
func (m *market) close() {
	m.s.t.Helper()
	m.sold.Store(true)
	m.producing.Wait()
	// Who blocks for the next job has noted the one before, and who blocks while nobody pushes finds that none is left.
	testcluster.WaitFor(m.s.t, "every client to block in vain", func() bool {
		list, err := redis.String(m.s.master().Do("CLIENT", "LIST"))
		return err == nil && len(blockedForJobs.FindAllString(list, -1)) == blockedClients
	})
	m.closed.Store(true)
	for _, c := range m.conns {
		c.Close()
	}
	m.running.Wait()
}

func TestJobsThatClientsBlockForAreDeliveredOnceDuringSwitchovers(t *testing.T) {
	s := start(t, options{replicas: 2})
	m := open(s, false)
	operator := s.dial()
	for range 5 {
		m.deliveries(200)
		if _, err := operator.Do("PROXY", "FAILOVER"); err != nil {
			t.Error(err)
		}
		s.waitReplicas(2)
	}
	m.deliveries(200)
	m.close()
	if len(m.unknown) > 0 {
		t.Errorf("outcomes are unknown: %v", m.unknown)
	}
	for job := range m.pushed {
		if m.got[job] != 1 {
			t.Errorf("%s was delivered %d times", job, m.got[job])
		}
	}
	t.Logf("%d jobs were pushed and %d delivered", len(m.pushed), len(m.got))
}

func TestJobsThatClientsBlockForOutliveTheirMaster(t *testing.T) {
	s := start(t, options{replicas: 2})
	m := open(s, true)
	for range 3 {
		m.deliveries(200)
		old := s.master()
		epoch := s.epoch()
		m.turmoil.Add(1)
		must(t, old.Kill())
		m.turmoil.Add(1)
		testcluster.WaitFor(t, "another master", func() bool { return s.epoch() > epoch && s.master() != old })
		m.deliveries(200)
		must(t, old.Restart(t.Context()))
		s.waitReplicas(2)
	}
	m.deliveries(200)
	m.close()
	left := map[string]bool{}
	entries, err := redis.Values(s.dial().Do("XRANGE", jobStream, "-", "+"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text := fmt.Sprintf("%s", e)
		_, text, _ = strings.Cut(text, "[job ")
		left[strings.TrimRight(text, "]")] = true
	}
	missing, durable := 0, 0
	for job, safe := range m.pushed {
		switch {
		case !safe:
			continue
		case job[0] == 's' && !left[job]:
			t.Errorf("%s was acknowledged by a replica, and is gone", job)
		case m.got[job] == 0:
			missing++
		}
		durable++
	}
	if taken := m.unknown["BLPOP"] + m.unknown["XREADGROUP"]; missing > taken {
		t.Errorf("%d jobs were acknowledged and not delivered, but only %d pops have an unknown outcome", missing, taken)
	}
	if len(m.twice) > 0 {
		t.Errorf("delivered again: %v", m.twice)
	}
	t.Logf("%d jobs were pushed, %d of them durably, %d delivered, %d not; unknown: %v", len(m.pushed), durable, len(m.got), missing, m.unknown)
}
