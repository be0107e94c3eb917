package proxy_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// times is how often the log says something by now.
func (l *logged) times(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func TestWhoSetsSomethingAtTheMasterAloneIsHintedAtOnce(t *testing.T) {
	var log logged
	addr, _ := startLogging(t, testcluster.New(t, 0), nil, nil, &log)
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for hint, requests := range map[string][2]string{
		"CONFIG SET reaches the master alone":  {"CONFIG GET maxmemory", "CONFIG SET slowlog-max-len 100"},
		"ACL SETUSER reaches the master alone": {"ACL LIST", "ACL SETUSER someone on nopass +@read ~*"},
	} {
		do := func(request string) {
			words := strings.Fields(request)
			if _, err := conn.Do(words[0], redis.Args{}.AddFlat(words[1:])...); err != nil {
				t.Errorf("%s: %v", request, err)
			}
		}
		if do(requests[0]); log.times(hint) != 0 {
			t.Errorf("%s: %d hints", requests[0], log.times(hint))
		}
		for range 3 {
			if do(requests[1]); log.times(hint) != 1 {
				t.Errorf("%s: %d hints", requests[1], log.times(hint))
			}
		}
	}
}

func TestAMasterThatDoesNotSayWhatItsCommandsAreIsReported(t *testing.T) {
	var log logged
	cluster := testcluster.New(t, 0)
	if _, err := cluster.Nodes[0].Do("ACL", "SETUSER", "understudy", "on", ">secret", "~*", "&*", "+@all", "-command"); err != nil {
		t.Fatal(err)
	}
	addr, _ := startLogging(t, cluster, nil, func(c *proxy.Config) { c.Username, c.Password = "understudy", "secret" }, &log)
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if v, err := redis.String(conn.Do("SET", "k", "v")); err != nil || v != "OK" {
		t.Errorf("SET is answered %q, %v", v, err)
	}
	if _, err := conn.Do("NOSUCH"); err == nil || !strings.Contains(err.Error(), "so it was not sent") {
		t.Errorf("an unknown command is answered %v", err)
	}
	if n := log.times("the master does not say what its commands are"); n != 1 {
		t.Errorf("that is logged %d times", n)
	}
}
