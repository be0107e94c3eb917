package agreement

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// patient clients wait for a master as long as a test takes.
var patient = append([]string{"--hold-timeout=60s"}, swift...)

func TestWritesGoOnWithoutZooKeeper(t *testing.T) {
	t.Parallel()
	s, l := startSafe(t)
	before := s.agree()
	gone := s.loseZooKeeper()
	s.awaitGrant("failsafe", s.members...)
	l.until(gone.Add(3*lease), s.members...)
	for _, m := range s.members {
		if last, err := m.event("writes go on without ZooKeeper: promised by "); err != nil || last == "" {
			t.Errorf("%s has no event that says why it goes on (%v)", m.id, err)
		}
	}
	restart(t, s.ensemble)
	s.awaitGrant("lease", s.members...)
	l.progress(stage, s.members...)
	if after := s.agree(); after.epoch != before.epoch || after.master != before.master {
		t.Errorf("epoch %d with master %s, after %d with %s", after.epoch, after.master.Addr, before.epoch, before.master.Addr)
	}
	l.end(0)
	for _, c := range l.clients {
		if c.gap > lease {
			t.Errorf("%s had to wait for %v", c, c.gap)
		}
	}
}

func TestNobodyIsPromotedWithoutZooKeeperAndSomebodyIsWhenItIsBack(t *testing.T) {
	t.Parallel()
	s, l := startSafe(t)
	before := s.agree()
	gone := s.loseZooKeeper()
	s.awaitGrant("failsafe", s.members...)
	l.until(gone.Add(2*lease), s.members...)
	must(t, before.master.Kill())
	s.awaitHeld(s.members...)
	killed := time.Now()
	l.progressOf(10*stage, isReader)
	testcluster.WaitFor(t, "the time in which a master that dies is replaced", func() bool { return time.Since(killed) > 2*lease })
	if master, err := s.cluster.Master(); err == nil {
		t.Errorf("%s is master, and ZooKeeper is away", master.Addr)
	}
	restart(t, s.ensemble)
	l.progress(stage, s.members...)
	if after := s.agree(); after.epoch != before.epoch+1 {
		t.Errorf("epoch %d after %d", after.epoch, before.epoch)
	}
	l.end(1)
}

func TestWithoutZooKeeperTheDeathOfAMemberThatMayLeadStopsTheWritesOfTheOthers(t *testing.T) {
	t.Parallel()
	s, l := startSafe(t)
	gone := s.loseZooKeeper()
	s.awaitGrant("failsafe", s.members...)
	l.until(gone.Add(2*lease), s.members...)
	victim, others := s.members[1], s.without(s.members[1])
	s.smash(victim)
	killed := time.Now()
	s.awaitHeld(others...)
	for _, m := range others {
		// Nothing is sent any more when the last promise of the one that is dead has ended.
		if last := l.lastWrite(m); last.Sub(killed) > lease {
			t.Errorf("a write through %s was asked for %v after a member had died that might lead, and answered", m.id, last.Sub(killed))
		}
		testcluster.WaitFor(t, "the reason", func() bool {
			info, err := m.info()
			return err == nil && info["grant"] == "none" && strings.Contains(info["no_failsafe_because"], victim.id+" did not promise")
		})
	}
	restart(t, s.ensemble)
	l.progress(stage, others...)
	s.agreeing(others)
	s.awaitElectors(len(others), others...)
	l.end(0)
}

// startSafe starts a system whose members may all lead, with an ensemble of its own, and clients.
func startSafe(t *testing.T) (*system, *load) {
	s := start(t, options{ensemble: testcluster.NewEnsemble(t, 3), args: patient})
	s.awaitElectors(len(s.members), s.members...)
	l := startLoad(s)
	l.progress(stage, s.members...)
	return s, l
}

// loseZooKeeper kills all of ZooKeeper's servers.
func (s *system) loseZooKeeper() time.Time {
	s.t.Helper()
	for _, z := range s.ensemble.Servers {
		must(s.t, z.Kill())
	}
	return time.Now()
}

// awaitGrant waits until that is what the grants of these members rest on.
func (s *system) awaitGrant(source string, members ...*member) {
	s.t.Helper()
	s.awaitInfo("grant", source, members...)
}

