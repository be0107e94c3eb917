package agreement

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

const (
	cluster = "shop"

	// With these a lease lasts 1.8 s, and the loss of a member is noticed after 3 s.
	session = 3 * time.Second
	lease   = session * 6 / 10
)

// swift are the options that make members notice things soon.
var swift = []string{"--zookeeper-tick=200ms", "--zookeeper-session-timeout=" + session.String(), "--zookeeper-heartbeat=200ms"}

// system is three Understudies in front of three redis-servers, which agree through three ZooKeeper servers.
type system struct {
	t        testing.TB
	ensemble *testcluster.Ensemble
	chroot   string
	cluster  *testcluster.Cluster
	members  []*member
	machines *machines // nil: all run on this one
}

// member is one Understudy.
type member struct {
	*process
	id     string
	addr   string
	host   *testcluster.Host // where it runs, and its clients
	args   []string
	relays []*testcluster.Relay // between it and the ZooKeeper servers, if it is one that can be cut off
	broken atomic.Bool          // it was killed: its clients are excused
}

// options change what start makes. The zero value takes the shared ensemble and swift.
type options struct {
	ensemble *testcluster.Ensemble
	relays   bool // each member reaches ZooKeeper by relays of its own
	machines bool // each process has a host of its own, also each server of its ensemble
	tick     time.Duration
	args     []string // of the members, instead of swift
}

// chroots numbers them: a test may run several times.
var chroots atomic.Int64

func start(t testing.TB, o options) *system {
	t.Helper()
	s := &system{t: t, ensemble: o.ensemble, chroot: fmt.Sprintf("/agreement-%d", chroots.Add(1))}
	if o.args == nil {
		o.args = swift
	}
	switch {
	case o.machines:
		s.machines = newMachines(t)
		s.ensemble, s.cluster = s.machines.ensemble(o.tick), s.machines.cluster()
	case s.ensemble == nil:
		s.ensemble = shared.get(t)
		fallthrough
	default:
		s.cluster = testcluster.New(t, 2)
	}
	for _, id := range []string{"a", "b", "c"} {
		m := &member{id: id}
		if s.machines != nil {
			m.host = s.machines.add()
			s.machines.hosts[m] = m.host
		}
		m.addr = place(t, m.host)
		hosts := s.ensemble.Hosts()
		if o.relays {
			for i, host := range hosts {
				relay := testcluster.NewRelay(t, host)
				m.relays = append(m.relays, relay)
				hosts[i] = relay.Addr
			}
		}
		m.args = append([]string{"run", "--cluster=" + cluster, "--id=" + id, "--listen=" + m.addr, "--nodes=" + s.cluster.Nodes[0].Addr,
			"--zookeeper=" + strings.Join(hosts, ",") + s.chroot}, o.args...)
		m.process = launchOn(t, m.host, m.args...)
		s.members = append(s.members, m)
	}
	for _, m := range s.members {
		s.awaitReady(m)
	}
	t.Cleanup(s.end)
	s.agree()
	s.do(s.members[0], "SET", "fixed", "value")
	must(t, s.cluster.WaitInSync(t.Context()))
	return s
}

