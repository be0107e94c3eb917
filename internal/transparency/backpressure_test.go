package transparency

import (
	"bytes"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// heap returns how many bytes are in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// stall writes the same bytes again and again until the proxy takes no more, and returns how many it took.
func stall(t *testing.T, c *client, p []byte, most int) int {
	t.Helper()
	sent := 0
	for sent < most {
		if err := c.conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := c.conn.Write(p)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return sent
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", sent, err)
		}
	}
	t.Fatalf("the proxy took %d bytes of requests from a client that does not read", sent)
	return 0
}

func TestAClientThatSendsAndNeverReadsIsStoppedAndHurtsNobody(t *testing.T) {
	cluster := testcluster.New(t, 1)
	for name, requests := range map[string][]byte{
		"reads of 1 KB":       request("GET", "kilo"),
		"reads of 100 KB":     request("GET", "large"),
		"pings":               request("PING", strings.Repeat("x", 1000)),
		"writes":              request("INCR", "n"),
		"inline":              []byte("GET kilo\r\n"),
		"whole transactions":  append(append(request("MULTI"), request("GET", "large")...), request("EXEC")...),
		"spread transactions": append(append(append(request("MULTI"), request("PING")...), request("GET", "large")...), request("EXEC")...),
		"empty requests":      append(request("GET", "large"), "\r\n\r\n\r\n"...),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, cluster, nil)
			other := f.dial()
			other.expect("+OK", "SET", "kilo", strings.Repeat("k", 1000))
			other.expect("+OK", "SET", "large", strings.Repeat("L", 100_000))
			before := heap()
			c := f.dial()
			var many []byte
			for len(many) < 64<<10 {
				many = append(many, requests...)
			}
			stall(t, c, many, 64<<20)
			if grown := int64(heap()) - int64(before); grown > 40<<20 {
				t.Errorf("the heap has grown by %d MB", grown>>20)
			}
			for range 200 {
				other.expect("$1000\r\n"+strings.Repeat("k", 1000), "GET", "kilo")
			}
		})
	}
}

func TestASlowReaderOfLargeValuesGetsThemAllWithBoundedMemory(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	value := strings.Repeat("v", 500_000)
	other := f.dial()
	other.expect("+OK", "SET", "large", value)
	other.expect("+OK", "SET", "small", "x")
	before := heap()
	c := f.dial()
	const small, large = 5000, 800                           // 400 MB, more than a client may leave unread
	requests := bytes.Repeat(request("GET", "small"), small) // they teach the proxy that replies are small
	requests = append(requests, bytes.Repeat(request("GET", "large"), large)...)
	requests = append(requests, request("PING", "end")...)
	sent := make(chan error, 1)
	go func() {
		_, err := c.conn.Write(requests)
		sent <- err
	}()
	for range small {
		c.receives("$1\r\nx")
	}
	most := int64(0)
	for i := range large {
		if i%50 == 0 { // time enough for what can pile up
			for range 100 {
				other.expect("$1\r\nx", "GET", "small")
			}
			most = max(most, int64(heap())-int64(before))
		}
		if got := c.reply(); got != "$500000\r\n"+value+"\r\n" {
			t.Fatalf("reply %d: %.100q", i, got)
		}
	}
	c.receives("$3\r\nend")
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if most > 60<<20 {
		t.Errorf("the heap has grown by up to %d MB", most>>20)
	}
	t.Logf("the heap has grown by up to %d MB", most>>20)
}

func TestASubscriberThatDoesNotReadIsDisconnectedAtTheLimit(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.OutputLimit = 1 << 20 })
	sub, pub := f.dial(), f.dial()
	sub.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1", "SUBSCRIBE", "ch")
	message := strings.Repeat("m", 100_000)
	testcluster.WaitFor(t, "the subscriber to be disconnected", func() bool { return pub.do("PUBLISH", "ch", message) == ":0\r\n" })
	if _, err := sub.rest(); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection remains: %v", err)
	}
	if n := f.proxy.Clients(); n != 1 {
		t.Errorf("%d clients", n)
	}
}

