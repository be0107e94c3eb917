package agreement

import (
	"syscall"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// Every process is stopped and let run on, and killed and started again, one after the other, in one system under load:
// what one of them leaves behind is what the next one meets. No brake against flapping holds a failover back: here they
// follow one another within seconds.
func TestEachPartyIsStoppedAndKilledInTurn(t *testing.T) {
	t.Parallel()
	s := start(t, options{ensemble: testcluster.NewEnsemble(t, 3), args: append([]string{"--stall-after=1s", "--max-failovers=0", "--failback-delay=0s"}, patient...)})
	for _, p := range s.parties() {
		t.Logf("%s is stopped", p.name)
		s.survive(p, p.stop)
		t.Logf("%s is killed", p.name)
		s.survive(p, p.kill)
	}
}

// party is a process that something is done to.
type party struct {
	name string
	*member
	node       *testcluster.Redis
	kill, stop func() (heal func())
}

// parties are all processes of a system.
func (s *system) parties() (list []party) {
	signals := func(do func() error, undo func() error) func() func() {
		return func() func() {
			must(s.t, do())
			return func() { must(s.t, undo()) }
		}
	}
	for _, m := range s.members {
		list = append(list, party{name: "member " + m.id, member: m,
			kill: func() func() {
				s.smash(m)
				return func() { s.revive(m) }
			},
			stop: signals(func() error { return m.signal(syscall.SIGSTOP) }, func() error { return m.signal(syscall.SIGCONT) })})
	}
	for _, n := range s.cluster.Nodes {
		list = append(list, party{name: "node " + n.Addr, node: n,
			kill: signals(n.Kill, func() error { return n.Restart(s.t.Context()) }), stop: signals(n.Pause, n.Resume)})
	}
	for _, z := range s.ensemble.Servers {
		list = append(list, party{name: "ZooKeeper " + z.Addr,
			kill: signals(z.Kill, func() error { return z.Restart(s.t.Context()) }), stop: signals(z.Pause, z.Resume)})
	}
	return list
}

// survive does something to a party under load and undoes it. Clients of all members but it go on meanwhile, and see no
// error; the master alone may be replaced.
func (s *system) survive(p party, hurt func() (heal func())) {
	t := s.t
	t.Helper()
	before := s.agree()
	l := startLoad(s)
	l.progress(stage, s.members...)
	others := s.members
	var victim *process
	if p.member != nil {
		others, victim = s.without(p.member), p.process
	}
	heal := hurt()
	l.progress(stage, others...)
	losses := 0
	switch {
	case p.member != nil:
		s.agreeing(others) // its session ends, and if it led another one does
	case p.node == before.master:
		losses = 1
	}
	heal()
	after := s.agree()
	if after.epoch != before.epoch+uint64(losses) || (after.master == before.master) != (losses == 0) {
		t.Errorf("%s: epoch %d with master %s, after %d with %s", p.name, after.epoch, after.master.Addr, before.epoch, before.master.Addr)
	}
	l.progress(stage, others...)
	if p.member != nil {
		if victim == p.process { // it was not killed, so its clients are there still
			l.progress(stage, p.member)
		}
		losses++ // what its clients had under way
	}
	l.end(losses)
}
