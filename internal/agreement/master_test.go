package agreement

import "testing"

func TestClientsOfAllMembersSeeOnlyAPauseWhenTheMasterIsKilled(t *testing.T) {
	s := start(t, options{})
	l := startLoad(s)
	l.progress(stage, s.members...)
	before := s.agree()
	must(t, before.master.Kill())
	l.progress(stage, s.members...)
	after := s.agree()
	if after.epoch != before.epoch+1 || after.leader != before.leader {
		t.Errorf("epoch %d led by %s, after %d by %s", after.epoch, after.leader.id, before.epoch, before.leader.id)
	}
	l.end(1)
	must(t, before.master.Restart(t.Context()))
	if now := s.agree(); now.epoch != after.epoch || now.master != after.master {
		t.Errorf("the old master came back, and now %s is master in epoch %d", now.master.Addr, now.epoch)
	}
}
