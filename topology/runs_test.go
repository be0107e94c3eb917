package topology

import (
	"encoding/json"
	"strings"
	"testing"
)

// runsOf is a State of nodes written as address=run; the first is the master, those behind "/" are unavailable.
func runsOf(nodes string) *State {
	s := &State{Format: Format, Cluster: "c", Epoch: 1, Phase: Stable}
	followers, gone, _ := strings.Cut(nodes, "/")
	for i, text := range strings.Fields(followers) {
		addr, run, _ := strings.Cut(text, "=")
		if n := (Node{Addr: addr, RunID: run}); i == 0 {
			s.Master = n
		} else {
			s.Replicas = append(s.Replicas, Replica{Node: n, Health: Online})
		}
	}
	for _, text := range strings.Fields(gone) {
		addr, run, _ := strings.Cut(text, "=")
		s.Unavailable = append(s.Unavailable, Node{Addr: addr, RunID: run})
	}
	return s
}

func TestARunKeepsItsNumberAndANewOneGetsANewNumber(t *testing.T) {
	for _, c := range []struct {
		why       string
		was, next string
		want      map[string]uint32 // by run; was is numbered 11, 12, 13 ... in order
	}{
		{"nothing happens", "m=a r=b", "m=a r=b", map[string]uint32{"a": 11, "b": 12}},
		{"a replica is promoted", "m=a r1=b r2=c", "r1=b r2=c / m=a", map[string]uint32{"a": 11, "b": 12, "c": 13}},
		{"a replica is restarted", "m=a r1=b r2=c", "m=a r1=x r2=c", map[string]uint32{"a": 11, "x": 14, "c": 13}},
		{"the master is restarted", "m=a r1=b", "m=x r1=b", map[string]uint32{"x": 13, "b": 12}},
		{"a node joins", "m=a", "m=a r1=b r2=c", map[string]uint32{"a": 11, "b": 12, "c": 13}},
		{"a node leaves", "m=a r1=b r2=c", "m=a r2=c", map[string]uint32{"a": 11, "c": 13}},
		{"a node goes by another address", "m=a r1=b", "m=a other=b", map[string]uint32{"a": 11, "b": 12}},
		{"the run of a node is not known", "m=a / r1", "m=a / r1", map[string]uint32{"a": 11, "": 0}},
		{"it becomes known", "m=a / r1", "m=a r1=b", map[string]uint32{"a": 11, "b": 12}},
	} {
		was := runsOf(c.was)
		was.Runs = 10
		was.NumberRuns(nil)
		next := runsOf(c.next)
		next.NumberRuns(was)
		seen := map[uint32]bool{}
		for n := range next.nodes {
			if n.Run != c.want[n.RunID] {
				t.Errorf("%s: run %q has the number %d instead of %d", c.why, n.RunID, n.Run, c.want[n.RunID])
			}
			if n.Run != 0 && seen[n.Run] {
				t.Errorf("%s: two runs have the number %d", c.why, n.Run)
			}
			seen[n.Run] = true
		}
		again := next.Clone()
		if again.NumberRuns(next); !again.Equal(next) {
			t.Errorf("%s: numbering twice gives other numbers", c.why)
		}
	}
}

func TestTheNumberOfARunThatIsOverIsNotUsedAgainSoon(t *testing.T) {
	s := runsOf("m=a r1=first")
	s.NumberRuns(nil)
	over := s.Replicas[0].Run
	for i := range MaxRun - 2 {
		next := s.Clone()
		next.Replicas[0].RunID = strings.Repeat("x", 1+i%2) // another one each time
		next.NumberRuns(s)
		if s = next; s.Replicas[0].Run == over || s.Replicas[0].Run == s.Master.Run || s.Replicas[0].Run > MaxRun {
			t.Fatalf("restart %d gives the replica the number %d; %d was its first, %d is the master's", i, s.Replicas[0].Run, over, s.Master.Run)
		}
	}
}

func TestNumbersLostByAnOlderBuildDoNotComeBackForOtherNodes(t *testing.T) {
	s := runsOf("m=a r1=b r2=c")
	s.NumberRuns(nil)
	for range 3 { // so that the numbers are not those that the same nodes would get first
		next := s.Clone()
		next.Replicas[1].RunID += "c"
		next.NumberRuns(s)
		s = next
	}
	numbers := map[uint32]string{}
	for n := range s.nodes {
		numbers[n.Run] = n.RunID
	}
	older := s.Clone()
	older.Runs = 0
	for n := range older.nodes {
		n.Run = 0
	}
	next := older.Clone()
	next.NumberRuns(older)
	for n := range next.nodes {
		if run, known := numbers[n.Run]; known && run != n.RunID || n.Run == 0 {
			t.Errorf("run %s has the number %d, which run %q had", n.RunID, n.Run, run)
		}
	}
}

func TestAStateOfABuildWithoutNumbersIsRead(t *testing.T) {
	s := runsOf("m=a r1=b")
	b, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), `"run"`) || strings.Contains(string(b), `"runs"`) {
		t.Fatalf("a State without numbers is written with some: %s", b)
	}
	s.NumberRuns(nil)
	if b, err = Encode(s); err != nil {
		t.Fatal(err)
	}
	var older struct { // as that build has it
		Master struct {
			Addr  string `json:"addr"`
			RunID string `json:"run_id"`
		} `json:"master"`
	}
	if err := json.Unmarshal(b, &older); err != nil || older.Master.RunID != "a" {
		t.Fatalf("an older build reads %+v: %v", older, err)
	}
	back, err := Decode(b)
	if err != nil || !back.Equal(s) {
		t.Fatalf("read back it is another State (%v): %s", err, b)
	}
}
