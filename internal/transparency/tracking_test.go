package transparency

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

const invalidateAll = ">2\r\n$10\r\ninvalidate\r\n_"

// invalidated is what a client with tracking is told of a key.
func invalidated(key string) string {
	return fmt.Sprintf(">2\r\n$10\r\ninvalidate\r\n*1\r\n$%d\r\n%s", len(key), key)
}

func TestAClientWithTrackingDropsItsCacheAndIsTrackedAgainWhenItsConnectionIsLost(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	other := f.dial()
	for name, begin := range map[string][][]string{
		"by default": {{"CLIENT", "TRACKING", "ON"}},
		"OPTIN":      {{"CLIENT", "TRACKING", "ON", "OPTIN"}},
		"OPTOUT":     {{"CLIENT", "TRACKING", "ON", "OPTOUT", "NOLOOP"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := f.dial()
			c.do("HELLO", "3")
			for _, request := range begin {
				c.expect("+OK", request...)
			}
			for i := range 3 {
				other.do("SET", "k", fmt.Sprint("a", i))
				if name == "OPTIN" {
					c.expect("+OK", "CLIENT", "CACHING", "YES")
				}
				c.expect(fmt.Sprint("$2\r\na", i), "GET", "k")
				other.do("SET", "k", fmt.Sprint("b", i))
				c.receives(invalidated("k"))
				cut(t, f.master())
				c.receives(invalidateAll)
			}
			info := c.do("CLIENT", "TRACKINGINFO")
			if name != "by default" && !strings.Contains(info, strings.ToLower(name)) || strings.Contains(info, "$3\r\noff") {
				t.Errorf("%q", info)
			}
			c.expect("+OK", "CLIENT", "TRACKING", "OFF")
			c.do("GET", "k")
			other.do("SET", "k", "c")
			cut(t, f.master())
			c.expect("+PONG", "PING") // and nothing before
		})
	}
}

