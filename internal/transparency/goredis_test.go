package transparency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/understudy/understudy/internal/testcluster"
)

// isUnknown reports whether a reply says that the outcome of a write is unknown, which a client must expect of what
// was under way when a master died.
func isUnknown(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "UNKNOWNRESULT") }

// TestGoRedisWorksAsWithAServer goes through what an application does with go-redis, kills the master, and goes
// through it once more with the same client.
func TestGoRedisWorksAsWithAServer(t *testing.T) {
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) {
			s := newSystem(t, 2)
			s.t = t
			db := redis.NewClient(&redis.Options{Addr: s.addr, Protocol: proto, PoolSize: 8, DB: 1, ClientName: "app", MaxRetries: -1, ReadTimeout: 20 * time.Second})
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			goRedisTour(t, s, db)
			goRedisAcrossAFailover(t, s, db)
			goRedisTour(t, s, db)
		})
	}
}

func goRedisTour(t *testing.T, s *system, db *redis.Client) {
	t.Helper()
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(db.FlushDB(ctx).Err())
	ok(db.Set(ctx, "a", "1", time.Hour).Err())
	if got, err := db.Get(ctx, "a").Result(); err != nil || got != "1" {
		t.Fatalf("GET: %q, %v", got, err)
	}
	if _, err := db.Get(ctx, "nope").Result(); !errors.Is(err, redis.Nil) {
		t.Fatalf("GET of a missing key: %v", err)
	}
	ok(db.HSet(ctx, "h", map[string]any{"f": "v", "n": 3}).Err())
	if got, err := db.HGetAll(ctx, "h").Result(); err != nil || len(got) != 2 || got["n"] != "3" {
		t.Fatalf("HGETALL: %v, %v", got, err)
	}
	ok(db.ZAdd(ctx, "z", redis.Z{Score: 1.5, Member: "m"}).Err())
	if got, err := db.ZRangeWithScores(ctx, "z", 0, -1).Result(); err != nil || len(got) != 1 || got[0].Score != 1.5 {
		t.Fatalf("ZRANGE: %v, %v", got, err)
	}

	cmds, err := db.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 500 {
			p.Incr(ctx, "n")
			p.Set(ctx, fmt.Sprint("key:", i), i, 0)
		}
		return nil
	})
	ok(err)
	if got := cmds[998].(*redis.IntCmd).Val(); got != 500 {
		t.Fatalf("the last INCR of the pipeline gave %d", got)
	}
	cmds, err = db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, "n")
		p.Get(ctx, "n")
		return nil
	})
	ok(err)
	if got := cmds[1].(*redis.StringCmd).Val(); got != "501" {
		t.Fatalf("GET in a transaction: %q", got)
	}

	var running sync.WaitGroup
	for range 5 { // optimistic locking: all increments count
		running.Go(func() {
			for range 20 {
				for {
					err := db.Watch(ctx, func(tx *redis.Tx) error {
						n, err := tx.Get(ctx, "watched").Int()
						if err != nil && !errors.Is(err, redis.Nil) {
							return err
						}
						_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, "watched", n+1, 0).Err() })
						return err
					}, "watched")
					if err == nil {
						break
					}
					if !errors.Is(err, redis.TxFailedErr) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	running.Wait()
	s.sync()
	if got, err := db.Get(ctx, "watched").Int(); err != nil || got != 100 {
		t.Fatalf("the watched counter is %d, %v", got, err)
	}

	var cursor uint64
	var keys []string
	for it := db.Scan(ctx, cursor, "key:*", 50).Iterator(); ; {
		if !it.Next(ctx) {
			ok(it.Err())
			break
		}
		keys = append(keys, it.Val())
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) != 500 {
		t.Fatalf("SCAN found %d keys", len(keys))
	}

	script := redis.NewScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
	for want := int64(5); want <= 15; want += 5 {
		if got, err := script.Run(ctx, db, []string{"scripted"}, 5).Int64(); err != nil || got != want {
			t.Fatalf("the script gave %d, %v", got, err)
		}
	}

	popped := make(chan error, 1)
	go func() {
		got, err := db.BLPop(ctx, 10*time.Second, "queue").Result()
		if err == nil && (len(got) != 2 || got[1] != "job") {
			err = fmt.Errorf("BLPOP gave %v", got)
		}
		popped <- err
	}()
	ok(db.RPush(ctx, "queue", "job").Err())
	ok(<-popped)
	if _, err := db.BLPop(ctx, time.Second, "queue").Result(); !errors.Is(err, redis.Nil) {
		t.Fatalf("BLPOP of an empty list: %v", err)
	}

	ok(db.XGroupCreateMkStream(ctx, "stream", "group", "$").Err())
	id, err := db.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []any{"f", "v"}}).Result()
	ok(err)
	got, err := db.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "group", Consumer: "c", Streams: []string{"stream", ">"}, Block: time.Second}).Result()
	if err != nil || len(got) != 1 || got[0].Messages[0].ID != id {
		t.Fatalf("XREADGROUP: %v, %v", got, err)
	}

	goRedisPubSub(t, db)
	conn := db.Conn()
	defer conn.Close()
	ok(conn.Select(ctx, 2).Err())
	ok(conn.Set(ctx, "elsewhere", 1, 0).Err())
	ok(conn.Select(ctx, 1).Err()) // go-redis takes it back into its pool as it is
	if n, err := db.Exists(ctx, "elsewhere").Result(); err != nil || n != 0 {
		t.Fatalf("a connection's SELECT has moved others: %d, %v", n, err)
	}
	if name, err := db.ClientGetName(ctx).Result(); err != nil || name != "app" {
		t.Fatalf("CLIENT GETNAME: %q, %v", name, err)
	}
}

