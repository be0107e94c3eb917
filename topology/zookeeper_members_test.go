package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestTheRegistryForgetsThoseWhoAreGoneForLong(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	cfg := memberConfig(t, servers, "a")
	cfg.ForgetAfter = testSession
	a := open(t, cfg)
	open(t, memberConfig(t, through, "b"))
	registered := func() string {
		list, err := a.Registered(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range list {
			names = append(names, fmt.Sprintf("%s %s %v", r.ID, r.Addr, r.Promise))
		}
		return strings.Join(names, ", ")
	}
	want := fmt.Sprintf("a 127.0.0.1:1a %v, b 127.0.0.1:1b %v", testSession, testSession)
	if got := registered(); got != want {
		t.Fatalf("registered: %q, want %q", got, want)
	}
	ways.cut()
	testcluster.WaitFor(t, "its absence", func() bool { return ids(t, a) == "a" })
	if got := registered(); got != want {
		t.Errorf("as soon as it is absent, registered is %q", got)
	}
	testcluster.WaitFor(t, "being forgotten", func() bool { return !strings.Contains(registered(), "b ") })
	ways.heal()
	testcluster.WaitFor(t, "being registered again", func() bool { return registered() == want })
}

func TestMembersAreWatchedByTheLeaderOnly(t *testing.T) {
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	c, root := operator(t, servers)
	// Heartbeats alone change nothing that is watched.
	_, before, err := c.Get(root + "/shop/members/b")
	if err != nil {
		t.Fatal(err)
	}
	drain := func(z *ZooKeeper) {
		if _, err := z.Members(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-z.MembersChanged():
		default:
		}
	}
	drain(a)
	drain(b)
	sent := b.lease.Load().Sent
	testcluster.WaitFor(t, "five heartbeats", func() bool { return b.lease.Load().Sent.Sub(sent) > 5*b.cfg.Heartbeat })
	if _, after, err := c.Get(root + "/shop/members/b"); err != nil || after.Version != before.Version {
		t.Errorf("heartbeats rewrote the znode: version %d after %d (%v)", after.Version, before.Version, err)
	}
	select {
	case <-a.MembersChanged():
		t.Error("the leader was woken for nothing")
	default:
	}
	if err := a.Publish(t.Context(), []NodeView{{Addr: "x:1"}}); err != nil {
		t.Fatal(err)
	}
	<-a.MembersChanged()
	select {
	case <-b.MembersChanged():
		t.Error("a member that does not lead watches the others")
	default:
	}
	// A member that leaves is told of, too.
	drain(a)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	<-a.MembersChanged()
	if got := ids(t, a); got != "a" {
		t.Errorf("members %q", got)
	}
}

func TestWhatASessionHasCreatedIsFoundAgain(t *testing.T) {
	servers := sharedZooKeeper(t)
	a, b := open(t, memberConfig(t, servers, "a")), open(t, memberConfig(t, servers, "b"))
	for _, z := range []*ZooKeeper{a, b} {
		s := z.session.Load()
		testcluster.WaitFor(t, "its candidate", func() bool { return s.candidate.Load() != nil })
		if found, err := s.findOwn(t.Context()); err != nil || found != *s.candidate.Load() {
			t.Errorf("candidate %q (%v), and it is %q", found, err, *s.candidate.Load())
		}
		if err := s.register(t.Context()); err != nil {
			t.Errorf("registering again: %v", err)
		}
	}
	if err := b.Acknowledge(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	list, err := a.Members(t.Context())
	if err != nil || len(list) != 2 || list[1].Fenced != 5 {
		t.Errorf("members %+v (%v)", list, err)
	}
}

func TestWhoAsksForMembersOfAClusterThatIsGoneFromZooKeeperIsToldThat(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	c, root := operator(t, servers)
	want := root + "/shop is gone from ZooKeeper, with its State; restore it"
	told := func() bool {
		_, err := a.Members(t.Context())
		return errors.Is(err, ErrOtherCluster) && strings.Contains(err.Error(), want)
	}
	wipe(t, c, root+"/shop")
	testcluster.WaitFor(t, "the sentence", told)
	testcluster.WaitFor(t, "the sentence between two sessions", func() bool { return a.session.Load() == nil && told() })
}

// counting counts the messages that are logged at Info or above.
type counting struct {
	mu   sync.Mutex
	said map[string]int
}

func (c *counting) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (c *counting) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c *counting) WithGroup(string) slog.Handler                { return c }
func (c *counting) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said[r.Message]++
	return nil
}

func (c *counting) count(message string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said[message]
}

// lives says how often z has begun a session, when asked often enough.
func lives(z *ZooKeeper) func() int {
	var last *session
	n := 0
	return func() int {
		if s := z.session.Load(); s != nil && s != last && s.isConnected() {
			last, n = s, n+1
		}
		return n
	}
}

func TestAMemberWhoseClusterIsGoneFromZooKeeperIsAnAlarmForAsLongAsThatIsSo(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	log := &counting{said: make(map[string]int)}
	cfg := memberConfig(t, servers, "a")
	cfg.Log = slog.New(log)
	a := open(t, cfg)
	c, root := operator(t, servers)
	if alarm := a.Authority().Alarm; alarm != "" {
		t.Fatalf("an alarm at the start: %s", alarm)
	}
	wipe(t, c, root+"/shop")
	want := root + "/shop is gone from ZooKeeper, with its State; restore it, or stop all members and start them again to found a new one"
	testcluster.WaitFor(t, "the alarm", func() bool { return strings.Contains(a.Authority().Alarm, want) })
	// It is tried again and again, which is told once.
	before, sessions := log.count("connected to ZooKeeper"), lives(a)
	testcluster.WaitFor(t, "three more sessions", func() bool { return sessions() > 3 })
	if after := log.count("connected to ZooKeeper"); after != before {
		t.Errorf("%d connections are told of instead of %d", after, before)
	}
	if alarm := a.Authority().Alarm; !strings.Contains(alarm, want) {
		t.Errorf("after three sessions the alarm is %q", alarm)
	}
	// Somebody else has founded a cluster anew meanwhile: this process has to be started again to join it.
	b := open(t, memberConfig(t, servers, "b"))
	testcluster.WaitFor(t, "another alarm", func() bool { return strings.Contains(a.Authority().Alarm, "restart this member") })
	if alarm := b.Authority().Alarm; alarm != "" {
		t.Errorf("the one that founded it says %q", alarm)
	}
}
