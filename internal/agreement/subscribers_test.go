package agreement

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"
)

func TestEachMemberCountsTheSubscribersOfAll(t *testing.T) {
	s := start(t, options{})
	want := 0
	for i, m := range s.members {
		for range i + 1 {
			c := s.dial(m)
			defer c.Close()
			if _, err := c.Do("SUBSCRIBE", "news"); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	for _, m := range s.members {
		counts, err := redis.IntMap(s.do(m, "PUBSUB", "NUMSUB", "news"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if counts["news"] != want {
			t.Errorf("%s counts %d of %d subscribers", m.id, counts["news"], want)
		}
		channels, err := redis.Strings(s.do(m, "PUBSUB", "CHANNELS"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(channels) != 1 || channels[0] != "news" {
			t.Errorf("%s lists the channels %q", m.id, channels)
		}
	}
}

func TestInASwitchoverSubscribersHearTheirOwnMembersMessagesOnceAndThoseOfOthersNoMoreThanOnce(t *testing.T) {
	const rounds = 5
	s := start(t, options{})
	heard := make([]map[int][]int, len(s.members)) // by subscriber and publisher: one of each at each member
	var listening, publishing sync.WaitGroup
	for i, m := range s.members {
		sub := redis.PubSubConn{Conn: s.dial(m)}
		must(t, sub.Subscribe("numbers"))
		if _, ok := sub.Receive().(redis.Subscription); !ok {
			t.Fatal("no confirmation")
		}
		heard[i] = map[int][]int{}
		listening.Go(func() {
			for {
				m, ok := sub.Receive().(redis.Message)
				if !ok {
					t.Error("the subscription has ended")
					return
				}
				var who, n int
				if string(m.Data) == "end" {
					return
				}
				if _, err := fmt.Sscan(string(m.Data), &who, &n); err != nil {
					t.Error(err)
					return
				}
				heard[i][who] = append(heard[i][who], n)
			}
		})
	}
	var stop atomic.Bool
	sent := make([]atomic.Int64, len(s.members))
	for i, m := range s.members {
		conn := s.dial(m)
		publishing.Go(func() {
			for n := 1; !stop.Load(); n++ {
				if _, err := conn.Do("PUBLISH", "numbers", fmt.Sprint(i, " ", n)); err != nil {
					t.Error(err)
					return
				}
				sent[i].Store(int64(n))
			}
		})
	}
	l := startLoad(s)
	for i := range rounds {
		l.progress(stage/2, s.members...)
		t.Logf("%s", s.do(s.members[i%len(s.members)], "PROXY", "FAILOVER"))
	}
	l.progress(stage/2, s.members...)
	l.end(0)
	stop.Store(true)
	publishing.Wait()
	s.do(s.members[0], "PUBLISH", "numbers", "end")
	listening.Wait()
	total, missed := 0, 0
	for i := range heard {
		for who := range sent {
			last, lost := 0, 0
			for _, n := range append(heard[i][who], int(sent[who].Load())+1) {
				if n <= last {
					t.Errorf("%d has heard %d of %d after %d", i, n, who, last)
				}
				lost += max(0, n-last-1)
				last = n
			}
			if who == i && lost > 0 {
				t.Errorf("%d has missed %d of %d messages of its own member", i, lost, sent[who].Load())
			}
			total, missed = total+int(sent[who].Load()), missed+lost
		}
	}
	t.Logf("%d of %d deliveries were missed, all between members", missed, total)
}
