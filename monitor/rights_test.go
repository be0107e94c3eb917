package monitor

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

func TestTheRightsThatAreDocumentedSuffice(t *testing.T) {
	c := testcluster.New(t, 2)
	for _, r := range c.Nodes {
		mustDo(t, r, "ACL", "SETUSER", "understudy", "on", ">pw", "resetchannels", "&understudy*", "+info", "+ping",
			"+client|setname", "+client|kill", "+subscribe", "+pubsub", "+replicaof", "+config|rewrite", "+multi", "+exec")
	}
	cfg := testConfig(c.Addrs()[0])
	cfg.Username, cfg.Password = "understudy", "pw"
	m := start(t, cfg, "")
	m.waitState(t, "the replicas to be online", func(s *topology.State) bool { return online(s, c.Addrs()[0], c.Addrs()[1:]...) })
	must(t, c.Nodes[0].Kill())
	m.waitState(t, "a new master and its replica", func(s *topology.State) bool {
		return s.Epoch == 2 && s.Phase == topology.Stable && len(s.Replicas) == 1 && s.Replicas[0].Health == topology.Online
	})
	for _, n := range m.Status().Nodes {
		if n.Error != "" {
			t.Errorf("%s: %s", n.Addr, n.Error)
		}
	}
}

// A process that has only begun to look waits for what replicas tell. One that has no room for its connection tells nothing for long.
func TestAReplicaThatAnswersOnlyWithAnErrorIsNotWaitedFor(t *testing.T) {
	c := testcluster.New(t, 1)
	master, replica := c.Nodes[0], c.Nodes[1]
	path := filepath.Join(t.TempDir(), "state.json")
	cfg := testConfig(master.Addr)
	before := start(t, cfg, path)
	before.waitState(t, "the replica to be online", func(s *topology.State) bool { return online(s, master.Addr, replica.Addr) })
	before.stop()
	only, err := replica.Dial()
	must(t, err)
	defer only.Close()
	_, err = only.Do("CONFIG", "SET", "maxclients", 1)
	must(t, err)
	must(t, master.Kill())
	m := start(t, cfg, path)
	m.waitState(t, "that nobody takes the master's place", func(s *topology.State) bool { return s.Outage != nil })
	testcluster.WaitFor(t, "the alarm", func() bool {
		alarms := m.Status().Alarms
		return len(alarms) == 1 && strings.Contains(alarms[0], "no node can take over")
	})
}
