package transparency

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
)

// subscribed is the confirmation that a client gets in RESP2.
func subscribed(verb, name string, count int) string {
	return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d", len(verb), verb, len(name), name, count)
}

// published is what a subscriber gets in RESP2.
func published(channel, text string) string {
	return fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(channel), channel, len(text), text)
}

// atServer is how many subscribers the master has.
func atServer(t testing.TB, node *testcluster.Redis, channel string) int64 {
	t.Helper()
	return must(t, node, "PUBSUB", "NUMSUB", channel).([]any)[1].(int64)
}

func TestAThousandSubscribersCostTheServerOneSubscription(t *testing.T) {
	const clients = 1000
	f := newFront(t, testcluster.New(t, 1), nil)
	var all []*client
	for i := range clients {
		c := f.dial()
		if i%2 == 1 {
			c.do("HELLO", "3")
		}
		c.send(request("SUBSCRIBE", "news"))
		all = append(all, c)
	}
	want := map[byte]string{'*': subscribed("subscribe", "news", 1) + "\r\n"}
	want['>'] = ">" + want['*'][1:]
	for _, c := range all {
		if got := c.reply(); got != want[got[0]] {
			t.Fatalf("%q", got)
		}
	}
	if n := atServer(t, f.master(), "news"); n != 1 {
		t.Errorf("the server has %d subscribers", n)
	}
	text := strings.Repeat("long ", 10_000)
	for _, text := range []string{"short", text} {
		f.dial().expect(":1", "PUBLISH", "news", text)
		for i, c := range all {
			if got := c.reply(); got[1:] != published("news", text)[1:] || (got[0] == '>') != (i%2 == 1) {
				t.Fatalf("client %d got %.200q", i, got)
			}
		}
	}
	for _, c := range all[1:] {
		c.conn.Close()
	}
	testcluster.WaitFor(t, "the others to be gone", func() bool { return f.proxy.Clients() == 3 })
	if n := atServer(t, f.master(), "news"); n != 1 {
		t.Errorf("the server has %d subscribers, of whom one is left", n)
	}
	all[0].expect(subscribed("unsubscribe", "news", 0), "UNSUBSCRIBE", "news")
	if n := atServer(t, f.master(), "news"); n != 0 {
		t.Errorf("the server has %d subscribers, of whom none is left", n)
	}
}

func TestSubscribersSeeNothingOfAFailoverAndNoMessageTwice(t *testing.T) {
	s := newSystem(t, 2)
	var subs []*client
	for _, proto := range []string{"2", "3"} {
		for range 5 {
			c := dial(t, "tcp", s.addr)
			c.do("HELLO", proto)
			c.do("SUBSCRIBE", "news")
			c.do("PSUBSCRIBE", "n?ws")
			c.do("SSUBSCRIBE", "news")
			subs = append(subs, c)
		}
	}
	pub := dial(t, "tcp", s.addr)
	for round := range 2 {
		if round > 0 {
			s.killMaster()
		}
		testcluster.WaitFor(t, "the subscriptions to be made again", func() bool {
			return pub.do("PUBLISH", "news", "again") == ":2\r\n" && pub.do("SPUBLISH", "news", "again") == ":1\r\n"
		})
		pub.do("PUBLISH", "news", fmt.Sprint("number ", round))
		pub.do("SPUBLISH", "news", fmt.Sprint("last ", round))
		for i, c := range subs {
			var got []string
			for len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "smessage last") {
				frame := c.reply()
				if !strings.Contains(frame[:18], "message\r\n") {
					t.Fatalf("subscriber %d got %q", i, frame)
				}
				lines := strings.Split(frame, "\r\n")
				if text := lines[len(lines)-2]; text != "again" { // some come more often, by the polling
					got = append(got, lines[2]+" "+text)
				}
			}
			want := []string{fmt.Sprint("message number ", round), fmt.Sprint("pmessage number ", round), fmt.Sprint("smessage last ", round)}
			if !slices.Equal(got, want) {
				t.Fatalf("subscriber %d got %q instead of %q", i, got, want)
			}
		}
	}
	for _, c := range subs {
		if got := c.do("UNSUBSCRIBE", "news"); !strings.HasSuffix(got, "unsubscribe\r\n$4\r\nnews\r\n:1\r\n") {
			t.Fatalf("%q", got)
		}
	}
}