// awaitElectors waits until these members know of so many that may lead.
func (s *system) awaitElectors(count int, members ...*member) {
	s.t.Helper()
	s.awaitInfo("electors", strconv.Itoa(count), members...)
}

func (s *system) awaitInfo(field, value string, members ...*member) {
	s.t.Helper()
	for _, m := range members {
		testcluster.WaitFor(s.t, field+" "+value+" of "+m.id, func() bool {
			info, err := m.info()
			return err == nil && info[field] == value
		})
	}
}

// event returns the latest event of a member that begins like this, "" if there is none.
func (m *member) event(begins string) (found string, err error) {
	list, err := redis.Values(m.ask("PROXY", "EVENTS"))
	for _, e := range list {
		fields, err := fieldsOf(e)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(fields["text"], begins) {
			found = fields["text"]
		}
	}
	return found, err
}

// A newcomer is the case for which the members ask those that may lead, and not those that they happen to know.
func TestANewcomerThatReachesZooKeeperPromotesNobodyWhileTheOthersWriteWithoutIt(t *testing.T) {
	t.Parallel()
	s := start(t, options{relays: true, args: patient})
	s.awaitElectors(len(s.members), s.members...)
	old := s.members
	l := startLoad(s)
	l.progress(stage, old...)
	before := s.agree()
	relays := func(f func(*testcluster.Relay)) {
		for _, m := range old {
			for _, r := range m.relays {
				f(r)
			}
		}
	}
	relays(func(r *testcluster.Relay) { r.Freeze(testcluster.BothWays) })
	cut := time.Now()
	s.awaitGrant("failsafe", old...)
	newcomer := &member{id: "d", addr: reserve(t)}
	newcomer.process = launch(t, append([]string{"run", "--cluster=" + cluster, "--id=d", "--listen=" + newcomer.addr, "--nodes=" + s.cluster.Nodes[0].Addr,
		"--zookeeper=" + strings.Join(s.ensemble.Hosts(), ",") + s.chroot}, patient...)...)
	newcomer.ready(t)
	s.members = append(slices.Clone(old), newcomer)
	testcluster.WaitFor(t, "the newcomer's alarm", func() bool {
		info, err := newcomer.info()
		return err == nil && strings.HasPrefix(info["alarm0"], "nobody may lead, so there is no failover: all electors (a at "+old[0].addr)
	})
	l.until(cut.Add(session+2*lease), old...) // the sessions of the others have ended by then
	must(t, before.master.Kill())
	killed := time.Now()
	s.awaitHeld(old...)
	testcluster.WaitFor(t, "the time in which a master that dies is replaced", func() bool { return time.Since(killed) > 2*lease })
	if master, err := s.cluster.Master(); err == nil {
		t.Errorf("%s is master, and those that may lead are cut off", master.Addr)
	}
	relays((*testcluster.Relay).Heal)
	l.progress(stage, old...)
	if after := s.agree(); after.epoch != before.epoch+1 {
		t.Errorf("epoch %d after %d", after.epoch, before.epoch)
	}
	s.awaitElectors(len(s.members), s.members...)
	l.end(1)
	must(t, newcomer.signal(syscall.SIGTERM))
	if status := newcomer.exit(t); status != 0 {
		t.Errorf("the newcomer ended with status %d", status)
	}
	s.members = old
}

func TestAProcessThatStartsWithoutZooKeeperEndsAndDisturbsNobody(t *testing.T) {
	t.Parallel()
	s, l := startSafe(t)
	s.loseZooKeeper()
	s.awaitGrant("failsafe", s.members...)
	p := launch(t, append([]string{"run", "--cluster=" + cluster, "--id=d", "--listen=" + reserve(t), "--nodes=" + s.cluster.Nodes[0].Addr,
		"--zookeeper=" + strings.Join(s.ensemble.Hosts(), ",") + s.chroot}, patient...)...)
	const limit = 20 * time.Second
	testcluster.WaitWithin(t, limit, "the end of the newcomer", func() bool { return !p.running() })
	if status := p.exit(t); status != 1 || !strings.Contains(p.output.String(), "ZooKeeper cannot be reached") {
		t.Errorf("it ended with status %d", status)
	}
	l.progress(stage, s.members...)
	restart(t, s.ensemble)
	s.awaitGrant("lease", s.members...)
	s.agree()
	l.end(0)
}