// reserve returns an address for a server of this test.
func reserve(t testing.TB) string {
	t.Helper()
	port, release, err := testcluster.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// end ends all members in order, which they must be able to do after whatever they went through.
func (s *system) end() {
	for _, m := range s.alive() {
		if s.t.Failed() {
			info, infoErr := m.info()
			list, listErr := m.listed()
			s.t.Logf("%s: %v (%v), members %v (%v)", m.id, info, infoErr, list, listErr)
		}
		m.quit(s.t)
	}
	for _, m := range s.members {
		if status := m.exit(s.t); !m.broken.Load() && status != 0 {
			s.t.Errorf("member %s ended with status %d", m.id, status)
		}
	}
}

// alive are the members that were not killed.
func (s *system) alive() []*member {
	var list []*member
	for _, m := range s.members {
		if !m.broken.Load() {
			list = append(list, m)
		}
	}
	return list
}

func (s *system) without(gone *member) []*member {
	return slices.DeleteFunc(slices.Clone(s.members), func(m *member) bool { return m == gone })
}

// smash kills a member.
func (s *system) smash(m *member) {
	s.t.Helper()
	m.broken.Store(true)
	must(s.t, m.kill())
}

// revive starts a member that was killed anew.
func (s *system) revive(m *member) {
	s.t.Helper()
	m.process = launchOn(s.t, m.host, m.args...)
	s.awaitReady(m)
	s.t.Cleanup(func() { // before launch kills it
		m.quit(s.t)
		m.exit(s.t)
	})
	m.broken.Store(false)
}

// awaitReady waits until a member that was launched serves clients. ZooKeeper may lose its quorum now and then on a busy
// machine: a member that ends because it found none is started again, as by its supervisor.
func (s *system) awaitReady(m *member) {
	s.t.Helper()
	const limit = 2 * time.Minute
	testcluster.WaitWithin(s.t, limit, "member "+m.id+" to be ready", func() bool {
		ended, said := !m.running(), m.output.String()
		switch {
		case ended && !strings.Contains(said, "understudy: ZooKeeper cannot be reached"):
			s.t.Fatalf("%s ended:\n%s", m.id, said)
		case ended:
			m.process = launchOn(s.t, m.host, m.args...)
			return false
		}
		return strings.Contains(said, "msg=ready")
	})
}

// quit has a member end in order; how it ended is seen to elsewhere.
func (m *member) quit(t testing.TB) {
	if err := m.signal(syscall.SIGTERM); err != nil && m.running() {
		t.Error(err)
	}
}

// dial connects a client that gives up after half a minute.
func (s *system) dial(m *member) redis.Conn {
	s.t.Helper()
	const patience = 30 * time.Second
	c, err := m.dial(patience)
	must(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *system) do(m *member, cmd string, args ...any) any {
	s.t.Helper()
	c := s.dial(m)
	defer c.Close()
	r, err := c.Do(cmd, args...)
	if err != nil {
		s.t.Fatalf("%s %v through %s: %v", cmd, args, m.id, err)
	}
	return r
}

// ask is do for a member that may not answer.
func (m *member) ask(cmd string, args ...any) (any, error) {
	const patience = 3 * time.Second
	c, err := m.dial(patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(cmd, args...)
}

// dial connects a client, on the member's own host, that waits so long for each answer.
func (m *member) dial(patience time.Duration) (redis.Conn, error) {
	const limit = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return redis.DialContext(ctx, "tcp", m.addr, redis.DialContextFunc(m.host.Dial), redis.DialReadTimeout(patience))
}

// info returns what INFO understudy tells.
func (m *member) info() (map[string]string, error) {
	text, err := redis.String(m.ask("INFO", "understudy"))
	if err != nil {
		return nil, fmt.Errorf("INFO of %s: %w", m.id, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	return fields, nil
}

// listed are the members as this one lists them: id to field to value.
func (m *member) listed() (map[string]map[string]string, error) {
	list, err := redis.Values(m.ask("PROXY", "MEMBERS"))
	if err != nil {
		return nil, fmt.Errorf("PROXY MEMBERS of %s: %w", m.id, err)
	}
	members := map[string]map[string]string{}
	for _, entry := range list {
		fields, err := fieldsOf(entry)
		if err != nil {
			return nil, err
		}
		members[fields["id"]] = fields
	}
	return members, nil
}

// fieldsOf reads a map in a reply; of its values only texts and numbers.
func fieldsOf(entry any) (map[string]string, error) {
	pairs, err := redis.Values(entry, nil)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case []byte:
			fields[fmt.Sprintf("%s", pairs[i])] = string(v)
		case int64:
			fields[fmt.Sprintf("%s", pairs[i])] = strconv.FormatInt(v, 10)
		}
	}
	return fields, nil
}

// truth is what all members agree on.
type truth struct {
	epoch  uint64
	master *testcluster.Redis
	leader *member
}

// agree waits until all members that were not killed agree; see agreeing.
func (s *system) agree() truth {
	s.t.Helper()
	return s.agreeing(s.alive())
}

// agreeing waits until exactly these members are listed by each of them, one of them leads, all route under the same
// stable State, all running redis-servers but one serve reads, and that one is the only master.
func (s *system) agreeing(members []*member) (agreed truth) {
	s.t.Helper()
	const limit = 30 * time.Second // a member that was killed and started again waits for its own session to end
	var disagreement error
	defer func() {
		if s.t.Failed() && disagreement != nil {
			s.t.Logf("they do not agree: %v", disagreement)
		}
	}()
	testcluster.WaitWithin(s.t, limit, "agreement", func() bool {
		agreed, disagreement = s.compare(members)
		return disagreement == nil
	})
	return agreed
}

func (s *system) compare(members []*member) (truth, error) {
	var agreed truth
	master, err := s.cluster.Master()
	if err != nil {
		return agreed, err
	}
	agreed.master = master
	running := 0
	for _, n := range s.cluster.Nodes {
		if n.Running() {
			running++
		}
	}
	for _, m := range members {
		info, err := m.info()
		if err != nil {
			return agreed, err
		}
		epoch, err := strconv.ParseUint(info["epoch"], 10, 64)
		switch {
		case err != nil:
			return agreed, err
		case info["phase"] != "stable" || info["master"] != master.Addr || info["replicas_online"] != strconv.Itoa(running-1):
			return agreed, fmt.Errorf("%s is in phase %s of epoch %d with master %s and %s replicas online; the master is %s, and %d servers run",
				m.id, info["phase"], epoch, info["master"], info["replicas_online"], master.Addr, running)
		case agreed.epoch != 0 && agreed.epoch != epoch:
			return agreed, fmt.Errorf("%s is at epoch %d, another at %d", m.id, epoch, agreed.epoch)
		}
		agreed.epoch = epoch
		list, err := m.listed()
		if err != nil {
			return agreed, err
		}
		leader, err := s.leaderIn(list, members, epoch)
		if err != nil {
			return agreed, fmt.Errorf("as %s has it: %w", m.id, err)
		}
		if agreed.leader != nil && agreed.leader != leader {
			return agreed, fmt.Errorf("for %s the leader is %s, for another %s", m.id, leader.id, agreed.leader.id)
		}
		agreed.leader = leader
	}
	return agreed, nil
}

// leaderIn returns who leads in a list of exactly these members, all of which route under that epoch.
func (s *system) leaderIn(list map[string]map[string]string, members []*member, epoch uint64) (leader *member, err error) {
	if len(list) != len(members) {
		return nil, fmt.Errorf("%d members", len(list))
	}
	for _, m := range members {
		fields, found := list[m.id]
		switch {
		case !found:
			return nil, errors.New(m.id + " is no member")
		case fields["applied"] != strconv.FormatUint(epoch, 10):
			return nil, fmt.Errorf("%s has applied epoch %s, not %d", m.id, fields["applied"], epoch)
		case fields["role"] == "leader" && leader != nil:
			return nil, fmt.Errorf("both %s and %s lead", m.id, leader.id)
		case fields["role"] == "leader":
			leader = m
		}
	}
	if leader == nil {
		return nil, errors.New("nobody leads")
	}
	return leader, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
