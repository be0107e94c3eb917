package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/monitor"
	"github.com/understudy/understudy/topology"
)

// journal is a client that writes the numbers from 0 on to a list of its own, and when it sent each that was acknowledged.
type journal struct {
	key     string
	sent    map[int]time.Time
	errs    []error
	unknown int
}

func (j *journal) run(conn redis.Conn, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		at := time.Now()
		switch _, err := conn.Do("RPUSH", j.key, n); {
		case isUnknown(err):
			j.unknown++
		case err != nil:
			j.errs = append(j.errs, err)
			return
		default:
			j.sent[n] = at
		}
	}
}

// lost returns when those of the acknowledged writes were sent that the node does not have.
func (j *journal) lost(n *testcluster.Redis) ([]time.Time, error) {
	kept, err := redis.Ints(n.Do("LRANGE", j.key, 0, -1))
	if err != nil {
		return nil, err
	}
	missing := make(map[int]time.Time, len(j.sent))
	for n, at := range j.sent {
		missing[n] = at
	}
	for _, n := range kept {
		delete(missing, n)
	}
	var times []time.Time
	for _, at := range missing {
		times = append(times, at)
	}
	return times, nil
}

// Sentinel promotes a replica of a living master first, and says that it counts when it has seen that, about a second later.
func TestNothingIsLostFromTheFenceOnWhenSentinelReplacesALivingMaster(t *testing.T) {
	s := start(t, options{replicas: 2, monitor: following})
	sentinels := testcluster.NewSentinels(t, 3, s.cluster.Nodes[0], 2, 5*time.Second)
	var mu sync.Mutex
	var fence topology.State // the last one
	unwatch := s.coord.Watch(func(is topology.Snapshot) {
		mu.Lock()
		defer mu.Unlock()
		if is.State != nil && is.State.Phase != topology.Stable {
			fence = *is.State
		}
	})
	defer unwatch()

	stop := make(chan struct{})
	var running sync.WaitGroup
	var journals []*journal
	for i := range 4 {
		j := &journal{key: fmt.Sprint("journal:", i), sent: map[int]time.Time{}}
		journals = append(journals, j)
		conn := s.dial()
		running.Go(func() { j.run(conn, stop) })
	}
	end := sync.OnceFunc(func() { close(stop); running.Wait() })
	defer end()
	old := s.master()
	fenced := make(map[uint64]time.Time) // since when nothing is in flight to the old master, by epoch
	askSentinel(t, s, sentinels, func() {
		members, err := s.coord.Members(t.Context())
		if err != nil || len(members) != 1 {
			t.Fatalf("members %v: %v", members, err)
		}
		if e := members[0].Fenced; fenced[e].IsZero() {
			fenced[e] = time.Now()
		}
	})
	next, began := s.master(), fenced[s.epoch()]
	switched := time.Now()
	l := startLoad(s, 2, 0)
	l.progress(50)
	end()
	l.end(t, 0)

	mu.Lock()
	defer mu.Unlock()
	if began.IsZero() || !strings.Contains(fence.Failover.Cause, next.Addr+" was promoted beside "+old.Addr) {
		t.Fatalf("%s was replaced by %s because %q; it was fenced: %v", old.Addr, next.Addr, fence.Failover.Cause, fenced)
	}
	lost, acknowledged := 0, 0
	for _, j := range journals {
		for _, err := range j.errs {
			t.Errorf("%s: %v", j.key, err)
		}
		missing, err := j.lost(next)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range missing {
			if at.After(began) {
				t.Errorf("%s: a write that was sent %v after the fence, and acknowledged, is lost", j.key, at.Sub(began))
			}
		}
		lost, acknowledged = lost+len(missing), acknowledged+len(j.sent)
	}
	t.Logf("%d writes acknowledged, of which %d are lost, all sent before the fence, which was %v before the change of master",
		acknowledged, lost, switched.Sub(began).Round(time.Millisecond))
}

// Sentinel still names the old master for about a second. It is a master again, and that word would appoint it.
func TestAMasterThatGoesOnWhenSentinelHasReplacedItDoesNotComeBackInItsPlace(t *testing.T) {
	s := start(t, options{replicas: 2, monitor: func(cfg *monitor.Config) {
		following(cfg)
		cfg.DownAfter, cfg.StallAfter = 500*time.Millisecond, 500*time.Millisecond
	}})
	sentinels := testcluster.NewSentinels(t, 3, s.cluster.Nodes[0], 2, 2*time.Second)
	var mu sync.Mutex
	var masters []string // of stable States, one after another
	unwatch := s.coord.Watch(func(is topology.Snapshot) {
		mu.Lock()
		defer mu.Unlock()
		if n := len(masters); is.State != nil && is.State.Phase == topology.Stable && (n == 0 || masters[n-1] != is.State.Master.Addr) {
			masters = append(masters, is.State.Master.Addr)
		}
	})
	defer unwatch()
	l := startLoad(s, 2, 0)
	l.progress(50)
	epoch, old := s.epoch(), s.master()
	if err := old.Pause(); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitWithin(t, time.Minute, "Sentinel to promote another one", func() bool {
		for _, n := range s.cluster.Nodes {
			if n == old {
				continue
			}
			// It does not answer while it is promoted.
			if info, err := n.Info("replication"); err == nil && info["role"] == "master" {
				return true
			}
		}
		return false
	})
	if err := old.Resume(); err != nil {
		t.Fatal(err)
	}
	next := s.waitMasterAfter(epoch)
	testcluster.WaitWithin(t, time.Minute, "Sentinel to name the new master", func() bool {
		addr, err := sentinels.Master()
		return err == nil && addr == next.Addr
	})
	l.progress(50)
	mu.Lock()
	defer mu.Unlock()
	if next == old || len(masters) == 0 || masters[len(masters)-1] != next.Addr || len(masters) > 2 {
		t.Errorf("%s was replaced by %s; the masters were %v", old.Addr, next.Addr, masters)
	}
	l.end(t, 2)
}

// askSentinel has Sentinel replace the master, and calls look until the State names another one. Sentinel refuses while
// another failover is under way, and gives it up, or undoes it, where a busy machine makes nodes look dead.
func askSentinel(t *testing.T, s *system, sentinels *testcluster.Sentinels, look func()) {
	t.Helper()
	old := s.master()
	testcluster.WaitWithin(t, time.Minute, "SENTINEL FAILOVER to be carried out", func() bool {
		if _, err := sentinels.Do("SENTINEL", "FAILOVER", testcluster.SentinelMaster); err != nil && !strings.Contains(err.Error(), "INPROG") &&
			!strings.Contains(err.Error(), "NOGOODSLAVE") {
			t.Fatal(err)
		}
		look()
		st := s.coord.Snapshot().State
		return st.Phase == topology.Stable && st.Master.Addr != old.Addr
	})
}