func goRedisPubSub(t *testing.T, db *redis.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sub := db.Subscribe(ctx, "ch")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sub.PSubscribe(ctx, "p*"); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sub.Ping(ctx, "alive"); err != nil {
		t.Fatal(err)
	}
	if pong, err := sub.Receive(ctx); err != nil || pong.(*redis.Pong).Payload != "alive" {
		t.Fatalf("PING: %v, %v", pong, err)
	}
	for _, channel := range []string{"ch", "pattern"} {
		if n, err := db.Publish(ctx, channel, "hello").Result(); err != nil || n != 1 {
			t.Fatalf("PUBLISH reached %d, %v", n, err)
		}
		if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != "hello" || m.Channel != channel {
			t.Fatalf("message %v, %v", m, err)
		}
	}
	if err := sub.Unsubscribe(ctx, "ch"); err != nil {
		t.Fatal(err)
	}
	if got, err := sub.Receive(ctx); err != nil || got.(*redis.Subscription).Count != 1 {
		t.Fatalf("UNSUBSCRIBE: %v, %v", got, err)
	}
}

// goRedisAcrossAFailover counts, reads and listens while the master is killed.
func goRedisAcrossAFailover(t *testing.T, s *system, db *redis.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := db.Set(ctx, "fixed", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.sync()
	sub := db.Subscribe(ctx, "news")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	var progress [6]progress
	for w := range progress {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				switch w % 3 {
				case 0:
					err = db.Incr(ctx, fmt.Sprint("failover:", w)).Err()
				case 1:
					_, err = db.TxPipelined(ctx, func(p redis.Pipeliner) error {
						p.Incr(ctx, fmt.Sprint("failover:", w))
						p.Incr(ctx, fmt.Sprint("failover:", w))
						return nil
					})
				default:
					err = db.Get(ctx, "fixed").Err()
				}
				if err != nil && !isUnknown(err) {
					t.Errorf("client %d: %v", w, err)
					return
				}
				progress[w].add()
			}
		})
	}
	for w := range progress {
		progress[w].more(t, 20)
	}
	s.killMaster()
	for w := range progress {
		progress[w].more(t, 20)
	}
	close(stop)
	running.Wait()
	testcluster.WaitFor(t, "the subscription to reach the new master", func() bool {
		n, err := db.Publish(ctx, "news", "after").Result()
		return err == nil && n == 1
	})
	if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != "after" {
		t.Fatalf("message %v, %v", m, err)
	}
}
