package topology

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/understudy/understudy/internal/testcluster"
)

// failing is a connection whose writes fail from the given one on.
type failing struct {
	net.Conn
	left *atomic.Int32
}

func (f failing) Write(b []byte) (int, error) {
	if f.left.Add(-1) < 0 {
		return 0, errors.Join(errors.New("a broken pipe"), f.Conn.Close())
	}
	return f.Conn.Write(b)
}

// The library waited for itself for ever when a write failed while it sent the password again.
func TestAConnectionThatBreaksWhileThePasswordIsSentAgainIsReplaced(t *testing.T) {
	cfg := memberConfig(t, sharedZooKeeper(t), "a")
	cfg.Auth = "understudy:secret"
	var attempts atomic.Int32
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || attempts.Add(1) != 2 {
			return c, err
		}
		left := new(atomic.Int32)
		left.Store(1) // the handshake, and not the password
		return failing{c, left}, nil
	}
	a := open(t, cfg)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	session := a.Status().Session
	began := time.Now()
	a.session.Load().dialer.drop()
	testcluster.WaitFor(t, "another connection", func() bool { l := a.lease.Load(); return l != nil && l.Sent.After(began) })
	if n := attempts.Load(); n != 3 {
		t.Errorf("%d connections were made, and the second should have failed", n)
	}
	if a.Status().Session != session {
		t.Error("the session was lost")
	}
}

// The library keeps the newest transaction it has heard of without a lock, and asks for what its watches missed since
// that one: an answer before it has asked would be a data race, and make it miss events.
func TestNoAnswerComesBetweenAConnectionAndItsWatches(t *testing.T) {
	t.Parallel()
	a := open(t, memberConfig(t, sharedZooKeeper(t), "a"))
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	s := a.session.Load()
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 8 { // so that there are requests from the first moment on
		callers.Go(func() {
			for ctx.Err() == nil {
				_, err := call(ctx, s, a.root, func(c *zk.Conn) (bool, error) {
					_, stat, err := c.Exists(a.root)
					return stat != nil, err
				})
				if err != nil {
					runtime.Gosched()
				}
			}
		})
	}
	for range 30 {
		began := time.Now()
		s.dialer.drop()
		testcluster.WaitFor(t, "another connection", func() bool { l := a.lease.Load(); return l != nil && l.Sent.After(began) })
	}
	cancel()
	callers.Wait()
}

func TestServersAreFoundByName(t *testing.T) {
	t.Parallel()
	addr, root, _ := strings.Cut(sharedZooKeeper(t), "/")
	_, port, _ := net.SplitHostPort(addr)
	// Where localhost is two addresses, nothing listens on one of them.
	a := open(t, memberConfig(t, "localhost:"+port+"/"+root, "a"))
	for range 5 {
		began := time.Now()
		a.session.Load().dialer.drop()
		testcluster.WaitFor(t, "another connection", func() bool { l := a.lease.Load(); return l != nil && l.Sent.After(began) })
	}
}

func TestAttemptsToConnectBecomeRarerAndAreNotInStep(t *testing.T) {
	var mu sync.Mutex
	var at [3][]time.Time
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range at {
		cfg := &ZooKeeperConfig{Dial: func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			at[i] = append(at[i], time.Now())
			return nil, errors.New("refused")
		}}
		d := newDialer(ctx, []string{"x:1", "y:1"}, cfg)
		running.Go(func() {
			for ctx.Err() == nil {
				if server, over := d.Next(); !over {
					d.Dial("tcp", server, 0)
				}
			}
		})
	}
	testcluster.WaitFor(t, "some rounds", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(at[0]) >= 10 && len(at[1]) >= 10 && len(at[2]) >= 10
	})
	cancel()
	running.Wait()
	for i, times := range at {
		if first := times[1].Sub(times[0]); first > 20*time.Millisecond {
			t.Errorf("the second server was tried %v after the first", first)
		}
		if early, late := times[2].Sub(times[0]), times[8].Sub(times[6]); early < firstPause/2 || late < firstPause*2 {
			t.Errorf("dialer %d: rounds %v and later %v apart", i, early, late)
		}
	}
	if d := at[0][8].Sub(at[1][8]).Abs() + at[1][8].Sub(at[2][8]).Abs(); d < time.Millisecond {
		t.Errorf("three dialers are in step to %v", d)
	}
}

func TestALibraryThatIsStuckIsReplaced(t *testing.T) {
	t.Parallel()
	cfg := memberConfig(t, sharedZooKeeper(t), "a")
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	var attempts atomic.Int32
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if attempts.Add(1) == 2 {
			<-release // which ctx should have ended
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	a := open(t, cfg)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	session := a.Status().Session
	a.session.Load().dialer.drop()
	testcluster.WaitFor(t, "the end of the lease", func() bool { return !permitted(a) })
	testcluster.WaitFor(t, "the grant of another session", func() bool { return permitted(a) && a.Status().Session != session })
	testcluster.WaitFor(t, "leadership", a.Leading)
}
