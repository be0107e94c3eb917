package transparency

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

func TestKeysThatAreReadOnReplicasAloneSurviveAMastersEviction(t *testing.T) {
	if kept := survivors(t, proxy.Defaults().TouchRate); kept < hotKeys*95/100 {
		t.Errorf("%d of %d keys that were read all the time are left", kept, hotKeys)
	}
	// Without a word to the master they are gone with the others: the eviction is real.
	if kept := survivors(t, 0); kept > hotKeys*70/100 {
		t.Errorf("%d of %d keys are left that the master knew nothing of", kept, hotKeys)
	}
}

// hotKeys are read, and then as many others are written as the master has room for several times.
const hotKeys = 100

// survivors is how many keys that were read on a replica are left on a master without room for everything. LFU counts uses,
// and nothing here depends on time: without lfu-decay-time 0 a server takes one from every count when a minute of the clock
// begins, and then what was read once is no better than what has just been written.
func survivors(t *testing.T, rate int) int {
	t.Helper()
	cluster := testcluster.New(t, 1, "--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lfu", "--lfu-decay-time", "0")
	f := newFront(t, cluster, func(c *proxy.Config) { c.TouchRate = rate })
	master, replica := cluster.Nodes[0], cluster.Nodes[1]
	value := strings.Repeat("x", 1000)
	hot := func(i int) string { return fmt.Sprintf("hot:%d", i) }
	for i := range hotKeys {
		must(t, master, "SET", hot(i), value)
	}
	if err := cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.replicaReads()
	before := callsOf(t, master, "get")
	known := func() (n int) {
		for i := range hotKeys {
			if must(t, master, "OBJECT", "FREQ", hot(i)).(int64) > 5 { // that of a new key
				n++
			}
		}
		return n
	}
	c := f.dial()
	testcluster.WaitFor(t, "the replica to be read from, and the master to know of it where it can", func() bool {
		for i := range hotKeys {
			c.expect("$1000\r\n"+value, "GET", hot(i))
		}
		return callsOf(t, replica, "get") != "" && (rate == 0 || known() == hotKeys)
	})
	if n := known(); rate == 0 && n > 0 {
		t.Fatalf("the master knows of %d reads by itself: it answered GET %s before them, and %s with them", n, before, callsOf(t, master, "get"))
	}

	conn, err := master.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const cold, batch = 30000, 1000
	for i := range cold {
		if err := conn.Send("SET", fmt.Sprintf("cold:%d", i), value); err != nil {
			t.Fatal(err)
		}
		if i%batch == batch-1 {
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			for range batch {
				if _, err := conn.Receive(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	kept := 0
	for i := range hotKeys {
		n, err := redis.Int(master.Do("EXISTS", hot(i)))
		if err != nil {
			t.Fatal(err)
		}
		kept += n
	}
	t.Logf("at a rate of %d, %d of %d are left", rate, kept, hotKeys)
	return kept
}
