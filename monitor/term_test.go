package monitor

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// sharing is a coordinator that says of itself that others may take part, as ZooKeeper does. Each member has one of
// its own here, by which it leads.
type sharing struct{ *topology.Local }

func (sharing) Shared() bool { return true }

// leading returns a term of a member that leads and does nothing by itself.
func leading(t *testing.T, cfg Config) *term {
	t.Helper()
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: cfg.Cluster, ID: cfg.ID})
	must(t, err)
	m, err := New(cfg, sharing{coord}, slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	l := newLoop(ctx, m)
	t.Cleanup(func() {
		cancel()
		l.close()
		must(t, coord.Close())
	})
	l.lead(time.Now())
	return l.term
}

// leaderConfig is that of member id, which reaches every node by dial.
func leaderConfig(id, node string, dial DialFunc) Config {
	cfg := testConfig(node)
	cfg.ID, cfg.Dial = id, dial
	return cfg
}

// takeOver has a new leader open its connection for commands to a node.
func takeOver(t *testing.T, r *testcluster.Redis) {
	t.Helper()
	next := leading(t, leaderConfig("b", r.Addr, nil))
	must(t, next.orders(r.Addr).do(context.Background(), time.Second, func(*link) error { return nil }))
}

func TestALeaderThatIsStoppedBetweenCheckAndCommandCommandsNothingAfterTheNextOne(t *testing.T) {
	c := testcluster.New(t, 1)
	replica := c.Nodes[1]
	old := leading(t, leaderConfig("a", replica.Addr, nil))
	checked, goOn := make(chan struct{}), make(chan struct{})
	stopped := func() bool { // it leads when it looks, and long after that it goes on
		close(checked)
		<-goOn
		return true
	}
	ended := make(chan error, 1)
	go func() {
		_, err := (&commander{control: old.orders(replica.Addr), limit: time.Second, wanted: stopped}).promote(context.Background(), "")
		ended <- err
	}()
	<-checked
	takeOver(t, replica)
	close(goOn)
	if err := <-ended; diagnose(err) != refused {
		t.Errorf("its command ended with %v", err)
	}
	if role := roleOf(replica); role != "slave" {
		t.Errorf("the node is a %s", role)
	}
}

func TestACommandThatIsHeldUpInTheNetworkIsNotCarriedOutAfterTheNextLeaderCame(t *testing.T) {
	c := testcluster.New(t, 1)
	replica := c.Nodes[1]
	relay := testcluster.NewRelay(t, replica.Addr)
	old := leading(t, leaderConfig("a", replica.Addr, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, relay.Addr)
	}))
	orders := old.orders(replica.Addr)
	must(t, orders.do(context.Background(), time.Second, func(*link) error { return nil }))
	relay.Freeze(testcluster.BothWays)
	_, err := (&commander{control: orders, limit: 200 * time.Millisecond, wanted: old.lasts}).promote(context.Background(), "")
	if diagnose(err) != silent {
		t.Errorf("its command ended with %v", err)
	}
	takeOver(t, replica)
	relay.Heal()
	testcluster.WaitFor(t, "the old connection to be gone from the node", func() bool {
		list, err := redis.String(replica.Do("CLIENT", "LIST"))
		return err == nil && !strings.Contains(list, "name=understudy:test:a:leader")
	})
	if role := roleOf(replica); role != "slave" {
		t.Errorf("the node is a %s", role)
	}
	stats, err := replica.Info("commandstats")
	must(t, err)
	if sent := stats["cmdstat_replicaof"]; sent != "" {
		t.Errorf("the command arrived: %s", sent)
	}
}

