package transparency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/peers"
	"github.com/understudy/understudy/topology"
)

// registry is where members find each other. It implements peers.Cluster.
type registry struct {
	mu      sync.Mutex
	members []topology.Member
	away    bool
}

const identity = "c0ffee"

func (r *registry) Identity() string { return identity }

func (r *registry) Members(context.Context) ([]topology.Member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, errors.New("away")
	}
	return append([]topology.Member(nil), r.members...), nil
}

func (r *registry) enter(id, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, topology.Member{ID: id, Addr: addr})
}

// member is a front that is one of several before the same nodes.
func (r *registry) member(t *testing.T, id string, cluster *testcluster.Cluster, change func(*proxy.Config)) *front {
	t.Helper()
	p := peers.New(id, r, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(p.Close)
	f := newFront(t, cluster, func(c *proxy.Config) {
		c.Peers, c.Loops = p, 2
		if change != nil {
			change(c)
		}
	})
	r.enter(id, f.addr)
	return f
}

// numSub is the reply to PUBSUB NUMSUB about one channel.
func numSub(channel string, n int) string {
	return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n:%d", len(channel), channel, n)
}

func TestSubscribersAreCountedAcrossMembersAsAServerWouldCountThem(t *testing.T) {
	cluster := testcluster.New(t, 1, "--requirepass", "secret") // and members are no users of the servers
	var r registry
	var members []*front
	for _, id := range []string{"a", "b", "c"} {
		f := r.member(t, id, cluster, func(c *proxy.Config) { c.Password = "secret" })
		knowsPassword(t, f)
		members = append(members, f)
	}
	direct := dial(t, "tcp", cluster.Nodes[0].Addr)
	direct.expect("+OK", "AUTH", "secret")
	direct.do("SUBSCRIBE", "news")
	clients := []*client{}
	for i := range 12 {
		c := members[i%3].dial()
		c.expect("+OK", "AUTH", "secret")
		if i%2 == 0 {
			c.do("HELLO", "3")
		}
		c.do("SUBSCRIBE", "news")
		if i < 5 {
			c.do("SSUBSCRIBE", "news")
			c.do("PSUBSCRIBE", "n*s")
		}
		clients = append(clients, c)
	}
	many := []string{"PUBSUB", "NUMSUB"}
	all := "*400\r\n"
	for i := range 200 { // more than a stranger may say at once
		many = append(many, fmt.Sprint("channel:", i))
		all += strings.TrimPrefix(numSub(many[2+i], 0), "*2\r\n") + "\r\n"
	}
	for i, f := range members {
		c := f.dial()
		c.expect("+OK", "AUTH", "secret")
		c.expect(numSub("news", 13), "PUBSUB", "NUMSUB", "news")
		c.expect("*4\r\n$4\r\nnone\r\n:0\r\n$4\r\nnews\r\n:5", "PUBSUB", "SHARDNUMSUB", "none", "news")
		c.expect(":1", "PUBSUB", "NUMPAT")
		c.expect("*1\r\n$4\r\nnews", "PUBSUB", "CHANNELS")
		c.expect("*1\r\n$4\r\nnews", "PUBSUB", "SHARDCHANNELS", "n*")
		c.expect("*0", "PUBSUB", "NUMSUB")
		if got := c.do(many...); got != all {
			t.Errorf("member %d: %q", i, got)
		}
	}
	// Those who go are not counted any more, and a connection that was lost is not taken for that of somebody else.
	clients[0].conn.Close()
	clients[11].do("UNSUBSCRIBE", "news")
	cut(t, cluster.Nodes[0])
	asks := members[0].dial()
	asks.expect("+OK", "AUTH", "secret")
	testcluster.WaitFor(t, "the others to be counted", func() bool { return asks.do("PUBSUB", "NUMSUB", "news") == numSub("news", 10)+"\r\n" })
}

func TestAMemberThatDoesNotAnswerCountsAsItDoesAtTheServer(t *testing.T) {
	cluster := testcluster.New(t, 0)
	var r registry
	a, b := r.member(t, "a", cluster, nil), r.member(t, "b", cluster, nil)
	for _, f := range []*front{a, b, b, b} {
		f.dial().do("SUBSCRIBE", "news")
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r.enter("silent", silent.Addr().String())
	r.enter("moved", b.addr) // another member answers there, which is not counted twice
	c := a.dial()
	c.expect(numSub("news", 4), "PUBSUB", "NUMSUB", "news")
	// Without a list of members the last one counts, and who has ended has no clients.
	r.mu.Lock()
	r.away = true
	r.mu.Unlock()
	c.expect(numSub("news", 4), "PUBSUB", "NUMSUB", "news")
	b.stop()
	testcluster.WaitFor(t, "the clients of the other to be forgotten", func() bool { return c.do("PUBSUB", "NUMSUB", "news") == numSub("news", 1)+"\r\n" })
}

func TestWhatMembersAskEachOtherIsUnknownToOthers(t *testing.T) {
	cluster := testcluster.New(t, 0)
	var r registry
	c := r.member(t, "a", cluster, nil).dial()
	// The admin of this test answers OK to whatever it is asked.
	c.expect("+OK", "PROXY", "LISTENERS", "CHANNEL", "news")
	c.expect("+OK", "PROXY", "MEMBER", "guess")
	c.expect("+OK", "PROXY", "MEMBER", "")
	c.expect("+OK", "PROXY", "LISTENERS", "CHANNEL", "news")
	c.expect("$1\r\na", "PROXY", "MEMBER", identity)
	c.expect("*2\r\n:0\r\n:0", "PROXY", "LISTENERS", "CHANNEL", "news")
	c.expect("-ERR unknown kind of subscriptions", "PROXY", "LISTENERS", "SPEECH", "news")
}

func TestWhoMayNotAskForSubscribersIsToldSoByTheServer(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	must(t, f.master(), "ACL", "SETUSER", "eve", "on", ">eve", "~*", "+@all", "-pubsub")
	c := f.dial()
	c.expect("+OK", "AUTH", "eve", "eve")
	for _, sub := range []string{"NUMSUB", "SHARDNUMSUB", "CHANNELS"} {
		if got := c.do("PUBSUB", sub); !strings.HasPrefix(got, "-NOPERM ") {
			t.Errorf("%s: %q", sub, got)
		}
	}
}

func TestTheMembersOwnChannelsAreNotListed(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	own, others := f.dial(), f.dial()
	own.do("SUBSCRIBE", "understudy")
	own.do("SUBSCRIBE", "understudy:shop:web-1 c0ffee")
	own.do("SUBSCRIBE", "understudy-following:shop:web-1")
	c := f.dial()
	c.expect("*0", "PUBSUB", "CHANNELS")
	others.do("SUBSCRIBE", "understudy-news")
	c.expect("*1\r\n$15\r\nunderstudy-news", "PUBSUB", "CHANNELS", "under*")
}

func TestFlushedScriptsAreForgottenByAllMembers(t *testing.T) {
	cluster := testcluster.New(t, 1)
	var r registry
	a, b := r.member(t, "a", cluster, nil).dial(), r.member(t, "b", cluster, nil).dial()
	const sha = "98fe65896b61b785c5ed328a5a0a1421f4f1490c" // of "return 500"
	const unknown = "-NOSCRIPT No matching script. Please use EVAL."
	for _, flush := range [][][]string{{{"SCRIPT", "FLUSH"}}, {{"MULTI"}, {"SCRIPT", "FLUSH"}, {"EXEC"}}} {
		a.expect("$40\r\n"+sha, "SCRIPT", "LOAD", "return 500")
		b.expect("$40\r\n"+sha, "SCRIPT", "LOAD", "return 500")
		b.expect(":500", "EVALSHA", sha, "0")
		for _, args := range flush {
			a.do(args...)
		}
		if len(flush) > 1 { // it is not waited for
			testcluster.WaitFor(t, "the other to forget", func() bool { return b.do("EVALSHA", sha, "0") == unknown+"\r\n" })
		}
		for range 3 {
			b.expect(unknown, "EVALSHA", sha, "0")
			a.expect(unknown, "EVALSHA", sha, "0")
		}
		b.expect("*1\r\n:0", "SCRIPT", "EXISTS", sha)
	}
}

func TestScriptsThatWereFlushedAtTheServerItselfAreNotRevived(t *testing.T) {
	s := newSystem(t, 1)
	c := dial(t, "tcp", s.addr)
	sha := strings.Split(c.do("SCRIPT", "LOAD", "return 7"), "\r\n")[1]
	c.expect(":7", "EVALSHA", sha, "0")
	must(t, s.cluster.Nodes[0], "SCRIPT", "FLUSH")
	for range 3 {
		c.expect("-NOSCRIPT No matching script. Please use EVAL.", "EVALSHA", sha, "0")
	}
}
