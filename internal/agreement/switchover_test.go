package agreement

import (
	"strings"
	"syscall"
	"testing"

	"github.com/understudy/understudy/topology"
)

func TestSwitchoversThroughAnyMemberCostNoErrorAndNoWrite(t *testing.T) {
	const rounds = 10
	s := start(t, options{})
	l := startLoad(s)
	for i := range rounds {
		l.progress(stage/2, s.members...)
		before := s.agree()
		t.Logf("%s", s.do(s.members[i%len(s.members)], "PROXY", "FAILOVER"))
		after := s.agree()
		if after.epoch != before.epoch+1 || after.master == before.master || after.leader != before.leader {
			t.Fatalf("epoch %d with master %s led by %s, after %d with %s led by %s", after.epoch, after.master.Addr, after.leader.id,
				before.epoch, before.master.Addr, before.leader.id)
		}
	}
	l.progress(stage, s.members...)
	l.end(0)
}

func TestASwitchoverIsRefusedWhileAMemberIsSilentAndNobodyHasToWait(t *testing.T) {
	s := start(t, options{args: patient})
	h := s.watch()
	before := s.agree()
	silent := s.without(before.leader)[0]
	others := s.without(silent)
	l := startLoad(s, others...)
	l.progress(stage, others...)
	must(t, silent.signal(syscall.SIGSTOP))
	// Its session outlives the attempt; without it, there would be nobody to wait for.
	_, err := others[len(others)-1].ask("PROXY", "FAILOVER")
	if err == nil || !strings.Contains(err.Error(), "member "+silent.id+" (") || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("the switchover is answered %v, want that %s is silent", err, silent.id)
	}
	l.progress(stage, others...)
	sights, _ := h.since(0)
	for _, sight := range sights {
		if st := sight.state; st.Phase != topology.Stable || st.Epoch != before.epoch {
			t.Errorf("clients had to wait: the State was %+v", st)
		}
	}
	must(t, silent.signal(syscall.SIGCONT))
	if now := s.agree(); now != before {
		t.Errorf("it runs on, and %s is master in epoch %d", now.master.Addr, now.epoch)
	}
	t.Logf("%s", s.do(silent, "PROXY", "FAILOVER"))
	if now := s.agree(); now.epoch != before.epoch+1 || now.master == before.master {
		t.Errorf("epoch %d with master %s", now.epoch, now.master.Addr)
	}
	l.progress(stage, others...)
	l.end(0)
}
