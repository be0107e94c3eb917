package transparency

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// TestACrowdOfBlockedClients has two thousand clients block, be served, block again at once, and vanish. What it costs is
// logged.
func TestACrowdOfBlockedClients(t *testing.T) {
	const crowd = 2000
	f := newFront(t, testcluster.New(t, 0), nil)
	received := func() int {
		info, err := f.master().Info("stats")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(info["total_connections_received"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse + m.StackInuse)
	}
	clients := make([]*client, crowd)
	for i := range clients {
		clients[i] = f.dial()
	}
	clients[crowd-1].expect("+PONG", "PING")
	memory, connections, began := heap(), received(), time.Now()
	block := func() {
		t.Helper()
		for i, c := range clients {
			c.send(request("BLPOP", fmt.Sprint("q", i), "0"))
		}
		waitBlocked(t, f.master(), crowd)
	}
	block()
	t.Logf("%d clients block after %v, on %d connections, with %d bytes each", crowd, time.Since(began).Round(time.Millisecond),
		received()-connections, (heap()-memory)/crowd)
	feeder := f.dial()
	for round := range 3 {
		connections, began = received(), time.Now()
		var all []byte
		for i := range clients {
			all = append(all, request("RPUSH", fmt.Sprint("q", i), fmt.Sprint(round))...)
		}
		feeder.send(all)
		for range clients {
			if got := feeder.reply(); got != ":1\r\n" {
				t.Fatalf("%q", got)
			}
		}
		for i, c := range clients {
			key := fmt.Sprint("q", i)
			if got := c.reply(); got != fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$1\r\n%d\r\n", len(key), key, round) {
				t.Fatalf("%q", got)
			}
		}
		served := time.Since(began)
		block()
		t.Logf("all served after %v, and blocked again after %v, with %d new connections", served.Round(time.Millisecond),
			time.Since(began).Round(time.Millisecond), received()-connections)
	}
	began = time.Now()
	for _, c := range clients {
		c.conn.Close()
	}
	waitBlocked(t, f.master(), 0)
	testcluster.WaitFor(t, "the proxy to notice that the clients have gone", func() bool { return f.proxy.Clients() == 1 })
	t.Logf("all gone after %v", time.Since(began).Round(time.Millisecond))
	onServer(t, f, "cmd=blpop ", 0)
	for i := range clients { // nothing was taken for the dead
		feeder.send(append(request("RPUSH", fmt.Sprint("q", i), "job"), request("LPOP", fmt.Sprint("q", i))...))
	}
	for range clients {
		if got := feeder.reply() + feeder.reply(); got != ":1\r\n$3\r\njob\r\n" {
			t.Fatalf("%q", got)
		}
	}
}

func TestMoreBlockedClientsThanTheServerTakesWaitAndOthersGoOn(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0, "--maxclients", "40"), nil)
	calm := f.dial()
	calm.expect("+OK", "SET", "a", "1")
	var crowd []*client
	for i := range 60 {
		c := f.dial()
		c.send(request("BLPOP", fmt.Sprint("q", i), "1"))
		crowd = append(crowd, c)
	}
	f.held(crowd[len(crowd)-1])
	for i := range 30 {
		calm.expect("+OK", "SET", "a", fmt.Sprint(i))
	}
	for i, c := range crowd {
		if got := c.reply(); got != "*-1\r\n" {
			t.Errorf("client %d: %q", i, got)
		}
	}
	crowd[0].expect("*-1", "BLPOP", "q", "0.001") // and now there is room
}
