package agreement

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// said waits until the process has logged one line with all these parts.
func (p *process) said(t testing.TB, parts ...string) {
	t.Helper()
	testcluster.WaitFor(t, "a line with "+strings.Join(parts, ", "), func() bool {
		for line := range strings.Lines(p.output.String()) {
			missing := false
			for _, part := range parts {
				missing = missing || !strings.Contains(line, part)
			}
			if !missing {
				return true
			}
		}
		return false
	})
}

// alone starts an Understudy in front of a node.
func alone(t testing.TB, id, node string, args ...string) *member {
	t.Helper()
	m := &member{id: id, addr: reserve(t)}
	m.process = launch(t, append([]string{"run", "--id=" + id, "--listen=" + m.addr, "--nodes=" + node}, args...)...)
	m.ready(t)
	return m
}

// unmoved checks that no replica was promoted: the first node was the master, and is dead.
func unmoved(t testing.TB, c *testcluster.Cluster) {
	t.Helper()
	for _, n := range c.Nodes[1:] {
		info, err := n.Info("replication")
		must(t, err)
		if info["role"] != "slave" {
			t.Errorf("%s is a %s", n.Addr, info["role"])
		}
	}
}

func TestTwoUnderstudiesThatDoNotAgreePromoteNobodyAndSayWhatToDo(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, 2)
	a, b := alone(t, "a", c.Nodes[0].Addr), alone(t, "b", c.Nodes[0].Addr)
	a.said(t, "operator needed", "the Understudy default:b", "give every Understudy of these nodes the same --zookeeper and --cluster")
	b.said(t, "operator needed", "the Understudy default:a")
	must(t, c.Nodes[0].Kill())
	a.said(t, "operator needed", "is down", "the Understudy default:b")
	b.said(t, "operator needed", "is down", "the Understudy default:a")
	unmoved(t, c)
	// What it says to do helps.
	must(t, b.kill())
	a.said(t, "failover: complete")
}

func TestMembersOfTwoClustersInOneZooKeeperPromoteNobodyOnNodesThatBothLookAfter(t *testing.T) {
	t.Parallel()
	ensemble := shared.get(t)
	c := testcluster.New(t, 2)
	hosts := strings.Join(ensemble.Hosts(), ",")
	two := append([]string{"--cluster=two", "--zookeeper=" + hosts + "/company"}, swift...)
	// The same name, and yet another cluster: it lies elsewhere.
	elsewhere := append([]string{"--cluster=one", "--zookeeper=" + hosts + "/elsewhere"}, swift...)
	// One after the other they are founded: beside another one none is. They end in order: one that is killed may have become its
	// cluster's only elector by then, for whose like at another address nobody vouches.
	alone(t, "b", c.Nodes[0].Addr, two...).ends(t)
	alone(t, "c", c.Nodes[0].Addr, elsewhere...).ends(t)
	a := alone(t, "a", c.Nodes[0].Addr, append([]string{"--cluster=one", "--zookeeper=" + hosts + "/company"}, swift...)...)
	b, other := alone(t, "b", c.Nodes[0].Addr, two...), alone(t, "c", c.Nodes[0].Addr, elsewhere...)
	a.said(t, "operator needed", "the Understudy one:c", "the Understudy two:b", "the same --zookeeper and --cluster")
	b.said(t, "operator needed", "the Understudy one:a", "the Understudy one:c")
	other.said(t, "operator needed", "the Understudy one:a", "the Understudy two:b")
	must(t, c.Nodes[0].Kill())
	a.said(t, "operator needed", "is down", "the Understudy two:b")
	b.said(t, "operator needed", "is down", "the Understudy one:a")
	unmoved(t, c)
	must(t, b.kill())
	must(t, other.kill())
	a.said(t, "failover: complete")
}

func TestAnUnderstudyBySideOfThoseThatAgreeHoldsBackAndTheyDoNot(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, 2)
	args := append([]string{"--zookeeper=" + strings.Join(shared.get(t).Hosts(), ",") + "/beside"}, swift...)
	a := alone(t, "a", c.Nodes[0].Addr, args...)
	stray := alone(t, "stray", c.Nodes[0].Addr)
	follower := alone(t, "follower", c.Nodes[0].Addr, "--failover=off")
	stray.said(t, "operator needed", "the Understudy default:a", "the same --zookeeper")
	a.said(t, "operator needed", "the Understudy default:stray", "promotes nobody as long as it sees this one")
	must(t, c.Nodes[0].Kill())
	a.said(t, "failover: complete")
	follower.said(t, "failover: followed")
	if strings.Contains(a.output.String(), "follower") {
		t.Error("one that follows is taken for a rival")
	}
	if strings.Contains(stray.output.String(), "failover: complete") {
		t.Error("both of them promote")
	}
}

func TestASentinelOnTheNodesKeepsAnUnderstudyFromPromotingAndItSaysWhatToDo(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, 2)
	// One of three that is needed, so that Sentinel does nothing either.
	sentinels := testcluster.NewSentinels(t, 3, c.Nodes[0], 2, time.Minute)
	a := alone(t, "a", c.Nodes[0].Addr)
	a.said(t, "operator needed", "a Sentinel looks after the same nodes", "stop it, or run with --failover off to follow it")
	must(t, c.Nodes[0].Kill())
	a.said(t, "operator needed", "is down", "a Sentinel")
	unmoved(t, c)
	must(t, sentinels.Stop())
	a.said(t, "failover: complete")
}