func TestASubscriberInRESP3IsServedLikeAnyOther(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.Listen[0].Policy = session.Eventual })
	c, other := f.dial(), f.dial()
	other.expect("+OK", "SET", "k", "v")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.do("HELLO", "3")
	c.expect(">"+subscribed("subscribe", "ch", 1)[1:], "SUBSCRIBE", "ch")
	before := calls(t, f.cluster.Nodes[1], "get")
	c.expect("$1\r\nv", "GET", "k")
	if calls(t, f.cluster.Nodes[1], "get") != before+1 {
		t.Error("the replica was not asked")
	}
	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "INCR", "n")
	other.expect(":1", "PUBLISH", "ch", "hi")
	if got, want := c.reply(), ">"+published("ch", "hi")[1:]; got != want {
		t.Fatalf("%q", got)
	}
	c.expect("*1\r\n:1", "EXEC")
	c.send(request("BLPOP", "l", "0"))
	waitBlocked(t, f.master(), 1)
	other.expect(":1", "PUBLISH", "ch", "ho")
	if got, want := c.reply(), ">"+published("ch", "ho")[1:]; got != want {
		t.Fatalf("%q", got)
	}
	other.expect(":1", "RPUSH", "l", "x")
	c.receives("*2\r\n$1\r\nl\r\n$1\r\nx")
	// Back in RESP2 it may do no more than listen.
	if got := c.do("HELLO", "2"); got[0] != '*' {
		t.Fatalf("%q", got)
	}
	c.expect("-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", "GET", "k")
	c.expect(subscribed("unsubscribe", "ch", 0), "UNSUBSCRIBE")
	c.expect("$1\r\nv", "GET", "k")
}

func TestUnsubscribingFromEverythingNamesAll(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	c := f.dial()
	var channels []string
	for i := range 50 {
		channels = append(channels, fmt.Sprint("ch", i))
		c.expect(subscribed("subscribe", channels[i], i+1), "SUBSCRIBE", channels[i])
	}
	c.send(request("UNSUBSCRIBE"))
	for left := len(channels) - 1; left >= 0; left-- {
		lines := strings.Split(c.reply(), "\r\n")
		i := slices.Index(channels, lines[4])
		if i < 0 || lines[5] != fmt.Sprint(":", left) {
			t.Fatalf("%q", lines)
		}
		channels = slices.Delete(channels, i, i+1)
	}
	c.expect("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0", "UNSUBSCRIBE")
}

func TestKeyspaceNotificationsReachSubscribers(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	sub, c := f.dial(), f.dial()
	c.expect("+OK", "CONFIG", "SET", "notify-keyspace-events", "KEA")
	sub.expect(subscribed("psubscribe", "__key*__:*", 1), "PSUBSCRIBE", "__key*__:*")
	c.expect("+OK", "SELECT", "3")
	c.expect("+OK", "SET", "k", "v", "PX", "1")
	for _, want := range []string{"__keyspace@3__:k set", "__keyevent@3__:set k", "__keyspace@3__:k expire", "__keyevent@3__:expire k",
		"__keyspace@3__:k expired", "__keyevent@3__:expired k"} {
		lines := strings.Split(sub.reply(), "\r\n")
		if got := lines[6] + " " + lines[8]; got != want {
			t.Fatalf("%q instead of %q", got, want)
		}
	}
}

