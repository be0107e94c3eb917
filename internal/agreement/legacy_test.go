package agreement

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestClientsOfRedisFailoverFollowFailoversAndAskForSome(t *testing.T) {
	root := fmt.Sprintf("/ruby-%d/redis_failover", chroots.Add(1))
	s := start(t, options{args: append([]string{"--publish-redis-failover=" + root}, swift...)})
	conn, events, err := zk.Connect(s.ensemble.Hosts(), session, zk.WithLogger(noLog{}))
	must(t, err)
	t.Cleanup(func() {
		conn.Close()
		for range events {
		}
	})
	published := func(agreed truth) {
		t.Helper()
		testcluster.WaitFor(t, "the nodes that all members agree on", func() bool {
			var nodes struct{ Master, Slaves, Unavailable any }
			data, _, err := conn.Get(root + "/nodes")
			if err != nil || json.Unmarshal(data, &nodes) != nil || nodes.Master != agreed.master.Addr {
				return false
			}
			slaves, isList := nodes.Slaves.([]any)
			running := slices.DeleteFunc(slices.Clone(s.cluster.Nodes), func(n *testcluster.Redis) bool { return !n.Running() })
			return isList && len(slaves) == len(running)-1
		})
	}
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	published(before)

	must(t, before.master.Kill())
	l.progress(stage, s.members...)
	after := s.agree()
	published(after)
	must(t, before.master.Restart(t.Context()))
	published(s.agree())

	// As Client#manual_failover(:host => ..., :port => ...) does.
	path := root + "/manual_failover"
	_, err = conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
	must(t, err)
	_, err = conn.Set(path, []byte(before.master.Addr), -1)
	must(t, err)
	testcluster.WaitFor(t, "the node that was asked for to be master", func() bool {
		info, err := s.members[0].info()
		return err == nil && info["master"] == before.master.Addr && info["phase"] == "stable"
	})
	l.progress(stage, s.members...)
	back := s.agree()
	if back.epoch != after.epoch+1 {
		t.Errorf("epoch %d after %d", back.epoch, after.epoch)
	}
	published(back)
	// Every member can tell what became of it.
	for _, m := range s.members {
		testcluster.WaitFor(t, "what became of it in the events of "+m.id, func() bool {
			list, err := redis.Values(m.ask("PROXY", "EVENTS"))
			return err == nil && strings.Contains(fmt.Sprintf("%s", list), path) &&
				strings.Contains(fmt.Sprintf("%s", list), before.master.Addr+" is master and was "+after.master.Addr)
		})
	}
	l.end(1)
}
