package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAPasswordThatTheMasterGetsLaterShutsStrangersOut(t *testing.T) {
	cluster := testcluster.New(t, 1)
	addr, _ := start(t, cluster, nil, nil)
	do(t, addr, "SET", "a", "1")
	do(t, cluster.Nodes[1].Addr, "CONFIG", "SET", "masterauth", "secret")
	do(t, cluster.Nodes[0].Addr, "CONFIG", "SET", "requirepass", "secret")
	testcluster.WaitFor(t, "strangers to be refused", func() bool {
		_, err := dial(t, addr).Do("SET", "a", "2")
		return errorPrefix(err, "NOAUTH")
	})
	stranger := dial(t, addr)
	for range 20 { // the replica would still answer
		if _, err := stranger.Do("GET", "a"); !errorPrefix(err, "NOAUTH") {
			t.Fatalf("GET by a stranger: %v", err)
		}
	}
	known := dial(t, addr)
	if _, err := known.Do("AUTH", "secret"); err != nil {
		t.Fatal(err)
	}
	if _, err := known.Do("SET", "a", "3"); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberIsAnsweredBeforeItAuthenticatesAndWithoutAnyServer(t *testing.T) {
	cluster := testcluster.New(t, 1)
	addr, _ := start(t, cluster, nil, nil)
	for _, n := range []int{1, 0} {
		do(t, cluster.Nodes[n].Addr, "CONFIG", "SET", "requirepass", "secret")
	}
	testcluster.WaitFor(t, "strangers to be refused", func() bool {
		_, err := dial(t, addr).Do("SET", "a", "2")
		return errorPrefix(err, "NOAUTH")
	})
	ask := func(identity string) (string, error) {
		return redis.String(dial(t, addr).Do("PROXY", "PROMISE", identity, "x", 7, 3, 6000))
	}
	if _, err := ask("another"); !errorPrefix(err, "NOAUTH") {
		t.Errorf("who does not know the identity is told %v", err)
	}
	for _, n := range cluster.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if reply, err := ask("identity"); err != nil || reply != "PROMISED m" {
		t.Errorf("a member is told %q, %v", reply, err)
	}
}

func TestAClientThatAuthenticatesOverAndOverKeepsFewConnectionsOpen(t *testing.T) {
	cluster := testcluster.New(t, 1)
	addr, _ := start(t, cluster, nil, nil)
	c := dial(t, addr)
	for i := range 200 { // the default user has no password, and takes any
		for _, command := range [][]any{{"AUTH", "default", fmt.Sprint(i)}, {"GET", "a"}, {"INCR", "a"}} {
			if _, err := c.Do(command[0].(string), command[1:]...); err != nil {
				t.Fatalf("%v: %v", command, err)
			}
		}
	}
	testcluster.WaitFor(t, "few connections to be left", func() bool {
		list, err := redis.String(dial(t, cluster.Nodes[0].Addr).Do("CLIENT", "LIST"))
		return err == nil && strings.Count(list, "\n") < 60
	})
}

func TestAPasswordOfOneReplicaChangesNothingForClients(t *testing.T) {
	cluster := testcluster.New(t, 2)
	do(t, cluster.Nodes[1].Addr, "CONFIG", "SET", "requirepass", "secret")
	addr, _ := start(t, cluster, nil, nil)
	do(t, cluster.Nodes[0].Addr, "SET", "a", "1")
	testcluster.WaitFor(t, "the write to arrive", func() bool {
		v, err := redis.String(dial(t, cluster.Nodes[2].Addr).Do("GET", "a"))
		return err == nil && v == "1"
	})
	for range 50 {
		if v, err := redis.String(dial(t, addr).Do("GET", "a")); err != nil || v != "1" {
			t.Fatalf("GET: %q, %v", v, err)
		}
	}
}

func TestRequestsThatTheServerRefusesForTheirSizeHurtNobodyElse(t *testing.T) {
	cluster := testcluster.New(t, 0, "--proto-max-bulk-len", "1mb")
	addr, _ := start(t, cluster, nil, nil)
	stop := make(chan struct{})
	done := make(chan error, 1)
	innocent := dial(t, addr)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := innocent.Do("INCR", "counter"); err != nil {
				done <- err
				return
			}
		}
	}()
	large := strings.Repeat("v", 2<<20)
	for range 10 {
		if _, err := dial(t, addr).Do("SET", "large", large); err == nil {
			t.Error("a value above the server's limit was accepted")
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("INCR of another client: %v", err)
	}
}

func TestABlockingPopOfAClientThatHasGoneTakesNothing(t *testing.T) {
	cluster := testcluster.New(t, 0)
	addr, _ := start(t, cluster, nil, nil)
	master := cluster.Nodes[0].Addr
	for _, before := range []string{"", "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, before+"*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n"); err != nil {
			t.Fatal(err)
		}
		blocked := func(n int) func() bool {
			return func() bool {
				list, err := redis.String(dial(t, master).Do("CLIENT", "LIST"))
				return err == nil && strings.Count(list, "cmd=blpop") == n
			}
		}
		testcluster.WaitFor(t, "BLPOP to block", blocked(1))
		c.Close()
		testcluster.WaitFor(t, "BLPOP to end with its client", blocked(0))
		do(t, master, "LPUSH", "q", "job")
		if n := do(t, master, "LLEN", "q"); n != int64(1) {
			t.Errorf("after %q: %v jobs are left", before, n)
		}
		do(t, master, "DEL", "q")
	}
}

func TestASubscriberWhoseUserIsGoneIsToldSo(t *testing.T) {
	cluster := testcluster.New(t, 0)
	addr, _ := start(t, cluster, nil, nil)
	master := cluster.Nodes[0].Addr
	do(t, master, "ACL", "SETUSER", "eve", "on", ">pw", "~*", "&*", "+@all")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	fmt.Fprintf(c, "AUTH eve pw\r\n")
	if line, err := r.ReadString('\n'); line != "+OK\r\n" {
		t.Fatalf("AUTH: %q, %v", line, err)
	}
	do(t, master, "ACL", "DELUSER", "eve")
	fmt.Fprintf(c, "SUBSCRIBE news\r\n")
	if _, err := r.ReadString('\n'); err != nil && err != io.EOF {
		t.Fatalf("neither an answer nor an end: %v", err)
	}
}
