package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy/understudy/topology"
)

const loneMaster = "redis_mode:standalone\r\nrun_id:r1\r\nrole:master\r\nmaster_replid:h1\r\nmaster_repl_offset:10\r\nconnected_slaves:0\r\nloading:0\r\n"

// bubble runs a monitor of one scripted master in virtual time.
func bubble(t *testing.T, test func(t *testing.T, f *fakeNode, m *Monitor, coord *stallable)) {
	t.Helper()
	bubbleOf(t, testConfig("node:1"), test)
}

// bubbleOf is bubble with a configuration of its own.
func bubbleOf(t *testing.T, cfg Config, test func(t *testing.T, f *fakeNode, m *Monitor, coord *stallable)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNode{info: loneMaster}
		cfg.Dial = f.dial
		local, err := topology.OpenLocal(topology.LocalConfig{Cluster: cfg.Cluster, ID: cfg.ID})
		must(t, err)
		coord := &stallable{Local: local}
		m, err := New(cfg, coord, quiet())
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		// Also after a Fatal: a bubble that is left with goroutines in it panics, and takes all other tests with it.
		defer func() {
			cancel()
			err := <-ended
			f.cut()
			f.waiting.Wait()
			if err := errors.Join(err, local.Close()); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		if n := only(t, m); n.Down || n.RunID != "r1" {
			t.Fatalf("at first: %+v", n)
		}
		test(t, f, m, coord)
	})
}

// stallable is a coordinator that can make the loop of its monitor stand still, as a stopped process does.
type stallable struct {
	*topology.Local
	stall atomic.Int64
}

func (s *stallable) Leading() bool {
	time.Sleep(time.Duration(s.stall.Swap(0)))
	return s.Local.Leading()
}

func only(t *testing.T, m *Monitor) NodeStatus {
	t.Helper()
	s := m.Status()
	if len(s.Nodes) != 1 {
		t.Fatalf("nodes %+v", s.Nodes)
	}
	return s.Nodes[0]
}

// noticing is how long after a node fell silent its silence begins in the eyes of the monitor, at most: a heartbeat may
// have been answered just before.
func noticing(m *Monitor) time.Duration { return max(m.cfg.DownAfter/2, 5*time.Millisecond) }

// showing is how long after its end a limit is seen in Status, at most: by the next turn, in the next Status.
const showing = 2*turnInterval + time.Millisecond

// upThenDown fails unless the node is up for at least the first time from now and down within the second.
func upThenDown(t *testing.T, m *Monitor, up, down time.Duration) NodeStatus {
	t.Helper()
	began := time.Now()
	for !only(t, m).Down {
		if time.Since(began) > down {
			t.Fatalf("not down after %v", down)
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took < up {
		t.Fatalf("down after %v, before %v", took, up)
	}
	return only(t, m)
}

func TestARefusedNodeIsDownWithinMillisecondsOfItsDeath(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, _ *stallable) {
		f.set(func(f *fakeNode) { f.refuse = true })
		f.cut()
		// Status is made anew every turnInterval at most; the verdict itself takes two pauses between probes.
		if n := upThenDown(t, m, 2*probePause, 2*probePause+turnInterval+time.Millisecond); n.Reason != "connection refused" {
			t.Errorf("reason %q", n.Reason)
		}
		f.set(func(f *fakeNode) { f.refuse = false })
		time.Sleep(2 * longestPause)
		if n := only(t, m); n.Down || n.Reason != "" {
			t.Errorf("after its return: %+v", n)
		}
	})
}

func TestANodeThatAcceptsAndIsSilentIsDownAfterStallAfter(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, _ *stallable) {
		f.set(func(f *fakeNode) { f.mute = true })
		if n := upThenDown(t, m, 6*time.Second, noticing(m)+6*time.Second+showing); n.Reason != "no answer for 6s" {
			t.Errorf("reason %q", n.Reason)
		}
	})
}

