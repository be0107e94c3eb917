package transparency

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

const unknown = "-UNKNOWNRESULT connection to the master was lost after the command was sent; it may or may not have been applied"

// cut closes all the proxy's connections to a node: lanes and pins, also those that are subscribed.
func cut(t testing.TB, node *testcluster.Redis) {
	t.Helper()
	must(t, node, "CLIENT", "KILL", "TYPE", "normal")
	must(t, node, "CLIENT", "KILL", "TYPE", "pubsub")
}

// keepCutting cuts the connections to nodes again and again until stopped.
func keepCutting(t *testing.T, every time.Duration, nodes ...*testcluster.Redis) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, node := range nodes {
		conn, err := node.Dial()
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			defer conn.Close()
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				for _, kind := range []string{"normal", "pubsub"} {
					if _, err := conn.Do("CLIENT", "KILL", "TYPE", kind); err != nil { // not this connection: SKIPME is the default
						t.Error(err)
						return
					}
				}
			}
		})
	}
	return func() { cancel(); running.Wait() }
}

// during is true for 3 s, and then until so much was done that it proves something, which a busy machine takes longer for.
func during(enough func() bool) func() bool {
	began := time.Now()
	return func() bool {
		took := time.Since(began)
		return took < 3*time.Second || took < time.Minute && !enough()
	}
}

func TestWithLanesCutUnderLoadReadsNeverFailAndNothingIsAppliedTwice(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	f.dial().expect("+OK", "SET", "fixed", "value")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := keepCutting(t, 20*time.Millisecond, f.cluster.Nodes...)
	var running sync.WaitGroup
	var acked, lost, reads atomic.Int64
	goOn := during(func() bool { return acked.Load() >= 1000 && reads.Load() >= 500 })
	for w := range 8 {
		c := f.dial()
		running.Go(func() { // writers: pipelines of INCR with an ECHO behind each, which shows the order
			key := fmt.Sprint("n", w)
			acks, unknowns, last := 0, 0, 0
			for i := 0; goOn(); i++ {
				var requests []byte
				for k := range 10 {
					requests = append(requests, request("INCR", key)...)
					requests = append(requests, request("ECHO", fmt.Sprint(i, ".", k))...)
				}
				c.send(requests)
				for k := range 10 {
					switch got := c.reply(); {
					case got[0] == ':':
						n, err := strconv.Atoi(strings.TrimSpace(got[1:]))
						if err != nil || n <= last {
							t.Errorf("%s is %q after %d", key, got, last)
						}
						last = n
						acks++
						acked.Add(1)
					case strings.HasPrefix(got, unknown):
						unknowns++
						lost.Add(1)
					default:
						t.Errorf("INCR: %q", got)
						return
					}
					text := fmt.Sprint(i, ".", k)
					if got := c.reply(); got != fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) {
						t.Errorf("%q instead of %s: out of order", got, text)
						return
					}
				}
			}
			final := c.do("GET", key)
			n, err := strconv.Atoi(strings.Split(final, "\r\n")[1])
			if err != nil || n < acks || n > acks+unknowns {
				t.Errorf("%s is %q, with %d increments acknowledged and %d unknown", key, final, acks, unknowns)
			}
		})
	}
	for range 4 {
		c := f.dial()
		running.Go(func() {
			for goOn() {
				if got := c.do("GET", "fixed"); got != "$5\r\nvalue\r\n" {
					t.Errorf("a read failed: %q", got)
					return
				}
				reads.Add(1)
			}
		})
	}
	running.Wait()
	stop()
	t.Logf("%d writes acknowledged, %d unknown, %d reads", acked.Load(), lost.Load(), reads.Load())
	if acked.Load() < 1000 || reads.Load() < 500 {
		t.Error("too little was done to prove anything")
	}
}