func TestTrackingOfPrefixesIsTurnedOnAgainWithoutARequest(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c, other := f.dial(), f.dial()
	c.do("HELLO", "3")
	c.expect("+OK", "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:")
	c.expect("+OK", "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "job:")
	other.do("SET", "user:1", "x")
	c.receives(invalidated("user:1"))
	cut(t, f.master())
	c.receives(invalidateAll) // at once
	c.receives(invalidateAll) // of what others have read for this client before it was tracked again
	for _, key := range []string{"user:1", "job:1"} {
		other.do("SET", key, "y")
		c.receives(invalidated(key))
	}
}

func TestTrackingHoldsInTransactionsAndOtherDatabases(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c, other := f.dial(), f.dial()
	c.do("HELLO", "3")
	c.expect("+OK", "CLIENT", "TRACKING", "ON", "OPTIN")
	for _, pipelined := range []bool{true, false} {
		other.do("SET", "k", "v")
		requests := [][]string{{"CLIENT", "CACHING", "YES"}, {"MULTI"}, {"PTTL", "k"}, {"GET", "k"}, {"EXEC"}}
		replies := []string{"+OK", "+OK", "+QUEUED", "+QUEUED", "*2\r\n:-1\r\n$1\r\nv"}
		if pipelined {
			var all []byte
			for _, r := range requests {
				all = append(all, request(r...)...)
			}
			c.send(all)
			for _, want := range replies {
				c.receives(want)
			}
		} else {
			for i, r := range requests {
				c.expect(replies[i], r...)
			}
		}
		other.do("SET", "k", "w")
		c.receives(invalidated("k"))
	}
	c.expect("+OK", "SELECT", "3")
	c.expect("+OK", "CLIENT", "CACHING", "YES")
	c.expect("_", "GET", "three")
	other.do("SELECT", "3")
	other.do("SET", "three", "x")
	c.receives(invalidated("three"))
	cut(t, f.master())
	c.receives(invalidateAll)
	c.expect("$1\r\nx", "GET", "three") // it is in that database still
	c.expect("+RESET", "RESET")
	c.expect("$-1", "GET", "three")
}

func TestAWriteOfATrackedClientThatWasSentAndNotAnsweredIsNotSentTwice(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	stop := keepCutting(t, 3*time.Millisecond, f.master())
	c := f.dial()
	c.do("HELLO", "3")
	c.expect("+OK", "CLIENT", "TRACKING", "ON")
	answered, unknown := 0, 0
	for range 500 {
		c.send(request("INCR", "n"))
		for got := c.reply(); ; got = c.reply() {
			if strings.HasPrefix(got, ">") {
				continue
			}
			if got[0] == ':' {
				answered++
			} else if strings.HasPrefix(got, "-UNKNOWNRESULT") {
				unknown++
			} else {
				t.Fatalf("%q", got)
			}
			break
		}
	}
	stop()
	var n int
	if _, err := fmt.Sscanf(strings.ReplaceAll(f.dial().do("GET", "n"), "\r\n", " "), "$%d %d", new(int), &n); err != nil {
		t.Fatal(err)
	}
	if n < answered || n > answered+unknown {
		t.Errorf("%d answered, %d unknown, %d counted", answered, unknown, n)
	}
}

func TestRueidisCachesOnItsSideAcrossAFailover(t *testing.T) {
	s := newSystem(t, 2)
	for _, prefixes := range [][]string{nil, {"k"}} {
		option := rueidis.ClientOption{InitAddress: []string{s.addr}, ForceSingleClient: true, DisableRetry: true}
		if prefixes != nil {
			option.ClientTrackingOptions = []string{"PREFIX", "k", "BCAST"}
		}
		db, err := rueidis.NewClient(option)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		other, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, ForceSingleClient: true, DisableCache: true})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		set := func(value string) {
			t.Helper()
			if err := other.Do(ctx, other.B().Set().Key("k").Value(value).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		get := func() (value string, cached bool) {
			t.Helper()
			r := db.DoCache(ctx, db.B().Get().Key("k").Cache(), time.Hour)
			value, err := r.ToString()
			if err != nil {
				t.Fatal(err)
			}
			return value, r.IsCacheHit()
		}
		see := func(value string) {
			t.Helper()
			testcluster.WaitFor(t, "the cache to have "+value, func() bool { got, _ := get(); return got == value })
			testcluster.WaitFor(t, "an answer from the cache", func() bool { got, cached := get(); return got == value && cached })
		}
		set("1")
		see("1")
		set("2")
		see("2")
		if prefixes == nil {
			s.killMaster()
		} else {
			cut(t, s.cluster.Node(s.coord.Snapshot().State.Master.Addr))
		}
		set("3")
		see("3")
		set("4")
		see("4")
	}
}

// redirects is a client whose invalidations go to another one.
type redirects struct{ from, to *client }

// redirected are clients in all versions of the protocol, those that redirect and those that are told.
func redirected(t *testing.T, addr string) (all []redirects) {
	t.Helper()
	for _, protos := range []string{"22", "23", "32", "33", "22", "33"} {
		r := redirects{dial(t, "tcp", addr), dial(t, "tcp", addr)}
		r.to.do("HELLO", protos[1:])
		id := strings.TrimSpace(r.to.do("CLIENT", "ID")[1:])
		if protos[1] == '2' {
			r.to.do("SUBSCRIBE", "__redis__:invalidate")
		}
		r.from.do("HELLO", protos[:1])
		r.from.expect("+OK", "CLIENT", "TRACKING", "ON", "REDIRECT", id)
		all = append(all, r)
	}
	return all
}

// told reads invalidations until one of a key, and fails the test if all that come before are not of everything. It returns
// how many those were.
func (r redirects) told(key string) (before int) {
	r.to.t.Helper()
	for ; ; before++ {
		frame := r.to.reply()
		_, what, found := strings.Cut(frame, "invalidate\r\n")
		if what == fmt.Sprintf("*1\r\n$%d\r\n%s\r\n", len(key), key) {
			return before
		}
		if !found || what != "$-1\r\n" && what != "_\r\n" {
			r.to.t.Fatalf("%q", frame)
		}
	}
}

// toldAll waits for an invalidation of everything.
func (r redirects) toldAll() {
	r.to.t.Helper()
	frame := r.to.reply()
	if _, what, _ := strings.Cut(frame, "invalidate\r\n"); what != "$-1\r\n" && what != "_\r\n" {
		r.to.t.Fatalf("%q", frame)
	}
}

func TestRedirectedInvalidationsGoOnWhenConnectionsAreLost(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.Loops = 2 })
	all, other := redirected(t, f.addr), f.dial()
	for round := range 3 {
		for _, r := range all {
			r.from.do("GET", "k")
		}
		other.do("SET", "k", fmt.Sprint(round))
		for _, r := range all {
			r.told("k")
		}
		if round == 0 { // nobody has lost anything yet
			cut(t, f.master())
		} else { // only those that hear
			for line := range strings.Lines(string(must(t, f.master(), "CLIENT", "LIST").([]byte))) {
				if strings.Contains(line, " cmd=client|id ") && strings.Contains(line, " resp=3") {
					id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
					must(t, f.master(), "CLIENT", "KILL", "ID", id)
				}
			}
		}
		for _, r := range all {
			r.toldAll()
		}
	}
}

