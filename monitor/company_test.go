package monitor

import (
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// alarmed waits until the member has an alarm that says all of these.
func (m *member) alarmed(t *testing.T, says ...string) {
	t.Helper()
	testcluster.WaitFor(t, "an alarm with "+strings.Join(says, ", "), func() bool {
		return slices.ContainsFunc(m.Status().Alarms, func(alarm string) bool {
			return !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(alarm, s) })
		})
	})
}

func TestTwoMembersWithoutSharedCoordinationDoNotPromoteAndSaySo(t *testing.T) {
	c, a := cluster(t, 1, nil)
	cfg := testConfig(c.Addrs()[0])
	cfg.ID, cfg.Cluster = "b", "other"
	b := start(t, cfg, "")
	a.alarmed(t, "the Understudy other:b", "the same --zookeeper")
	b.alarmed(t, "the Understudy test:a")
	must(t, c.Nodes[0].Kill())
	a.alarmed(t, "is down", "other:b")
	b.alarmed(t, "is down", "test:a")
	if s := a.Snapshot().State; s.Epoch != 1 || s.Phase != topology.Stable {
		t.Errorf("state %+v", s)
	}
	// When the other one has gone, this one does its work.
	b.stop()
	a.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, c.Addrs()[1]) })
	testcluster.WaitFor(t, "the alarm to end", func() bool { return len(a.Status().Alarms) == 0 })
}

func TestASentinelThatWatchesTheNodesKeepsUsFromPromoting(t *testing.T) {
	c := testcluster.New(t, 1)
	conn, err := c.Nodes[1].Dial()
	must(t, err)
	defer conn.Close()
	_, err = conn.Do("SUBSCRIBE", sentinelChannel)
	must(t, err)
	m := start(t, testConfig(c.Addrs()[0]), "")
	m.alarmed(t, "a Sentinel", "stop it", "--failover off")
	must(t, c.Nodes[0].Kill())
	m.alarmed(t, "a Sentinel", "is down")
	must(t, conn.Close())
	m.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, c.Addrs()[1]) })
}