func TestBlocksAndTransactionsUnderCutsAreAppliedOnceOrNotAtAll(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	stop := keepCutting(t, 15*time.Millisecond, f.master())
	var running sync.WaitGroup
	for w := range 6 {
		c := f.dial()
		running.Go(func() {
			a, b := fmt.Sprint("a", w), fmt.Sprint("b", w)
			done, unknowns, aborted := 0, 0, 0
			goOn := during(func() bool { return done >= 10 })
			for i := 0; goOn(); i++ {
				exec := ""
				switch i % 3 {
				case 0: // a block
					var all []byte
					for _, args := range [][]string{{"MULTI"}, {"INCR", a}, {"INCR", b}, {"EXEC"}} {
						all = append(all, request(args...)...)
					}
					c.send(all)
					for _, want := range []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"} {
						if got := c.reply(); got != want {
							t.Errorf("%q instead of %q", got, want)
							return
						}
					}
					exec = c.reply()
				case 1: // command by command
					for _, args := range [][]string{{"MULTI"}, {"INCR", a}, {"INCR", b}} {
						if got := c.do(args...); got[0] != '+' {
							t.Errorf("%v: %q", args, got)
							return
						}
					}
					exec = c.do("EXEC")
				default: // with WATCH
					for _, args := range [][]string{{"WATCH", a}, {"GET", a}, {"MULTI"}, {"INCR", a}, {"INCR", b}} {
						if got := c.do(args...); got[0] == '-' {
							t.Errorf("%v: %q", args, got)
							return
						}
					}
					exec = c.do("EXEC")
				}
				switch {
				case strings.HasPrefix(exec, "*2\r\n:"):
					done++
				case exec == "*-1\r\n" && i%3 == 2:
					aborted++
				case strings.HasPrefix(exec, unknown):
					unknowns++
				default:
					t.Errorf("EXEC: %q", exec)
					return
				}
			}
			stopped := c.do("MGET", a, b)
			values := strings.Split(stopped, "\r\n")
			n, err := strconv.Atoi(values[2])
			if err != nil || values[2] != values[4] {
				t.Errorf("both counters were incremented together, but are %q", stopped)
			}
			if n < done || n > done+unknowns {
				t.Errorf("the counter is %d with %d transactions done, %d unknown and %d aborted", n, done, unknowns, aborted)
			}
			if done < 10 {
				t.Errorf("only %d transactions were done", done)
			}
		})
	}
	running.Wait()
	stop()
}

func TestATransactionWhoseConnectionIsLostBeforeExec(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	t.Run("is sent again as a whole", func(t *testing.T) {
		f.t = t
		c := f.dial()
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "INCR", "n")
		cut(t, f.master())
		c.expect("+QUEUED", "PING")
		c.expect("-ERR MULTI calls can not be nested", "MULTI")
		c.expect("-ERR WATCH inside MULTI is not allowed", "WATCH", "n")
		c.expect("-ERR wrong number of arguments for 'watch' command", "WATCH")
		c.expect("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
		c.expect("+OK", "MULTI")
		c.expect("-ERR MULTI calls can not be nested", "MULTI")
		c.expect("+QUEUED", "INCR", "n")
		cut(t, f.master())
		c.expect("+QUEUED", "PING")
		cut(t, f.master())
		c.expect("*2\r\n:1\r\n+PONG", "EXEC")
		c.expect("$1\r\n1", "GET", "n")
	})
	t.Run("is as if changed when keys are watched", func(t *testing.T) {
		f.t = t
		c := f.dial()
		c.expect("+OK", "WATCH", "n")
		cut(t, f.master())
		c.expect("$1\r\n1", "GET", "n")
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "INCR", "n")
		c.expect("*-1", "EXEC")
		c.expect("$1\r\n1", "GET", "n")
		c.expect("+OK", "WATCH", "n")
		c.expect("+OK", "MULTI")
		cut(t, f.master())
		c.expect("+QUEUED", "INCR", "n")
		c.expect("*-1", "EXEC")
	})
	t.Run("can be discarded", func(t *testing.T) {
		f.t = t
		c := f.dial()
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "INCR", "n")
		cut(t, f.master())
		c.expect("+OK", "DISCARD")
		c.expect("-ERR DISCARD without MULTI", "DISCARD")
		c.expect("+OK", "WATCH", "n")
		cut(t, f.master())
		c.expect("+OK", "UNWATCH")
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "INCR", "n")
		c.expect("*1\r\n:2", "EXEC")
	})
	t.Run("takes its database, its user and its size along", func(t *testing.T) {
		f.t = t
		c := f.dial()
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "SELECT", "2")
		c.expect("+QUEUED", "SET", "in2", strings.Repeat("x", 3<<20))
		c.expect("+QUEUED", "CLIENT", "SETNAME", "me")
		cut(t, f.master())
		c.expect("+QUEUED", "HELLO", "2", "AUTH", "default", "x")
		cut(t, f.master())
		c.expect("+QUEUED", "CLIENT", "GETNAME")
		if got := c.do("EXEC"); !strings.HasPrefix(got, "*5\r\n+OK\r\n+OK\r\n+OK\r\n*14\r\n") || !strings.HasSuffix(got, "$2\r\nme\r\n") {
			t.Errorf("%q", got)
		}
		c.expect(":3145728", "STRLEN", "in2")
		c.expect("+OK", "SELECT", "0")
		c.expect(":0", "EXISTS", "in2")
	})
	t.Run("is aborted when it is too large to be kept", func(t *testing.T) {
		f.t = t
		c := f.dial()
		c.expect("+OK", "MULTI")
		for range 17 {
			c.expect("+QUEUED", "SET", "large", strings.Repeat("x", 4<<20))
		}
		cut(t, f.master())
		c.expect("-EXECABORT Transaction discarded because the connection to the master was lost.", "EXEC")
		c.expect(":0", "EXISTS", "large")
	})
}

