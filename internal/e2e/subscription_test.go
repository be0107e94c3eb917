package e2e

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// broadcast is publishers that number their messages, and subscribers, all of them through the proxy and spread over its
// event loops. A publisher sends its next message when the last one is answered.
type broadcast struct {
	s        *system
	stop     atomic.Bool
	running  sync.WaitGroup
	sent     []atomic.Int64
	heard    []map[int][]int // by subscriber and publisher, in the order of arrival
	listened sync.WaitGroup
	unknown  atomic.Int64
}

const (
	publishers  = 8
	subscribers = 6
)

func startBroadcast(s *system) *broadcast {
	b := &broadcast{s: s, sent: make([]atomic.Int64, publishers), heard: make([]map[int][]int, subscribers)}
	for i := range b.heard {
		sub := redis.PubSubConn{Conn: s.dial()}
		if i%2 == 0 {
			must(s.t, sub.Subscribe("numbers"))
		} else {
			must(s.t, sub.PSubscribe("number*"))
		}
		if _, ok := sub.Receive().(redis.Subscription); !ok {
			s.t.Fatal("no confirmation")
		}
		b.heard[i] = map[int][]int{}
		b.listened.Go(func() { b.listen(sub, b.heard[i]) })
	}
	for i := range b.sent {
		conn := s.dial()
		b.running.Go(func() { b.publish(conn, i) })
	}
	return b
}

func (b *broadcast) publish(conn redis.Conn, who int) {
	for n := 1; !b.stop.Load(); n++ {
		_, err := conn.Do("PUBLISH", "numbers", fmt.Sprint(who, " ", n))
		switch {
		case isUnknown(err):
			b.unknown.Add(1)
		case err != nil:
			b.s.t.Error(err)
			return
		}
		b.sent[who].Store(int64(n))
	}
}

func (b *broadcast) listen(sub redis.PubSubConn, heard map[int][]int) {
	for {
		switch m := sub.Receive().(type) {
		case redis.Message:
			who, number, ok := strings.Cut(string(m.Data), " ")
			if !ok { // the end
				return
			}
			w, err := strconv.Atoi(who)
			n, err2 := strconv.Atoi(number)
			if err := errors.Join(err, err2); err != nil {
				b.s.t.Error(err)
				return
			}
			heard[w] = append(heard[w], n)
		case error:
			b.s.t.Error(m)
			return
		}
	}
}

// progress waits until every publisher has sent n more.
func (b *broadcast) progress(n int64) {
	for i := range b.sent {
		goal := b.sent[i].Load() + n
		testcluster.WaitFor(b.s.t, "publishers to go on", func() bool { return b.sent[i].Load() >= goal || b.s.t.Failed() })
	}
}

// end stops the publishers, and waits until all that they have sent has been heard.
func (b *broadcast) end() {
	b.stop.Store(true)
	b.running.Wait()
	b.s.do("PUBLISH", "numbers", "end")
	b.listened.Wait()
}

// judge checks that everybody has heard each message once and in order, but for as many of each publisher as missing says.
func (b *broadcast) judge(missing int) {
	b.s.t.Helper()
	total := 0
	for i, heard := range b.heard {
		for w := range b.sent {
			last, lost := 0, 0
			for _, n := range append(heard[w], int(b.sent[w].Load())+1) {
				if n <= last {
					b.s.t.Errorf("subscriber %d heard %d of publisher %d after %d", i, n, w, last)
				}
				lost += max(0, n-last-1)
				last = n
			}
			if lost > missing {
				b.s.t.Errorf("subscriber %d has missed %d of %d messages of publisher %d, at most %d can have been", i, lost, b.sent[w].Load(), w, missing)
			}
			total += lost
		}
	}
	b.s.t.Logf("%d deliveries are missing, %d messages had an unknown outcome", total, b.unknown.Load())
}

func fourLoops(c *proxy.Config) { c.Loops = 4 }

func TestInASwitchoverSubscribersHearEveryMessageOnceAndInOrder(t *testing.T) {
	const rounds = 5
	s := start(t, options{replicas: 2, proxy: fourLoops})
	b := startBroadcast(s)
	operator := s.dial()
	for range rounds {
		b.progress(20)
		switchOver(t, s, operator)
		s.waitReplicas(2)
	}
	b.progress(20)
	b.end()
	b.judge(0)
	if n := b.unknown.Load(); n > 0 {
		t.Errorf("%d messages had an unknown outcome", n)
	}
}

// A master that dies in the very moment between its answer to a publisher and what it sends to subscribers takes that message with
// it, and the one that the publisher has under way then: two of each at most. All others have waited.
func TestWhenTheMasterIsKilledSubscribersHearEveryMessageThatWaited(t *testing.T) {
	s := start(t, options{replicas: 2, proxy: fourLoops})
	b := startBroadcast(s)
	b.progress(20)
	epoch := s.epoch()
	must(t, s.master().Kill())
	s.waitMasterAfter(epoch)
	b.progress(20)
	b.end()
	b.judge(2)
}
