package client_test

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/admin/client"
	"github.com/understudy/understudy/resp"
)

// scripted answers each request with the next reply, at an address of its own.
func scripted(t *testing.T, replies ...[]byte) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for _, reply := range replies {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, addr string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestInfoIsReadIntoFields(t *testing.T) {
	addr := scripted(t, resp.AppendBulkString(nil, "# Understudy\r\nunderstudy_version:v1\r\nlast_failover_cause:master a:1 is down\r\nepoch:7\r\nlast_failover_duration_ms:43.210\r\n"))
	f, err := dial(t, addr).Info()
	if err != nil {
		t.Fatal(err)
	}
	if f["last_failover_cause"] != "master a:1 is down" || f.Int("epoch") != 7 || f.Int("no such field") != 0 {
		t.Errorf("the fields are %v", f)
	}
	if d := f.Milliseconds("last_failover_duration_ms"); d.Round(time.Microsecond) != 43210*time.Microsecond {
		t.Errorf("43.210 ms are read as %v", d)
	}
}

func TestNodesAreReadFromMaps(t *testing.T) {
	reply := resp.AppendArray(nil, 1)
	reply = resp.AppendMap(reply, 2, 3)
	reply = resp.AppendInt(resp.AppendBulkString(reply, "offset"), 12)
	reply = resp.AppendBulkString(resp.AppendBulkString(reply, "addr"), "a:1")
	reply = resp.AppendBulkString(reply, "aliases")
	reply = resp.AppendBulkString(resp.AppendBulkString(resp.AppendArray(reply, 2), "b:1"), "c:1")
	nodes, err := dial(t, scripted(t, reply)).Nodes()
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 1 || nodes[0]["addr"] != "a:1" || nodes[0].Int("offset") != 12 || nodes[0]["aliases"] != "b:1,c:1" {
		t.Errorf("the nodes are %v", nodes)
	}
}

func TestWhatIsNoUnderstudyIsAStranger(t *testing.T) {
	redis := testcluster.NewRedis(t)
	if _, err := dial(t, redis.Addr).Info(); !errors.Is(err, client.ErrStranger) {
		t.Errorf("INFO understudy of a redis-server gives %v", err)
	}
	if _, err := dial(t, redis.Addr).Nodes(); !errors.Is(err, client.ErrStranger) {
		t.Errorf("PROXY NODES of a redis-server gives %v", err)
	}
	if _, err := dial(t, scripted(t, []byte("*1\r\n:1\r\n"))).Nodes(); !errors.Is(err, client.ErrStranger) {
		t.Errorf("a list of numbers gives %v", err)
	}
}

func TestAClosedPortIsUnreachable(t *testing.T) {
	port, release, err := testcluster.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, addr := range []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), ":" + strconv.Itoa(port), "unix:" + t.TempDir() + "/none"} {
		if _, err := client.Dial(t.Context(), addr, "", ""); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%s gives %v", addr, err)
		}
	}
}

func TestAWrongPasswordIsRefused(t *testing.T) {
	redis := testcluster.NewRedis(t, "--requirepass", "right")
	if _, err := client.Dial(t.Context(), redis.Addr, "", "wrong"); !errors.Is(err, client.ErrRefused) {
		t.Errorf("a wrong password gives %v", err)
	}
	c, err := client.Dial(t.Context(), redis.Addr, "default", "right")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, err = dial(t, redis.Addr).Info()
	if err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Errorf("no password gives %v", err)
	}
}
