package monitor

import (
	"bytes"
	"context"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// slowSaver reaches nodes that take longer to save their configuration than anybody waits.
type slowSaver struct {
	takes time.Duration // for so long it answers nothing at all; 0: nothing more on that connection
	busy  atomic.Int64  // until then, by the clock
}

func (s *slowSaver) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &savingConn{Conn: conn, node: s}, err
}

type savingConn struct {
	net.Conn
	node  *slowSaver
	saves atomic.Bool
}

func (c *savingConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("REWRITE")) {
		c.saves.Store(true)
		c.node.busy.Store(time.Now().Add(c.node.takes).UnixNano())
	}
	return c.Conn.Write(b)
}

func (c *savingConn) Read(b []byte) (int, error) {
	if c.saves.Load() || time.Now().UnixNano() < c.node.busy.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(b)
}

func TestANodeThatSavesItsConfigurationTooSlowlyIsPromotedAllTheSame(t *testing.T) {
	for name, takes := range map[string]time.Duration{
		"and answers when it is asked again":   0,
		"and answers nothing for two attempts": 150 * time.Millisecond, // the third one is 200 ms after the first, or more
	} {
		t.Run(name, func(t *testing.T) {
			s := &slowSaver{takes: takes}
			c, m := cluster(t, 1, func(cfg *Config) { cfg.Dial = s.dial })
			must(t, c.Nodes[0].Kill())
			found := m.waitState(t, "the replica to be master", func(s *topology.State) bool {
				return s.Phase == topology.Stable && s.Master.Addr == c.Addrs()[1]
			})
			if found.Epoch != 2 {
				t.Errorf("it took until epoch %d", found.Epoch)
			}
		})
	}
}

func TestNodesThatSaveTheirConfigurationTooSlowlyExchangeTheirRolesAllTheSame(t *testing.T) {
	c, m := cluster(t, 1, func(cfg *Config) { cfg.Dial = (&slowSaver{}).dial })
	_, err := m.Submit(t.Context(), topology.Request{Kind: topology.Switchover, By: "a test"})
	must(t, err)
	testcluster.WaitFor(t, "the answer", func() bool { return m.Requests()[0].Answer != "" })
	if r, s := m.Requests()[0], m.Snapshot().State; r.Answer != topology.Done || s.Master.Addr != c.Addrs()[1] || s.Epoch != 2 {
		t.Errorf("%s: %s; the master is %s, epoch %d", r.Answer, r.Text, s.Master.Addr, s.Epoch)
	}
}
