package agreement

import (
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestDurableWritesWorkAtTheFirstMemberThatAsksForThemWhoeverLeads(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	leader := s.agree().leader
	first := s.without(leader)[0]
	first.quit(t)
	if status := first.exit(t); status != 0 {
		t.Fatalf("%s ended with status %d", first.id, status)
	}
	first.args = append(first.args, "--write-acks=1", "--write-acks-timeout=30s")
	s.revive(first)
	s.do(first, "SET", "durable", "yes")
	testcluster.WaitFor(t, "the write to be counted as durable", func() bool { // counters are told a moment later
		info, err := first.info()
		return err == nil && info["write_acks"] == "1" && info["durable_writes"] == "1"
	})
	if now := s.agree(); now.leader != leader {
		t.Errorf("%s leads, and it should be shown with %s, which asks for nothing", now.leader.id, leader.id)
	}
	testcluster.WaitFor(t, "an alarm at the others", func() bool {
		info, err := leader.info()
		return err == nil && strings.HasPrefix(info["alarm0"], "write-acks is 0 here and 1 in the state")
	})
}
