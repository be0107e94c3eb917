package proxy_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/topology"
)

// noAdmin answers for a proxy whose admin commands are not the subject.
type noAdmin struct{}

func (noAdmin) Info() string                                         { return "# Understudy\r\ntest:1\r\n" }
func (noAdmin) Changes([][]byte) bool                                { return false }
func (noAdmin) Proxy(_ [][]byte, _ int, _ string, done func([]byte)) { done([]byte("+OK\r\n")) }

// Promise knows one identity.
func (noAdmin) Promise(args [][]byte) []byte {
	if len(args) == 7 && string(args[2]) == "identity" {
		return []byte("+PROMISED m\r\n")
	}
	return nil
}

// start runs a proxy in front of a cluster whose State does not change by itself.
func start(t *testing.T, cluster *testcluster.Cluster, edit func(*topology.State), change func(*proxy.Config)) (addr string, coord *topology.Local) {
	t.Helper()
	return startLogging(t, cluster, edit, change, t.Output())
}

// startLogging is start with the log in out.
func startLogging(t *testing.T, cluster *testcluster.Cluster, edit func(*topology.State), change func(*proxy.Config), out io.Writer) (addr string, coord *topology.Local) {
	t.Helper()
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: "test", ID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	state := &topology.State{Format: topology.Format, Cluster: "test", Epoch: 1, Phase: topology.Stable,
		Master: topology.Node{Addr: cluster.Nodes[0].Addr}}
	for _, n := range cluster.Nodes[1:] {
		state.Replicas = append(state.Replicas, topology.Replica{Node: topology.Node{Addr: n.Addr}, Health: topology.Online, Priority: 100})
	}
	slices.SortFunc(state.Replicas, func(a, b topology.Replica) int { return cmp.Compare(a.Addr, b.Addr) })
	if edit != nil {
		edit(state)
	}
	if err := coord.Update(t.Context(), 0, state); err != nil {
		t.Fatal(err)
	}
	cfg := proxy.Defaults()
	cfg.Listen = []proxy.Listen{{Network: "tcp", Addr: "127.0.0.1:0"}}
	if change != nil {
		change(&cfg)
	}
	p, err := proxy.New(cfg, coord, noAdmin{}, slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		coord.Close()
	})
	return p.Addrs()[0].String(), coord
}

var discard = slog.New(slog.DiscardHandler)

func dial(t *testing.T, addr string) redis.Conn {
	t.Helper()
	c, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAWebPageThatPostsCommandsIsHungUpOn(t *testing.T) {
	cluster := testcluster.New(t, 0)
	addr, _ := start(t, cluster, nil, nil)
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET posted 1\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nSET posted 1\r\n",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(answer, []byte("+OK")) {
			t.Errorf("%.10q was answered %q", request, answer)
		}
	}
	if n := do(t, addr, "EXISTS", "posted"); n != int64(0) {
		t.Error("the body of a web page's request was executed")
	}
}
