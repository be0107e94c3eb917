package monitor

import (
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
