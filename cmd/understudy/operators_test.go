package main

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestOperatorsAreAnsweredWithoutAnyNode(t *testing.T) {
	t.Parallel()
	node := testcluster.NewRedis(t, "--requirepass", "nodes")
	p := start(t, []string{"UNDERSTUDY_ADMIN_PASSWORD=sesame"}, "run", "--nodes", node.Addr, "--password", "nodes", "--listen", "127.0.0.1:0",
		"--state", t.TempDir()+"/state.json", "--cluster", "shop", "--admin", "127.0.0.1:0", "--http", "127.0.0.1:0")
	ready := p.logged("msg=ready")
	console, web := field(t, ready, "admin"), field(t, ready, "http")
	get := func(path string) string {
		t.Helper()
		c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := c.Get("http://" + web + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.Status + " " + string(text)
	}
	if got := get("/readyz"); got != "200 OK ok\n" {
		t.Errorf("/readyz: %q", got)
	}
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	// A client cannot even authenticate now; an operator can.
	c, err := redis.Dial("tcp", console, redis.DialPassword("sesame"), redis.DialReadTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	testcluster.WaitFor(t, "the node to be held down", func() bool {
		info, err := redis.String(c.Do("INFO", "understudy"))
		return err == nil && strings.Contains(info, "addr="+node.Addr+",role=master,health=down")
	})
	if status, stdout, stderr := once(t, nil, "nodes", "--addr", console, "--password", "sesame"); status != 0 || stderr != "" || !strings.Contains(stdout, node.Addr) {
		t.Errorf("nodes: status %d, %q\n%s", status, stderr, stdout)
	}
	if status, stdout, stderr := once(t, nil, "pause", "--addr", console, "--password", "sesame", "moving"); status != 0 || stderr != "" {
		t.Errorf("pause: status %d, %q\n%s", status, stderr, stdout)
	}
	if status, _, stderr := once(t, nil, "status", "--addr", console); status != 1 || !strings.Contains(stderr, "NOAUTH") || !strings.Contains(stderr, "--password") {
		t.Errorf("status without the password: %d, %q", status, stderr)
	}
	for path, part := range map[string]string{
		"/livez": "200 OK ok\n", "/readyz": "200 OK ok\n", "/metrics": "\nunderstudy_node_up{node=\"" + node.Addr + "\"} 0\n", "/": "moving",
	} {
		if got := get(path); !strings.Contains(got, part) {
			t.Errorf("%s without any node: no %q in\n%s", path, part, got)
		}
	}
	p.signal(syscall.SIGTERM)
	if status := p.exit(); status != 0 {
		t.Errorf("the status after SIGTERM is %d", status)
	}
}
