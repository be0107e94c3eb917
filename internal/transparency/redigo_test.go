package transparency

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// TestRedigoWorksAsWithAServer does with redigo what TestGoRedisWorksAsWithAServer does with go-redis.
func TestRedigoWorksAsWithAServer(t *testing.T) {
	s := newSystem(t, 2)
	pool := &redis.Pool{
		MaxActive: 10, MaxIdle: 10, Wait: true,
		Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", s.addr, redis.DialDatabase(2), redis.DialClientName("app"), redis.DialReadTimeout(20*time.Second))
		},
		TestOnBorrow: func(c redis.Conn, _ time.Time) error {
			_, err := c.Do("PING")
			return err
		},
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	redigoTour(t, pool)
	redigoAcrossAFailover(t, s, pool)
	redigoTour(t, pool)
}

func redigoTour(t *testing.T, pool *redis.Pool) {
	t.Helper()
	c := pool.Get()
	defer c.Close()
	do := func(name string, args ...any) any {
		t.Helper()
		reply, err := c.Do(name, args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return reply
	}
	do("FLUSHDB")
	const n = 1000
	for i := range n {
		if err := c.Send("SET", fmt.Sprint("key:", i), i); err != nil {
			t.Fatal(err)
		}
		if err := c.Send("GET", fmt.Sprint("key:", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got, err := redis.String(c.Receive()); err != nil || got != "OK" {
			t.Fatalf("SET %d: %q, %v", i, got, err)
		}
		if got, err := redis.Int(c.Receive()); err != nil || got != i {
			t.Fatalf("GET %d: %d, %v", i, got, err)
		}
	}
	if err := errors.Join(c.Send("MULTI"), c.Send("INCR", "n"), c.Send("INCR", "n")); err != nil {
		t.Fatal(err)
	}
	if got, err := redis.Ints(c.Do("EXEC")); err != nil || len(got) != 2 || got[1] != 2 {
		t.Fatalf("EXEC: %v, %v", got, err)
	}
	do("WATCH", "n")
	other := pool.Get()
	defer other.Close()
	if _, err := other.Do("INCR", "n"); err != nil {
		t.Fatal(err)
	}
	do("MULTI")
	do("INCR", "n")
	if got := do("EXEC"); got != nil {
		t.Fatalf("EXEC of a changed key: %v", got)
	}
	cursor, found := 0, map[string]bool{}
	for {
		page, err := redis.Values(c.Do("SCAN", cursor, "MATCH", "key:*", "COUNT", 100))
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		if _, err := redis.Scan(page, &cursor, &keys); err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			found[k] = true
		}
		if cursor == 0 {
			break
		}
	}
	if len(found) != n {
		t.Fatalf("SCAN found %d of %d keys", len(found), n)
	}
	script := redis.NewScript(1, "return redis.call('INCR', KEYS[1])")
	for want := 1; want <= 3; want++ {
		if got, err := redis.Int(script.Do(c, "scripted")); err != nil || got != want {
			t.Fatalf("the script gave %d, %v", got, err)
		}
	}
	if _, err := other.Do("RPUSH", "queue", "job"); err != nil {
		t.Fatal(err)
	}
	if got, err := redis.Strings(c.Do("BLPOP", "queue", 5)); err != nil || got[1] != "job" {
		t.Fatalf("BLPOP: %v, %v", got, err)
	}
	subscriber := pool.Get()
	ps := redis.PubSubConn{Conn: subscriber}
	if err := ps.Subscribe("ch"); err != nil {
		t.Fatal(err)
	}
	if s, ok := ps.ReceiveWithTimeout(patience).(redis.Subscription); !ok || s.Count != 1 {
		t.Fatalf("SUBSCRIBE: %v", s)
	}
	if got, err := redis.Int(other.Do("PUBLISH", "ch", "hello")); err != nil || got != 1 {
		t.Fatalf("PUBLISH reached %d, %v", got, err)
	}
	if m, ok := ps.ReceiveWithTimeout(patience).(redis.Message); !ok || string(m.Data) != "hello" {
		t.Fatalf("message %v", m)
	}
	if err := subscriber.Close(); err != nil { // the pool unsubscribes and keeps the connection
		t.Fatal(err)
	}
	if got, err := redis.String(c.Do("CLIENT", "GETNAME")); err != nil || got != "app" {
		t.Fatalf("CLIENT GETNAME: %q, %v", got, err)
	}
}

func redigoAcrossAFailover(t *testing.T, s *system, pool *redis.Pool) {
	t.Helper()
	stop := make(chan struct{})
	var running sync.WaitGroup
	var progress [4]progress
	for w := range progress {
		running.Go(func() {
			c := pool.Get()
			defer c.Close()
			acked, unknowns := 0, 0
			for {
				select {
				case <-stop:
					n, err := redis.Int(c.Do("GET", fmt.Sprint("failover:", w)))
					if err != nil || n > acked+unknowns {
						t.Errorf("the counter is %d with %d acknowledged and %d unknown, %v", n, acked, unknowns, err)
					}
					return
				default:
				}
				_, err := c.Do("INCR", fmt.Sprint("failover:", w))
				switch {
				case isUnknown(err):
					unknowns++
				case err != nil:
					t.Errorf("client %d: %v", w, err)
					return
				default:
					acked++
				}
				progress[w].add()
			}
		})
	}
	for w := range progress {
		progress[w].more(t, 50)
	}
	s.killMaster()
	for w := range progress {
		progress[w].more(t, 50)
	}
	close(stop)
	running.Wait()
}
