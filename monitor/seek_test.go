package monitor

import (
	"net"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// answered waits for the answer to a request about a node.
func (m *member) answered(t *testing.T, kind topology.RequestKind, target string) topology.Request {
	t.Helper()
	id, err := m.Submit(t.Context(), topology.Request{Kind: kind, Target: target, By: "ops"})
	must(t, err)
	var answered topology.Request
	testcluster.WaitFor(t, "an answer about "+target, func() bool {
		for _, r := range m.Requests() {
			if r.ID == id && r.Answer != "" {
				answered = r
				return true
			}
		}
		return false
	})
	return answered
}

func TestANodeMayBeNamedByAnyNameThatLeadsToIt(t *testing.T) {
	c, m := cluster(t, 1, nil)
	local := func(i int) string {
		_, port, err := net.SplitHostPort(c.Addrs()[i])
		must(t, err)
		return net.JoinHostPort("localhost", port)
	}
	if r := m.answered(t, topology.Forget, local(0)); r.Answer != topology.Refused || !strings.Contains(r.Text, c.Addrs()[0]+" is the master") {
		t.Errorf("to forget the master is answered %s: %s", r.Answer, r.Text)
	}
	if r := m.answered(t, topology.Switchover, local(1)); r.Answer != topology.Done {
		t.Errorf("a switchover to %s is answered %s: %s", local(1), r.Answer, r.Text)
	}
	m.waitState(t, "the replica to be master", func(s *topology.State) bool { return online(s, c.Addrs()[1], c.Addrs()[0]) })
	// The same host is not yet the same node, and what has no address is none.
	for _, stranger := range []string{"localhost:1", "nowhere.invalid:6379"} {
		if r := m.answered(t, topology.Switchover, stranger); r.Answer != topology.Refused || r.Text != stranger+" is not a node of this cluster" {
			t.Errorf("%s is answered %s: %s", stranger, r.Answer, r.Text)
		}
	}
}
