package agreement

import "testing"

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