func TestTheNextLeaderLeavesTheConnectionsOfClientsAndOfOtherClustersAlone(t *testing.T) {
	r := testcluster.NewRedis(t)
	var others []redis.Conn
	// The last but one is of a cluster that has the same name, and lies elsewhere.
	for _, name := range []string{"understudy:test:a", "understudy:elsewhere:a:leader", "understudy:test:b:0123abcd:leader", "somebody:leader"} {
		conn, err := r.Dial()
		must(t, err)
		defer conn.Close()
		_, err = conn.Do("CLIENT", "SETNAME", name)
		must(t, err)
		others = append(others, conn)
	}
	takeOver(t, r)
	for i, conn := range others {
		if _, err := conn.Do("PING"); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

func TestALeaderWhoMayNotEndConnectionsGoesOn(t *testing.T) {
	r := testcluster.NewRedis(t)
	mustDo(t, r, "ACL", "SETUSER", "limited", "on", ">pw", "+@all", "-client|list", "~*", "&*")
	cfg := leaderConfig("a", r.Addr, nil)
	cfg.Username, cfg.Password = "limited", "pw"
	l := leading(t, cfg)
	must(t, l.orders(r.Addr).do(context.Background(), time.Second, func(*link) error { return nil }))
}

func TestAConnectionForCommandsThatTheServerHasClosedIsOpenedAnewBeforeItIsUsed(t *testing.T) {
	r := testcluster.NewRedis(t)
	l := leading(t, leaderConfig("a", r.Addr, nil))
	orders := l.orders(r.Addr)
	must(t, orders.do(context.Background(), time.Second, func(*link) error { return nil }))
	mustDo(t, r, "CLIENT", "KILL", "TYPE", "normal")
	orders.used = time.Now().Add(-restedAfter)
	commands := 0
	must(t, orders.do(context.Background(), time.Second, func(l *link) error {
		commands++
		_, err := l.Do("PING")
		return err
	}))
	if commands != 1 {
		t.Errorf("it was used %d times", commands)
	}
}

func TestATermThatIsOverCommandsNothing(t *testing.T) {
	r := testcluster.NewRedis(t)
	l := leading(t, leaderConfig("a", r.Addr, nil))
	orders := l.orders(r.Addr)
	must(t, l.coord.(sharing).Close())
	err := orders.do(context.Background(), time.Second, func(*link) error { t.Error("it was used"); return nil })
	if !errors.Is(err, errDeposed) {
		t.Errorf("error %v", err)
	}
}

// ousted is the seat of a member that loses the lead in the moment in which it has learned that two others hold a node down.
type ousted struct {
	*seat
	by *seat
}

func (o ousted) Members(ctx context.Context) ([]topology.Member, error) {
	members, err := o.seat.Members(ctx)
	downs := 0
	for _, m := range members {
		if slices.ContainsFunc(m.View, func(n topology.NodeView) bool { return n.Down }) {
			downs++
		}
	}
	if downs == 2 {
		o.by.attends(true)
	}
	return members, err
}

// attends has a member come, or go.
func (s *seat) attends(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present = is
	s.tellAll()
}

// Others may have held the master down when a member last led, and hold it alive since.
func TestALeaderDoesNotGoByWhatOthersHeldWhenItLedBefore(t *testing.T) {
	c := testcluster.New(t, 1)
	master := c.Addrs()[0]
	p := &parliament{}
	other, a, b, d := p.enter("other"), p.enter("a"), p.enter("b"), p.enter("d")
	other.attends(false)
	m, err := New(leaderConfig("a", master, nil), ousted{a, other}, quiet())
	must(t, err)
	running(t, m)
	p.await(t, "the replica to be online", func(s *topology.State) bool { return online(s, master, c.Addrs()[1]) })

	for _, s := range []*seat{b, d} {
		must(t, s.Publish(t.Context(), []topology.NodeView{{Addr: master, Down: true, Reason: "connection refused", Since: time.Now()}}))
	}
	testcluster.WaitFor(t, "another member to lead", func() bool { return !a.Leading() })
	for _, s := range []*seat{b, d} {
		must(t, s.Publish(t.Context(), []topology.NodeView{{Addr: master, Since: time.Now()}}))
	}
	a.ponders(t)
	other.attends(false)
	a.ponders(t)
	if s := p.latest(); s.Epoch != 1 {
		t.Errorf("a master that all members hold alive was deposed: %+v", s.Failover)
	}
}

func TestALeaderKeepsNoConnectionToAnAddressThatIsAnotherNameOfANode(t *testing.T) {
	r := testcluster.NewRedis(t)
	_, port, err := net.SplitHostPort(r.Addr)
	must(t, err)
	alias := net.JoinHostPort("localhost", port)
	term := leading(t, leaderConfig("a", r.Addr, nil))
	term.watch(alias)
	for _, addr := range []string{alias, r.Addr} {
		must(t, term.orders(addr).do(t.Context(), time.Second, func(*link) error { return nil }))
		term.learn(addr, term.records[addr], info{RunID: "the same", Role: roleMaster}, time.Now(), 0)
	}
	if term.aliases[alias] != r.Addr || len(term.links) != 1 {
		t.Errorf("aliases %v, connections for commands to %v", term.aliases, slices.Collect(maps.Keys(term.links)))
	}
}