func TestUsersListenToWhatTheServerLetsThem(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	for _, user := range []string{"alice", "bob"} {
		must(t, f.master(), "ACL", "SETUSER", user, "on", ">"+user, "~*", "+@all", "&"+user, "&all")
	}
	clients := map[string]*client{}
	for _, user := range []string{"alice", "bob"} {
		c := f.dial()
		c.expect("+OK", "AUTH", user, user)
		c.expect(subscribed("subscribe", user, 1), "SUBSCRIBE", user)
		c.expect(subscribed("subscribe", "all", 2), "SUBSCRIBE", "all")
		clients[user] = c
	}
	const no = "-NOPERM this user has no permissions to access one of the channels used as arguments"
	clients["alice"].expect(no, "SUBSCRIBE", "all", "bob")
	clients["bob"].expect(no, "PSUBSCRIBE", "*")
	if n := atServer(t, f.master(), "all"); n != 2 {
		t.Errorf("%d connections to the server, of two users", n)
	}
	must(t, f.master(), "PUBLISH", "all", "hi")
	for _, c := range clients {
		if got := c.reply(); got != published("all", "hi") {
			t.Fatalf("%q", got)
		}
	}
	// Who loses a right is disconnected, as by a server; those who did not use it are not.
	other := f.dial()
	other.expect("+OK", "AUTH", "bob", "bob")
	other.expect(subscribed("subscribe", "bob", 1), "SUBSCRIBE", "bob")
	must(t, f.master(), "ACL", "SETUSER", "bob", "resetchannels", "&bob")
	clients["bob"].closed()
	testcluster.WaitFor(t, "the other one to be subscribed again", func() bool { return atServer(t, f.master(), "bob") == 1 })
	must(t, f.master(), "PUBLISH", "bob", "still")
	if got := other.reply(); got != published("bob", "still") {
		t.Fatalf("%q", got)
	}
	// A user who is no more cannot come back.
	must(t, f.master(), "ACL", "DELUSER", "bob")
	other.closed()
	must(t, f.master(), "PUBLISH", "alice", "hi")
	if got := clients["alice"].reply(); got != published("alice", "hi") {
		t.Fatalf("%q", got)
	}
}

func TestPublishingAndUnsubscribingInTurnsLosesNothing(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), func(c *proxy.Config) { c.Loops = 2 })
	stays, comes, pub := f.dial(), f.dial(), f.dial()
	stays.expect(subscribed("subscribe", "ch", 1), "SUBSCRIBE", "ch")
	until := time.Now().Add(time.Second)
	for i := 0; time.Now().Before(until); i++ {
		comes.expect(subscribed("subscribe", "ch", 1), "SUBSCRIBE", "ch")
		pub.do("PUBLISH", "ch", fmt.Sprint(i))
		comes.send(request("UNSUBSCRIBE", "ch"))
		if got := comes.reply() + comes.reply(); got != published("ch", fmt.Sprint(i))+subscribed("unsubscribe", "ch", 0)+"\r\n" {
			t.Fatalf("%q", got)
		}
		if got := stays.reply(); got != published("ch", fmt.Sprint(i)) {
			t.Fatalf("%q", got)
		}
	}
}

// calls is how often a command was called at a node.
func calls(t testing.TB, node *testcluster.Redis, command string) int {
	t.Helper()
	stats := string(must(t, node, "INFO", "commandstats").([]byte))
	_, rest, found := strings.Cut(stats, "cmdstat_"+command+":calls=")
	if !found {
		return 0
	}
	n := 0
	if _, err := fmt.Sscan(rest[:strings.IndexByte(rest, ',')], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkAThousandSubscribesInOnePipeline compares the time that the server takes for them with that of the proxy.
func BenchmarkAThousandSubscribesInOnePipeline(b *testing.B) {
	f := newFront(b, testcluster.New(b, 0), nil)
	var pipeline []byte
	for i := range 1000 {
		pipeline = append(pipeline, request("SUBSCRIBE", fmt.Sprint("channel:", i))...)
	}
	for name, addr := range map[string]string{"direct": f.master().Addr, "proxy": f.addr} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c := dial(b, "tcp", addr)
				c.send(pipeline)
				for range 1000 {
					c.reply()
				}
				c.conn.Close()
			}
		})
	}
}
