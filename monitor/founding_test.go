package monitor

import (
	"context"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// watching subscribes to a node as a member does.
func watching(t *testing.T, r *testcluster.Redis, cfg Config) redis.Conn {
	t.Helper()
	conn, err := r.Dial()
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = conn.Do("SUBSCRIBE", cfg.channels()...)
	must(t, err)
	return conn
}

func TestAClusterIsNotFoundedOnNodesThatMembersOfAnotherLookAfter(t *testing.T) {
	r := testcluster.NewRedis(t)
	of := func(cluster, id, identity string) Config {
		cfg := testConfig(r.Addr)
		cfg.Cluster, cfg.ID, cfg.Identity = cluster, id, identity
		return cfg
	}
	must(t, MayFound(t.Context(), of("shop", "b", "")))
	watching(t, r, of("shop", "a", "00000001"))
	follower := of("shop", "f", "")
	follower.Follow = true
	watching(t, r, follower)
	watching(t, r, of("shop", "stray", "")) // it is alone, and holds back by itself
	must(t, MayFound(t.Context(), of("shop", "b", "00000001")))
	must(t, MayFound(t.Context(), follower))

	for _, newcomer := range []Config{of("shop", "b", ""), of("shop", "a", ""), of("shop", "b", "00000002"), of("other", "b", "")} {
		err := MayFound(t.Context(), newcomer)
		if err == nil || !strings.Contains(err.Error(), "the Understudy shop:a (identity 00000001) looks after these nodes") ||
			!strings.Contains(err.Error(), "check the chroot of --zookeeper and --cluster") || strings.Contains(err.Error(), "stray") || strings.Contains(err.Error(), "shop:f") {
			t.Errorf("%s:%s of %q: %v", newcomer.Cluster, newcomer.ID, newcomer.Identity, err)
		}
	}
}

func TestAMemberOfAnotherClusterThatIsJustEndingKeepsNobodyFromFounding(t *testing.T) {
	r := testcluster.NewRedis(t)
	old := testConfig(r.Addr)
	old.Identity = "00000001"
	last := watching(t, r, old)
	asked := make(chan error, 1)
	go func() { asked <- MayFound(context.Background(), testConfig(r.Addr)) }()
	testcluster.WaitFor(t, "it to have looked", func() bool {
		stats, err := r.Info("commandstats")
		return err == nil && stats["cmdstat_pubsub|channels"] != ""
	})
	must(t, last.Close())
	must(t, <-asked)
}