func TestAReaderThatFallsBehindTheOutputLimitIsNotCutOffForRepliesItAskedFor(t *testing.T) {
	// Replies to requests are never produced faster than they are read, so the limit is for pushed messages only.
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.OutputLimit = 32 << 20 })
	c := f.dial()
	c.expect("+OK", "SET", "large", strings.Repeat("L", 300_000))
	var requests []byte
	for range 1000 {
		requests = append(requests, request("GET", "large")...)
	}
	c.send(requests)
	for i := range 1000 {
		if got := c.reply(); len(got) < 300_000 {
			t.Fatalf("reply %d: %q", i, got)
		}
	}
}

func TestOneClientTooManyIsToldSo(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.MaxClients = 2 })
	a, b := f.dial(), f.dial()
	a.expect("+PONG", "PING")
	b.expect("+PONG", "PING")
	c := f.dial()
	c.receives("-ERR max number of clients reached")
	c.closed()
	b.expect("+OK", "QUIT")
	b.closed()
	testcluster.WaitFor(t, "room for another", func() bool { return f.proxy.Clients() == 1 })
	f.dial().expect("+PONG", "PING")
}

func TestAnIdleClientIsClosedAndABusyOneIsNot(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) { c.IdleTimeout = 100 * time.Millisecond })
	idle, blocked, subscribed := f.dial(), f.dial(), f.dial()
	idle.expect("+PONG", "PING")
	blocked.send(request("BLPOP", "queue", "0"))
	subscribed.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1", "SUBSCRIBE", "ch")
	idle.closed()
	must(t, f.master(), "RPUSH", "queue", "job")
	blocked.receives("*2\r\n$5\r\nqueue\r\n$3\r\njob")
	must(t, f.master(), "PUBLISH", "ch", "hi")
	subscribed.receives("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$2\r\nhi")
}

func TestAHalfClosedClientGetsAllItAskedFor(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	value := strings.Repeat("v", 100_000)
	f.dial().expect("+OK", "SET", "large", value)
	c := f.dial()
	const n = 500
	var requests []byte
	for range n {
		requests = append(requests, request("GET", "large")...)
	}
	requests = append(requests, request("PING", "end")...)
	requests = append(requests, "*2\r\n$3\r\nGET"...) // never completed
	c.send(requests)
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got := c.reply(); got != "$100000\r\n"+value+"\r\n" {
			t.Fatalf("reply %d: %.100q", i, got)
		}
	}
	c.receives("$3\r\nend")
	c.closed()
}

func TestASlowReaderWithAWriteBehindItsReadsIsNotCutOffForTheWritesOfOthers(t *testing.T) {
	for name, replicas := range map[string]int{"master alone": 0, "with a replica": 1} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, testcluster.New(t, replicas), func(c *proxy.Config) { c.OutputLimit = 32 << 20 })
			value := strings.Repeat("v", 500_000)
			other, c := f.dial(), f.dial()
			other.expect("+OK", "SET", "large", value)
			other.expect("+OK", "SET", "small", "x")
			const small, large = 1500, 200 // 100 MB, more than a client may leave unread
			c.send(bytes.Repeat(request("GET", "small"), small))
			for range small { // they teach the proxy that replies are small
				c.receives("$1\r\nx")
			}
			before := heap()
			c.send(append(bytes.Repeat(request("GET", "large"), large), request("SET", "own", "1")...))
			most := int64(0)
			for i := range large {
				for range 10 {
					other.do("INCR", "n")
				}
				if i%20 == 0 {
					most = max(most, int64(heap())-int64(before))
				}
				if got := c.reply(); got != "$500000\r\n"+value+"\r\n" {
					t.Fatalf("reply %d: %.100q", i, got)
				}
			}
			c.receives("+OK")
			if most > 32<<20 {
				t.Errorf("the heap has grown by up to %d MB", most>>20)
			}
		})
	}
}