func TestABlockedPopWhoseConnectionIsLostIsUnknownAndNotRepeated(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c := f.dial()
	c.send(append(request("BLPOP", "queue", "0"), request("PING", "next")...))
	waitBlocked(t, f.master(), 1)
	cut(t, f.master())
	c.receives(unknown)
	c.receives("$4\r\nnext")
	waitBlocked(t, f.master(), 0)
	c.expect(":1", "RPUSH", "queue", "job")
	c.expect("$3\r\njob", "LPOP", "queue")
}

func TestABlockedReadWhoseConnectionIsLostIsSentAgain(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c := f.dial()
	c.send(request("XREAD", "BLOCK", "0", "STREAMS", "s", "0-0"))
	for range 3 {
		waitBlocked(t, f.master(), 1)
		cut(t, f.master())
	}
	waitBlocked(t, f.master(), 1)
	f.dial().expect("$3\r\n1-1", "XADD", "s", "1-1", "f", "v")
	c.receives("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv")
}

func TestSubscriptionsWhoseConnectionIsLostAreMadeAgainWithoutAWord(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			f := newFront(t, testcluster.New(t, 1), nil)
			kind := map[string]string{"2": "*", "3": ">"}[proto]
			sub, pub := f.dial(), f.dial()
			sub.do("HELLO", proto)
			sub.send(append(append(request("SUBSCRIBE", "a", "b"), request("PSUBSCRIBE", "p*")...), request("SSUBSCRIBE", "s")...))
			for _, want := range []string{"subscribe\r\n$1\r\na\r\n:1", "subscribe\r\n$1\r\nb\r\n:2", "psubscribe\r\n$2\r\np*\r\n:3", "ssubscribe\r\n$1\r\ns\r\n:1"} {
				if got := sub.reply(); !strings.HasPrefix(got, kind+"3\r\n$") || !strings.HasSuffix(got, "\r\n"+want+"\r\n") {
					t.Fatalf("%q instead of %q", got, want)
				}
			}
			for range 3 {
				cut(t, f.master())
				testcluster.WaitFor(t, "the subscriptions to be made again", func() bool {
					return pub.do("PUBLISH", "b", "x") == ":1\r\n" && pub.do("PUBLISH", "pat", "x") == ":1\r\n" && pub.do("SPUBLISH", "s", "x") == ":1\r\n"
				})
				for seen := ""; !strings.HasSuffix(seen, "smessage\r\n$1\r\ns\r\n$1\r\nx\r\n"); { // some may come twice or more, by the polling
					if seen = sub.reply(); !strings.Contains(seen, "message\r\n") {
						t.Fatalf("a surprise: %q", seen)
					}
				}
			}
			sub.send(append(append(request("UNSUBSCRIBE", "a", "b"), request("PUNSUBSCRIBE", "p*")...), request("SUNSUBSCRIBE", "s")...))
			for _, want := range []string{"unsubscribe\r\n$1\r\na\r\n:2", "unsubscribe\r\n$1\r\nb\r\n:1", "punsubscribe\r\n$2\r\np*\r\n:0", "sunsubscribe\r\n$1\r\ns\r\n:0"} {
				if got := sub.reply(); !strings.HasSuffix(got, "\r\n"+want+"\r\n") {
					t.Fatalf("%q instead of %q", got, want)
				}
			}
			sub.expect("+OK", "SET", "after", "1")
		})
	}
}

func TestSubscribingWhileConnectionsAreCutGivesEveryConfirmationOnce(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	stop := keepCutting(t, 5*time.Millisecond, f.master())
	defer stop()
	c := f.dial()
	for i := range 300 {
		c.send(append(append(request("SUBSCRIBE", "a", "b"), request("PING")...), request("UNSUBSCRIBE", "a", "b")...))
		for _, want := range []string{"$9\r\nsubscribe\r\n$1\r\na\r\n:1", "$9\r\nsubscribe\r\n$1\r\nb\r\n:2", "$4\r\npong\r\n$0\r\n",
			"$11\r\nunsubscribe\r\n$1\r\na\r\n:1", "$11\r\nunsubscribe\r\n$1\r\nb\r\n:0"} {
			if got := c.reply(); !strings.Contains(got, want+"\r\n") {
				t.Fatalf("round %d: %q instead of %q", i, got, want)
			}
		}
		c.expect("+PONG", "PING")
	}
}
