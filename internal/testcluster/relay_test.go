package testcluster

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// quiet is how long a test listens before it believes that nothing comes.
const quiet = 30 * time.Millisecond

// echoServer sends everything back until the end of the test.
func echoServer(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // ends as the client or the relay ends it
			}()
		}
	}()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return listener.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, callLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatalf("send %q: %v", text, err)
	}
}

// expect reads text within the limit and returns when it came.
func expect(t *testing.T, conn net.Conn, text string) time.Time {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(callLimit)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got, err, text)
	}
	return time.Now()
}

func expectSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if n, err := conn.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v; want silence", b[:n], err)
	}
}

func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(callLimit)); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if n, err := conn.Read(b[:]); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %q, %v; want a reset", b[:n], err)
	}
}

// expectNoService expects that a connection ends with a reset, at once or when it is read from.
func expectNoService(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, callLimit)
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	expectReset(t, conn)
}

func TestARelayHandsOnAllBytesAndTheEndOfTheStream(t *testing.T) {
	r := NewRelay(t, echoServer(t))
	conn := dial(t, r.Addr)
	sent := make([]byte, 3<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		written <- errors.Join(err, conn.(*net.TCPConn).CloseWrite())
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	WaitFor(t, "the relay to forget a connection that ended", func() bool { return r.Connections() == 0 })
}

func TestADelayedDirectionIsLateButNotSlow(t *testing.T) {
	const late = 40 * time.Millisecond
	r := NewRelay(t, echoServer(t))
	conn := dial(t, r.Addr)
	send(t, conn, "a")
	expect(t, conn, "a")
	for _, d := range []Direction{Upward, Downward} {
		r.Delay(d, late)
		began := time.Now()
		const n = 50
		for range n { // one after the other they would take n times the delay
			send(t, conn, "x")
		}
		arrived := expect(t, conn, string(bytes.Repeat([]byte("x"), n)))
		if took := arrived.Sub(began); took < late || took > n*late/2 {
			t.Errorf("direction %d took %v", d, took)
		}
		r.Delay(d, 0)
	}
}

func TestHealDeliversWhatWasDelayed(t *testing.T) {
	r := NewRelay(t, echoServer(t))
	conn := dial(t, r.Addr)
	r.Delay(BothWays, time.Hour)
	send(t, conn, "a")
	expectSilence(t, conn)
	r.Heal()
	expect(t, conn, "a")
}

func TestAFrozenDirectionDeliversLateAndInOrder(t *testing.T) {
	for _, d := range []Direction{Upward, Downward, BothWays} {
		r := NewRelay(t, echoServer(t))
		conn := dial(t, r.Addr)
		send(t, conn, "a")
		expect(t, conn, "a")
		r.Freeze(d)
		send(t, conn, "b")
		send(t, conn, "c")
		expectSilence(t, conn)
		r.Heal()
		expect(t, conn, "bc")
	}
}

func TestAFrozenRelayMakesNewConnectionsWait(t *testing.T) {
	r := NewRelay(t, echoServer(t))
	r.Freeze(BothWays)
	conn := dial(t, r.Addr)
	send(t, conn, "a")
	expectSilence(t, conn)
	r.Heal()
	expect(t, conn, "a")
}

func TestABlackHoleSwallowsAndEndsItsConnectionsAtHeal(t *testing.T) {
	for _, d := range []Direction{Upward, Downward, BothWays} {
		r := NewRelay(t, echoServer(t))
		conn, untouched := dial(t, r.Addr), dial(t, r.Addr)
		for _, c := range []net.Conn{conn, untouched} {
			send(t, c, "a")
			expect(t, c, "a")
		}
		r.Blackhole(d)
		send(t, conn, "b")
		expectSilence(t, conn)
		r.Heal()
		expectReset(t, conn)
		send(t, untouched, "c")
		expect(t, untouched, "c")
	}
}

func TestResetEndsOpenConnectionsAndServesNewOnes(t *testing.T) {
	r := NewRelay(t, echoServer(t))
	conn := dial(t, r.Addr)
	send(t, conn, "a")
	expect(t, conn, "a")
	r.Reset()
	expectReset(t, conn)
	again := dial(t, r.Addr)
	send(t, again, "a")
	expect(t, again, "a")
}

func TestACutRelayServesNobodyUntilHealed(t *testing.T) {
	r := NewRelay(t, echoServer(t))
	conn := dial(t, r.Addr)
	send(t, conn, "a")
	expect(t, conn, "a")
	r.Cut()
	expectReset(t, conn)
	expectNoService(t, r.Addr)
	r.Heal()
	again := dial(t, r.Addr)
	send(t, again, "a")
	expect(t, again, "a")
}

func TestARelayToNobodyResetsItsClients(t *testing.T) {
	port, release, err := ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	expectNoService(t, NewRelay(t, address(port)).Addr)
}

func TestARelayClosesInEveryState(t *testing.T) {
	faults := map[string]func(*Relay){
		"healthy":   func(*Relay) {},
		"cut":       (*Relay).Cut,
		"frozen":    func(r *Relay) { r.Freeze(BothWays) },
		"blackhole": func(r *Relay) { r.Blackhole(BothWays) },
		"delayed":   func(r *Relay) { r.Delay(BothWays, time.Hour) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			r := NewRelay(t, echoServer(t))
			conn := dial(t, r.Addr)
			send(t, conn, "a")
			expect(t, conn, "a")
			fault(r)
			if name != "cut" {
				send(t, conn, "b")
				send(t, dial(t, r.Addr), "c")
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if n := r.Connections(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
			if err := r.Close(); err != nil {
				t.Errorf("closing it again: %v", err)
			}
		})
	}
}

func TestReplicationThroughADelayedRelayIsLate(t *testing.T) {
	const late = 100 * time.Millisecond
	c := New(t, 1)
	master, replica := c.Nodes[0], c.Nodes[1]
	r := NewRelay(t, master.Addr)
	host, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	mustDo(t, replica, "REPLICAOF", host, port)
	if err := c.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Delay(Downward, late)
	began := time.Now()
	mustDo(t, master, "SET", "k", "v")
	if got, err := redis.String(replica.Do("GET", "k")); !errors.Is(err, redis.ErrNil) && time.Since(began) < late {
		t.Errorf("the replica has it at once: %q, %v", got, err)
	}
	WaitFor(t, "the write to arrive", func() bool {
		got, err := redis.String(replica.Do("GET", "k"))
		return err == nil && got == "v"
	})
	if took := time.Since(began); took < late {
		t.Errorf("it arrived after %v", took)
	}
}
