package testcluster

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

func TestHostsOfANetworkReachEachOtherUntilTheyAreCutAndAfterTheyAreHealed(t *testing.T) {
	n, err := StartNetwork()
	if errors.Is(err, ErrNoNetwork) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	var hosts []*Host
	for range 3 {
		h, err := n.Host()
		must(t, err)
		hosts = append(hosts, h)
	}
	server, err := StartRedis(t.Context(), Options{Host: hosts[0]})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	dial := func(h *Host) (redis.Conn, error) {
		const limit = 300 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return redis.DialContext(ctx, "tcp", server.Addr, redis.DialContextFunc(h.Dial), redis.DialReadTimeout(10*time.Second))
	}
	near, err := dial(hosts[1])
	must(t, err)
	defer near.Close()
	if _, err := near.Do("INCR", "n"); err != nil {
		t.Fatal(err)
	}

	cut, rest := hosts[:1], hosts[1:2]
	must(t, n.Cut(cut, rest))
	var timeout net.Error
	if c, err := dial(hosts[1]); err == nil {
		c.Close()
		t.Error("a host that was cut off is reached")
	} else if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("the connection fails with %v, and not because nothing is heard", err)
	}
	other, err := dial(hosts[2])
	must(t, err)
	defer other.Close()
	must(t, near.Send("INCR", "n"))
	must(t, near.Flush())
	if v, err := redis.Int(other.Do("GET", "n")); v != 1 || err != nil {
		t.Errorf("what was sent over a cut has arrived: %d, %v", v, err)
	}

	must(t, n.Heal(cut, rest))
	if v, err := redis.Int(near.Receive()); v != 2 || err != nil {
		t.Errorf("what was sent over a cut does not arrive when it is healed: %d, %v", v, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
