package monitor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// parliament is a coordination of several members in one process: the first of those present leads.
type parliament struct {
	mu       sync.Mutex
	current  topology.Snapshot
	seats    []*seat
	requests []topology.Request
	cut      bool // the next fence is written, and its writer ends before it hears of that
}

// seat is one member's Coordinator.
type seat struct {
	*parliament
	id      string
	fenced  uint64
	view    []topology.NodeView
	raised  []string // what it has raised, one after the other
	watch   func(topology.Snapshot)
	changed chan struct{}
	present bool
	absent  chan struct{} // closed when the parliament has thrown this member out
	asked   int           // how often the member wanted to know whether it leads: a few times in every turn of its loop
}

func (p *parliament) enter(id string) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &seat{parliament: p, id: id, changed: make(chan struct{}, 1), absent: make(chan struct{}), present: true}
	p.seats = append(p.seats, s)
	return s
}

// leave takes a member away. The caller holds the lock.
func (p *parliament) leave(s *seat) {
	s.present = false
	close(s.absent)
	p.tellAll()
}

func (p *parliament) tellAll() {
	for _, s := range p.seats {
		poke(s.changed)
		if s.watch != nil {
			s.watch(p.current)
		}
	}
}

func (s *seat) Snapshot() topology.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *seat) Watch(f func(topology.Snapshot)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
	f(s.current)
	return func() { s.mu.Lock(); s.watch = nil; s.mu.Unlock() }
}

func (s *seat) Publish(_ context.Context, view []topology.NodeView) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = slices.Clone(view)
	s.tellAll()
	return nil
}

func (s *seat) Members(context.Context) ([]topology.Member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var members []topology.Member
	for _, m := range s.seats {
		if m.present {
			members = append(members, topology.Member{ID: m.id, Fenced: m.fenced, View: slices.Clone(m.view)})
		}
	}
	return members, nil
}

func (s *seat) Raise(_ context.Context, texts []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leads() {
		return topology.ErrNotLeader
	}
	s.raised = append(s.raised, strings.Join(texts, "; "))
	return nil
}

func (s *seat) MembersChanged() <-chan struct{} { return s.changed }
func (s *seat) Shared() bool                    { return true }
func (s *seat) Suspicions() <-chan struct{}     { return nil }
func (s *seat) TakeSuspicions() []string        { return nil }

func (s *seat) Leading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.leads()
}

func (s *seat) leads() bool {
	i := slices.IndexFunc(s.seats, func(x *seat) bool { return x.present })
	return i >= 0 && s.seats[i] == s
}

func (s *seat) Update(_ context.Context, version int64, next *topology.State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.leads():
		return topology.ErrNotLeader
	case version != s.current.Version:
		return topology.ErrStale
	}
	s.current = topology.Snapshot{State: next.Clone(), Version: version + 1}
	if s.cut && next.Phase == topology.Fencing {
		s.cut = false
		s.leave(s)
	}
	s.tellAll()
	return nil
}

// acknowledge says that a member is fenced.
func (s *seat) acknowledge(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fenced = epoch
	s.tellAll()
}

// ponders waits until the member has had many turns in which to do something.
func (s *seat) ponders(t *testing.T) {
	t.Helper()
	asked := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.asked
	}
	began := asked()
	testcluster.WaitFor(t, "many turns of the loop", func() bool { return asked() >= began+100 })
}

// latest is the newest State.
func (p *parliament) latest() *topology.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current.State
}

// attend runs the monitor of a member.
func (s *seat) attend(t *testing.T, nodes ...string) *Monitor {
	t.Helper()
	cfg := testConfig(nodes...)
	cfg.ID = s.id
	m, err := New(cfg, s, quiet())
	must(t, err)
	stop := running(t, m)
	go func() {
		select {
		case <-s.absent:
			stop()
		case <-t.Context().Done():
		}
	}()
	return m
}

// await waits until the State is as wanted.
func (p *parliament) await(t *testing.T, what string, want func(*topology.State) bool) *topology.State {
	t.Helper()
	var s *topology.State
	testcluster.WaitFor(t, what, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		s = p.current.State
		return s != nil && want(s)
	})
	return s
}

