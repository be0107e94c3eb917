package peer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestWhatWasGreetedAsOneMemberIsNotAskedAsAnother(t *testing.T) {
	server := testcluster.New(t, 0).Nodes[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var conns Conns
	defer conns.Close()
	greeted := 0
	itself := func(context.Context, redis.Conn) error { greeted++; return nil }
	for range 2 {
		if reply, err := redis.String(conns.Do(ctx, "a", server.Addr, itself, "PING")); err != nil || reply != "PONG" {
			t.Fatalf("PING: %q, %v", reply, err)
		}
	}
	if greeted != 1 {
		t.Errorf("greeted %d times over one connection", greeted)
	}
	errOther := errors.New("it is another member")
	other := func(context.Context, redis.Conn) error { return errOther }
	if reply, err := conns.Do(ctx, "b", server.Addr, other, "PING"); !errors.Is(err, errOther) {
		t.Errorf("another member at that address answers %v, %v", reply, err)
	}
}
