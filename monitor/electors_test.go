package monitor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// asked are members that can be asked at addresses of their own: "a b" are a at a:1 and b at b:1, "c@" has no address,
// "d@x" is at x.
func asked(text string) (members []topology.Member) {
	for id := range strings.FieldsSeq(text) {
		m := topology.Member{ID: id, Addr: id + ":1", Limit: time.Hour}
		if name, addr, found := strings.Cut(id, "@"); found {
			m.ID, m.Addr = name, addr
			if addr == "" {
				m.Limit = 0
			}
		}
		members = append(members, m)
	}
	return members
}

// names lists electors.
func names(list []topology.Elector) string {
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

func TestElectorsAreThosePresentAndTheLeaderAndStayAsTheyAre(t *testing.T) {
	for _, c := range []struct{ was, members, self, late, want string }{
		{"", "a", "a", "", "a"},
		{"", "c a b", "a", "", "a b c"},
		{"a b", "a c", "a", "", "a c"},
		{"a b", "a b", "b", "", "a b"},
		{"a b", "a b c@", "a", "", ""},    // which could never lead
		{"a b", "a b c@a:1", "a", "", ""}, // the answer of one would be taken for that of the other
		{"", "a b c d e f g h i j k", "a", "", "a b c d e f g h i"},
		{"b c d e f g h i j", "a b c d e f g h i j k", "j", "", "b c d e f g h i j"},
		{"b c d e f g h i j", "a b c d e f g h i j k", "k", "", "b c d e f g h i k"},
		{"b c d e f g h i j", "a b c e f g h i j k", "j", "", "a b c e f g h i j"},
		{"a b d", "a c", "a", "b", "a b c"},                                       // b has only just gone
		{"a b", "a c@b:1", "a", "b", "a c"},                                       // it had an address that is another's now
		{"a b c d e f g h i", "a c d e f g h i j", "a", "b", "a c d e f g h i j"}, // somebody wants its place
		{"a", "a c", "a", "b", "a c"},                                             // it was none
	} {
		var was []topology.Elector
		for _, m := range asked(c.was) {
			was = append(was, topology.Elector{ID: m.ID, Addr: m.Addr, Limit: m.Limit})
		}
		if got := names(electors(was, asked(c.members), c.self, map[string]bool{c.late: true})); got != c.want {
			t.Errorf("of %q, when %q are present and %s leads: %q, want %q", c.was, c.members, c.self, got, c.want)
		}
	}
}

func TestAnElectorIsListedWhereItIs(t *testing.T) {
	was := []topology.Elector{{ID: "a", Addr: "old:1", Limit: time.Minute}}
	if got := electors(was, asked("a"), "a", nil); fmt.Sprint(got) != "[{a a:1 1h0m0s}]" {
		t.Errorf("%v", got)
	}
}

func TestTheLeaderKeepsTheElectorsUpToDate(t *testing.T) {
	w := emptyWorld()
	w.populate("m", []string{"r1"}, nil)
	w.members = asked("a b")
	write := func(want, why string) {
		t.Helper()
		actions := decide(w.situation())
		if len(actions) != 1 || actions[0].deed != deedWrite || names(actions[0].next.Electors) != want || actions[0].why != why ||
			actions[0].next.Epoch != w.state.Epoch || actions[0].next.Validate() != nil {
			t.Fatalf("it does %v (%q), not write the electors %q because %q", actions, actions[0].why, want, why)
		}
		w.state = actions[0].next
	}
	rest := func() {
		t.Helper()
		if actions := decide(w.situation()); len(actions) > 0 {
			t.Errorf("it does %v", actions)
		}
	}
	write("a b", "member a may lead; member b may lead")
	rest()
	// While the master is dead and nobody can take its place, members come and go as ever.
	r := w.nodes["r1"]
	r.Priority = 0
	w.nodes["r1"] = r
	w.state.Replicas[0].Priority = 0
	w.members = asked("a c")
	w.since["m"], w.downFor["m"] = w.now, map[string]string{"a": "refused", "c": "refused"}
	actions := decide(w.situation())
	if len(actions) != 2 || actions[0].deed != deedWrite || names(actions[0].next.Electors) != "a c" || actions[1].deed != deedAlarm {
		t.Fatalf("it does %v", actions)
	}
	w.state = actions[0].next
	delete(w.downFor, "m")
	w.members = asked("a@new:1 c")
	write("a c", "master m answers again, after 0s; member a is asked for promises at new:1")
	w.state.Paused = &topology.Paused{}
	w.members = asked("a@new:1 b c")
	write("a b c", "member b may lead")
	w.members = asked("b c") // a list that does not know the leader yet
	rest()
	w.members = asked("a@new:1 b c d@")
	write("", "any member may lead, and none writes without ZooKeeper, because not all members have an address at which they can be asked")
	rest()
}

func TestAChangeOfMasterLeavesTheElectorsAsTheyAre(t *testing.T) {
	w := emptyWorld()
	w.populate("m", []string{"r1"}, nil)
	w.members = asked("a b c")
	w.state.Electors = electors(nil, asked("a b"), "a", nil)
	w.downFor["m"] = map[string]string{"a": "refused", "b": "refused", "c": "refused"}
	actions := decide(w.situation())
	if len(actions) != 1 || actions[0].next.Phase != topology.Fencing || names(actions[0].next.Electors) != "a b" {
		t.Errorf("it does %v", actions)
	}
}

func TestAnElectorThatIsBackSoonNeverCeasedToBeOne(t *testing.T) {
	now := time.Now()
	list := electors(nil, asked("a b"), "a", nil)
	gone := absentees(nil, list, asked("a"), now)
	gone = absentees(gone, list, asked("a"), now.Add(time.Second))
	if since := gone["b"]; len(gone) != 1 || !since.Equal(now) {
		t.Fatalf("gone are %v, not b since the first list without it", gone)
	}
	for after, want := range map[time.Duration]string{electorPatience - 1: "a b", electorPatience: "a"} {
		s := situation{now: now.Add(after), self: "a", members: asked("a"), absent: gone}
		next := &topology.State{Electors: list}
		if s.elect(next); names(next.Electors) != want {
			t.Errorf("after %v the electors are %q", after, names(next.Electors))
		}
	}
	if gone = absentees(gone, list, asked("a b"), now); len(gone) > 0 {
		t.Errorf("it is back, and gone are %v", gone)
	}
}

func TestTheMemberThatKeepsAllFromWritingWithoutZooKeeperIsNamed(t *testing.T) {
	for _, c := range []struct{ members, want string }{
		{"", ""},
		{"a b c", ""},
		{"a b@ c", "member b has no address at which the others reach it, or is of a version without promises: start it with --advertise HOST:PORT: " +
			"until then nobody writes while ZooKeeper is away"},
		{"a b@a:1", "member b has the same address as member a, a:1: start each with an address of its own (--advertise): until then nobody writes while ZooKeeper is away"},
	} {
		members := asked(c.members)
		if got := unaskable(members); got != c.want {
			t.Errorf("%q: %q, want %q", c.members, got, c.want)
		}
		if c.members != "" && (electors(nil, members, "a", nil) == nil) != (c.want != "") {
			t.Errorf("%q: the electors are %v, and the alarm says %q", c.members, electors(nil, members, "a", nil), c.want)
		}
	}
}

// It may have been there all the time in between, and have gone only now.
func TestHowLongAnElectorHasBeenGoneIsNotCountedFromAnEarlierTerm(t *testing.T) {
	l := &loop{Monitor: &Monitor{}}
	l.snapshot.State = &topology.State{Electors: []topology.Elector{{ID: "b"}}}
	earlier := time.Now()
	l.haveListed([]topology.Member{{ID: "a"}}, earlier)
	l.endTerm()
	now := earlier.Add(time.Hour)
	l.haveListed([]topology.Member{{ID: "a"}}, now)
	if since := l.absent["b"]; !since.Equal(now) {
		t.Errorf("it counts as gone for %v", now.Sub(since))
	}
}