func TestTheLeaderWaitsForEveryMembersAcknowledgement(t *testing.T) {
	c := testcluster.New(t, 1)
	p := &parliament{}
	a, b := p.enter("a"), p.enter("b")
	a.attend(t, c.Addrs()...)
	p.await(t, "the replica to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1]) })
	b.attend(t, c.Addrs()...)
	testcluster.WaitFor(t, "both to have a view of the master", func() bool {
		members, err := a.Members(context.Background())
		return err == nil && len(members) == 2 && len(members[0].View) == 2 && len(members[1].View) == 2
	})
	must(t, c.Nodes[0].Kill())
	p.await(t, "the fence", func(s *topology.State) bool { return s.Phase == topology.Fencing })
	a.acknowledge(2)
	a.ponders(t)
	if s := p.latest(); s.Phase != topology.Fencing || roleOf(c.Nodes[1]) != "slave" {
		t.Fatalf("state %+v before b has acknowledged", s)
	}
	b.acknowledge(2)
	p.await(t, "the new master", func(s *topology.State) bool { return online(s, c.Addrs()[1]) && s.Epoch == 2 })
}

func TestOneMemberWhoCannotSeeTheMasterDeposesNobody(t *testing.T) {
	c := testcluster.New(t, 1)
	relay := testcluster.NewRelay(t, c.Addrs()[0])
	p := &parliament{}
	seats := []*seat{p.enter("a"), p.enter("b"), p.enter("c")}
	dark := &blackout{}
	for i, s := range seats {
		cfg := testConfig(c.Addrs()...)
		cfg.ID = s.id
		if i == 0 {
			// The leader sees the master through a relay of its own, under the master's name.
			cfg.Dial = dark.through(c.Addrs()[0], relay.Addr)
		}
		m, err := New(cfg, s, quiet())
		must(t, err)
		running(t, m)
	}
	downs := func() (down, views int) {
		members, err := seats[0].Members(context.Background())
		must(t, err)
		for _, m := range members {
			for _, v := range m.View {
				if v.Addr == c.Addrs()[0] {
					views++
					if v.Down {
						down++
					}
				}
			}
		}
		return down, views
	}
	testcluster.WaitFor(t, "three views of the master", func() bool { _, views := downs(); return views == 3 })
	relay.Cut()
	testcluster.WaitFor(t, "the leader to hold the master down", func() bool { down, _ := downs(); return down == 1 })
	seats[0].ponders(t)
	if s := p.latest(); s.Epoch != 1 {
		t.Fatalf("one view of three deposed the master: %+v", s)
	}
	must(t, c.Nodes[0].Kill())
	p.await(t, "the fence when all agree", func(s *topology.State) bool { return s.Phase == topology.Fencing && s.Epoch == 2 })
}

func TestANewLeaderFinishesTheFailoverOfTheLast(t *testing.T) {
	c := testcluster.New(t, 2)
	p := &parliament{}
	a, b := p.enter("a"), p.enter("b")
	a.attend(t, c.Addrs()...)
	p.await(t, "the replicas to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1:]...) })
	m := b.attend(t, c.Addrs()...)
	testcluster.WaitFor(t, "b to have a view", func() bool { return len(m.Status().Nodes) == 3 })
	p.mu.Lock()
	p.cut = true
	p.mu.Unlock()
	must(t, c.Nodes[0].Kill())
	p.await(t, "the fence", func(s *topology.State) bool { return s.Phase != topology.Stable })
	b.acknowledge(2)
	s := p.await(t, "b to finish", func(s *topology.State) bool {
		return s.Phase == topology.Stable && len(s.Replicas) == 1 && s.Replicas[0].Health == topology.Online
	})
	if s.Epoch != 2 || s.Master.Addr == c.Addrs()[0] {
		t.Errorf("state %+v", s)
	}
	if a.Leading() || !b.Leading() {
		t.Error("the wrong member leads")
	}
}

func TestAMemberThatComesToLeadBeginsTheCluster(t *testing.T) {
	c := testcluster.New(t, 1)
	p := &parliament{}
	a, b := p.enter("a"), p.enter("b") // a leads and does nothing
	b.attend(t, c.Addrs()...)
	p.mu.Lock()
	p.leave(a)
	p.mu.Unlock()
	p.await(t, "the first state", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1]) })
}

func (s *seat) Requests() []topology.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *seat) WatchRequests(func([]topology.Request)) (stop func()) { return func() {} }

func (s *seat) Answer(_ context.Context, id string, answer topology.Answer, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leads() {
		return topology.ErrNotLeader
	}
	for i := range s.requests {
		if s.requests[i].ID == id && s.requests[i].Answer == "" {
			s.requests[i].Answer, s.requests[i].Text = answer, text
			return nil
		}
	}
	return topology.ErrNoRequest
}