func TestSilenceIsNoticedHoweverSeldomNodesAreAskedForINFO(t *testing.T) {
	cfg := testConfig("node:1")
	cfg.ProbeInterval = time.Minute
	bubbleOf(t, cfg, func(t *testing.T, f *fakeNode, m *Monitor, _ *stallable) {
		f.set(func(f *fakeNode) { f.mute = true })
		upThenDown(t, m, 6*time.Second, noticing(m)+6*time.Second+showing)
	})
}

func TestAHostThatCannotBeConnectedIsDownAfterDownAfter(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, _ *stallable) {
		f.set(func(f *fakeNode) { f.mute, f.dark = true, true })
		if n := upThenDown(t, m, time.Second, noticing(m)+time.Second+showing); n.Reason != "no connection for 1s" {
			t.Errorf("reason %q", n.Reason)
		}
	})
}

func TestAnyReplyIsLife(t *testing.T) {
	for _, text := range []string{"BUSY Redis is busy running a script", "LOADING Redis is loading the dataset in memory",
		"NOAUTH Authentication required.", "ERR max number of clients reached"} {
		bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, _ *stallable) {
			f.set(func(f *fakeNode) {
				f.errors = map[string]string{"INFO": text, "PING": text, "SUBSCRIBE": text, "CLIENT": text}
			})
			f.cut()
			for range 60 {
				time.Sleep(time.Second)
				if n := only(t, m); n.Down {
					t.Fatalf("%s: down: %s", text, n.Reason)
				}
			}
			if n := only(t, m); n.Error == "" {
				t.Errorf("%s: the error is not shown", text)
			}
		})
	}
}

func TestADifficultyOfOurOwnIsNoObservation(t *testing.T) {
	for _, err := range []error{
		&net.OpError{Op: "dial", Err: syscall.EMFILE},
		&net.OpError{Op: "dial", Err: syscall.ENFILE},
		&net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL},
		&net.OpError{Op: "dial", Err: syscall.ENETUNREACH},
		&net.DNSError{Err: "no such host", Name: "node", IsNotFound: true},
		&net.DNSError{Err: "i/o timeout", Name: "node", IsTimeout: true},
		errors.New("certificate has expired"),
	} {
		bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, _ *stallable) {
			f.set(func(f *fakeNode) { f.fails = err })
			f.cut()
			for range 60 {
				time.Sleep(time.Second)
				if n := only(t, m); n.Down {
					t.Fatalf("%v: down: %s", err, n.Reason)
				}
			}
		})
	}
}

func TestAStoppedMonitorStartsItsJudgementAnew(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeNode, m *Monitor, coord *stallable) {
		f.set(func(f *fakeNode) { f.mute = true })
		coord.stall.Store(int64(time.Minute))
		time.Sleep(time.Minute) // the loop stands still; the silence of the node is longer than any limit
		// Its silence begins with the next question, and a heartbeat may be under way.
		upThenDown(t, m, 6*time.Second-turnInterval, noticing(m)+6*time.Second+turnInterval+showing)
	})
}

func TestANameThatCannotBeLookedUpIsDialledAtItsLastAddress(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent=%v", silent), func(t *testing.T) { testLastAddress(t, silent) })
	}
}

// testLastAddress has a name server that refuses, or one that says nothing until the attempt is over.
func testLastAddress(t *testing.T, silent bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	var asked []string
	cfg := testConfig("name:1")
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked = append(asked, addr)
		switch {
		case len(asked) == 1:
			addr = l.Addr().String()
		case addr == "name:1", addr == "other:1":
			if silent {
				<-ctx.Done()
			}
			return nil, fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", Name: "name"})
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	d := newDialer(&cfg)
	for range 2 {
		conn, err := d.connect(context.Background(), "name:1", time.Second)
		must(t, err)
		must(t, conn.Close())
	}
	if asked[2] != l.Addr().String() {
		t.Errorf("asked %v", asked)
	}
	if _, err := d.connect(context.Background(), "other:1", time.Second); err == nil {
		t.Error("a connection to nowhere")
	}
}