func TestRedirectedInvalidationsGoOnAfterAFailover(t *testing.T) {
	s := newSystem(t, 2)
	all, other := redirected(t, s.addr), dial(t, "tcp", s.addr)
	for _, r := range all {
		r.from.do("GET", "k")
	}
	s.killMaster()
	for _, r := range all {
		r.toldAll()
		r.from.do("GET", "k")
	}
	other.expect("+OK", "SET", "k", "v")
	for _, r := range all {
		r.told("k")
	}
}

func TestTheEndOfAClientEndsWhatIsRedirectedToItAndNothingElse(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.Loops = 2 })
	all, other := redirected(t, f.addr), f.dial()
	for _, r := range all[:3] {
		r.to.conn.Close()
	}
	testcluster.WaitFor(t, "the ends to be noticed", func() bool { return f.proxy.Clients() == 2*len(all)-3+1 })
	for _, r := range all {
		r.from.do("GET", "k")
	}
	other.do("SET", "k", "v")
	for _, r := range all[3:] {
		r.told("k")
	}
	for _, r := range all[:2] {
		testcluster.WaitFor(t, "the server to notice", func() bool {
			r.from.do("GET", "k")
			other.do("SET", "k", "v")
			return strings.Contains(r.from.do("CLIENT", "TRACKINGINFO"), "broken_redirect")
		})
		// What would tell nobody is not turned on again on another master.
		r.from.expect("+PONG", "PING")
	}
	cut(t, f.master())
	for _, r := range all[:3] {
		r.from.rest()
	}
	for _, r := range all[3:] {
		r.from.do("GET", "k")
	}
	other.do("SET", "k", "v")
	for _, r := range all[3:] {
		r.told("k")
	}
}

func TestTrackingHoldsForLargeRequests(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c, other := f.dial(), f.dial()
	large := strings.Repeat("x", 2<<20)
	c.do("HELLO", "3")
	c.expect("+OK", "CLIENT", "TRACKING", "ON", "NOLOOP")
	c.expect("+OK", "SET", "k", "v")
	c.expect("$1\r\nv", "EVAL", "return redis.call('GET', KEYS[1])", "1", "k", large)
	other.do("SET", "k", "w")
	c.receives(invalidated("k"))
	c.expect("$1\r\nw", "GET", "k")
	c.expect("+OK", "SET", "k", large) // its own write, of which it does not want to hear
	c.expect("+PONG", "PING")
}

func TestAClientThatCachesAndListensHearsOfAChangeBeforeTheMessageBehindIt(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c, writer := f.dial(), f.dial()
	c.do("HELLO", "3")
	c.expect(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1", "SUBSCRIBE", "c")
	c.expect("+OK", "CLIENT", "TRACKING", "ON")
	writer.expect("+OK", "SET", "x", "0")
	for i := range 90 {
		c.do("GET", "x")
		n := fmt.Sprint(i + 10)
		writer.send(append(request("SET", "x", n), request("PUBLISH", "c", n)...))
		c.receives(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx")
		c.receives(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n" + n)
		writer.receives("+OK")
		writer.receives(":1")
	}
}
