package transparency

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// TestACrowdOfBlockedClients has two thousand clients block, be served, block again at once, and vanish. What it costs is
// logged.
func TestACrowdOfBlockedClients(t *testing.T) {
	const crowd = 2000
	f := newFront(t, testcluster.New(t, 0), nil)
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
	memory, connections, began := heap(), f.connectionsToMaster(), time.Now()
	block := func() {
		t.Helper()
		for i, c := range clients {
			c.send(request("BLPOP", fmt.Sprint("q", i), "0"))
		}
		waitBlocked(t, f.master(), crowd)
	}
	block()
	t.Logf("%d clients block after %v, on %d connections, with %d bytes each", crowd, time.Since(began).Round(time.Millisecond),
		f.connectionsToMaster()-connections, (heap()-memory)/crowd)
	feeder := f.dial()
	for round := range 3 {
		connections, began = f.connectionsToMaster(), time.Now()
		var all []byte
		for i := range clients {
			all = append(all, request("RPUSH", fmt.Sprint("q", i), fmt.Sprint(round))...)
		}
		feeder.send(all)
		for range clients {
			feeder.receives(":1")
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
			time.Since(began).Round(time.Millisecond), f.connectionsToMaster()-connections)
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

// TestACrowdThatBlocksIsAtTheNextMasterInOrder has two thousand clients block on one key: four times as many as connections have
// room in the server's tcp-backlog. How long the next master takes to have them is logged.
func TestACrowdThatBlocksIsAtTheNextMasterInOrder(t *testing.T) {
	const crowd = 2000
	for name, end := range map[string]func(t *testing.T, f *front, clients []*client){
		"after a switchover": func(t *testing.T, f *front, _ []*client) {
			old, heir := f.cluster.Nodes[0], f.cluster.Nodes[1]
			f.publish(&topology.State{Epoch: 2, Phase: topology.Fencing, Failover: &topology.Failover{Cause: "a test"}}, old, heir)
			testcluster.WaitFor(t, "the fence to be acknowledged", func() bool {
				members, err := f.coord.Members(t.Context())
				return err == nil && len(members) == 1 && members[0].Fenced == 2
			})
			must(t, heir, "REPLICAOF", "NO", "ONE")
			must(t, old, "REPLICAOF", "127.0.0.1", heir.Port)
		},
		"after the master was killed": func(t *testing.T, f *front, clients []*client) {
			if err := f.master().Kill(); err != nil {
				t.Fatal(err)
			}
			f.away(2)
			for _, c := range clients { // may have taken an element, and tries again
				if got := c.reply(); !strings.HasPrefix(got, "-UNKNOWNRESULT ") {
					t.Fatalf("%q", got)
				}
				c.send(request("BLPOP", "queue", "0"))
			}
			f.held(clients[crowd-1])
			must(t, f.cluster.Nodes[1], "REPLICAOF", "NO", "ONE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, testcluster.New(t, 1), nil)
			clients := make([]*client, crowd)
			for i := range clients {
				clients[i] = f.dial()
				clients[i].expect("+PONG", "PING")
			}
			for i, c := range clients {
				if c.send(request("BLPOP", "queue", "0")); i%100 == 99 {
					waitBlocked(t, f.master(), i+1)
				}
			}
			end(t, f, clients)
			began, heir := time.Now(), f.cluster.Nodes[1]
			f.back(2, heir)
			waitBlocked(t, heir, crowd)
			t.Logf("%d clients block at the next master %v after it was named", crowd, time.Since(began).Round(time.Millisecond))
			var all []byte
			for i := range clients {
				all = append(all, request("RPUSH", "queue", fmt.Sprint(1000+i))...)
			}
			f.dial().send(all)
			for i, c := range clients {
				if got, want := c.reply(), fmt.Sprintf("*2\r\n$5\r\nqueue\r\n$4\r\n%d\r\n", 1000+i); got != want {
					t.Fatalf("client %d: %q instead of %q", i, got, want)
				}
			}
		})
	}
}
