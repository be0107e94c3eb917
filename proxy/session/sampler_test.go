package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
)

// bulkOf encodes a string.
func bulkOf(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// clockAt is the answer to TIME of a node whose clock is ahead.
func clockAt(w *world, ahead time.Duration) string {
	at := w.now.Add(ahead)
	return "*2\r\n" + bulkOf(fmt.Sprint(at.Unix())) + bulkOf(fmt.Sprintf("%06d", at.Nanosecond()/1000))
}

// sampled is a world in which a sampler has just connected to all nodes.
type sampled struct {
	*world
	nodes map[string]*fakeConn // the sampler's connections
}

func newSampled(t *testing.T) *sampled {
	w := newWorld(t)
	w.lagging = true // only the sampler says how fresh replicas are
	upstream.NewSampler(w.env.Pool, 2*time.Millisecond, time.Second)
	w.state(2, "stable", "m", "r1", "r2")
	w.grant.Epoch = 2
	s := &sampled{world: w, nodes: map[string]*fakeConn{}}
	for _, addr := range []string{"m", "r1", "r2"} {
		w.wait(2 * time.Millisecond)
		s.nodes[addr] = w.accept(addr)
		if addr == "m" {
			s.answers("m", "INFO replication", bulkOf("role:master\r\nmaster_replid:H\r\n"))
			s.answers("m", "TIME", clockAt(w, 0))
			s.answers("m", "ROLE", masterAt(100))
		}
	}
	return s
}

func masterAt(offset int) string { return fmt.Sprintf("*3\r\n$6\r\nmaster\r\n:%d\r\n*0\r\n", offset) }

func replicaAt(master, link string, offset int) string {
	return fmt.Sprintf("*5\r\n$5\r\nslave\r\n%s:6379\r\n%s:%d\r\n", bulkOf(master), bulkOf(link), offset)
}

// answers has a node answer the sampler's question.
func (s *sampled) answers(addr, question, answer string) {
	s.t.Helper()
	s.nodes[addr].getsRequests(question)
	s.nodes[addr].says(answer)
}

// proves lets a replica say that it has the master's history up to an offset.
func (s *sampled) proves(addr, history string, ahead time.Duration, offset int) {
	s.t.Helper()
	s.answers(addr, "INFO replication", bulkOf("role:slave\r\nmaster_link_status:up\r\nmaster_replid:"+history+"\r\n"))
	if history != "H" {
		return
	}
	s.answers(addr, "TIME", clockAt(s.world, ahead))
	s.answers(addr, "ROLE", replicaAt("m", "connected", offset))
}

// servers are the nodes that answer reads of a key that nobody has written.
func (s *sampled) servers() map[string]bool {
	s.t.Helper()
	at := map[string]bool{}
	for range 30 {
		s.now = s.now.Add(time.Microsecond)
		at[readsAt(s.client(), "GET unwritten")] = true
	}
	return at
}

func TestReplicasServeOnceTheyHaveProvenToHaveTheMastersHistory(t *testing.T) {
	s := newSampled(t)
	if at := s.servers(); !at["m"] || len(at) != 1 {
		t.Errorf("before anything is proven, reads go to %v", at)
	}
	s.proves("r1", "H", 0, 100)
	if at := s.servers(); !at["r1"] || len(at) != 1 {
		t.Errorf("once r1 has it, reads go to %v", at)
	}
	s.proves("r2", "H", 0, 99)
	if at := s.servers(); !at["r1"] || len(at) != 1 {
		t.Errorf("while r2 is behind, reads go to %v", at)
	}
	s.wait(2 * time.Millisecond)
	s.answers("r2", "ROLE", replicaAt("m", "connected", 100))
	if at := s.servers(); !at["r1"] || !at["r2"] || at["m"] {
		t.Errorf("once both have it, reads go to %v", at)
	}
	s.wait(time.Second)
	for addr, c := range s.nodes {
		if c.received != "" {
			t.Errorf("while nothing is written %s is asked %q", addr, c.received)
		}
	}
}

func TestAReplicaOfAnotherHistoryServesNothing(t *testing.T) {
	s := newSampled(t)
	s.proves("r1", "other", 0, 1000)
	s.proves("r2", "H", 0, 100)
	if at := s.servers(); !at["r2"] || len(at) != 1 {
		t.Errorf("reads go to %v", at)
	}
}

func TestAReplicaWhoseClockIsWrongServesNothing(t *testing.T) {
	s := newSampled(t)
	s.proves("r1", "H", 1500*time.Millisecond, 100)
	s.proves("r2", "H", -500*time.Millisecond, 100)
	if at := s.servers(); !at["r2"] || len(at) != 1 {
		t.Errorf("reads go to %v", at)
	}
}

func TestAReplicaThatCopiesEverythingAnewServesNothingUntilItHasProvenItselfAgain(t *testing.T) {
	for name, answer := range map[string]string{
		"it copies everything":       replicaAt("m", "sync", -1),
		"it follows another node":    replicaAt("elsewhere", "connected", 5000),
		"it has become a master":     masterAt(5000),
		"its connection was lost":    "",
		"only its link is down just": replicaAt("m", "connecting", -1),
	} {
		s := newSampled(t)
		s.proves("r1", "H", 0, 100)
		s.proves("r2", "H", 0, 100)
		readsAt(s.client(), "SET a 1") // whatever it is answered
		s.wait(2 * time.Millisecond)
		s.answers("m", "ROLE", masterAt(200))
		s.nodes["r1"].getsRequests("ROLE")
		if answer == "" {
			s.nodes["r1"].dies()
		} else {
			s.nodes["r1"].says(answer)
		}
		s.answers("r2", "ROLE", replicaAt("m", "connected", 200))
		keeps := answer == replicaAt("m", "connecting", -1) // what it had
		s.state(2, "stable", "m", "r1")
		if at := s.servers(); at["r1"] != keeps || at["m"] == keeps {
			t.Errorf("%s: reads go to %v", name, at)
		}
	}
}

func TestWhereNothingIsReadNodesAreAskedSeldomUntilSomebodyReads(t *testing.T) {
	s := newSampled(t)
	s.proves("r1", "H", 0, 100)
	s.proves("r2", "H", 0, 100)
	writer, offset := s.client(), 100
	// asked writes something every millisecond, of which the replicas get all but the last, and returns how often the
	// master was asked.
	asked := func(d time.Duration) (n int) {
		for until := s.now.Add(d); s.now.Before(until); s.wait(time.Millisecond) {
			writer.sends("SET a 1")
			s.has("SET a 1").answers("+OK\r\n", "SET a 1")
			offset++
			if m := s.nodes["m"]; m.received != "" {
				n++
				m.answers(masterAt(offset), "ROLE")
			}
			for _, r := range []string{"r1", "r2"} {
				if s.nodes[r].received != "" {
					s.answers(r, "ROLE", replicaAt("m", "connected", offset-1))
				}
			}
		}
		return n
	}
	if n := asked(100 * time.Millisecond); n < 40 {
		t.Errorf("in the first 100 ms the master was asked %d times", n)
	}
	asked(20 * time.Millisecond)
	if n := asked(100 * time.Millisecond); n < 8 || n > 12 {
		t.Errorf("while nothing is read it was asked %d times in 100 ms", n)
	}
	s.nodes["m"].gets("")
	if at := readsAt(s.client(), "GET a"); at != "m" {
		t.Errorf("what was just written was read at %s", at)
	}
	s.nodes["m"].answers(masterAt(offset), "ROLE") // at once
	if n := asked(50 * time.Millisecond); n < 20 {
		t.Errorf("after a read it was asked %d times in 50 ms", n)
	}
}

func TestWhatNobodyHasWrittenSinceAllReplicasHadEverythingIsReadThere(t *testing.T) {
	s := newSampled(t)
	s.proves("r1", "H", 0, 100)
	s.proves("r2", "H", 0, 100)
	c := s.client()
	c.sends("SET a 1")
	s.has("SET a 1").answers("+OK\r\n", "SET a 1")
	if at := readsAt(s.client(), "GET a"); at != "m" {
		t.Errorf("no replica has it, and it was read at %s", at)
	}
	s.wait(2 * time.Millisecond)
	s.answers("m", "ROLE", masterAt(200))
	s.answers("r1", "ROLE", replicaAt("m", "connected", 200))
	s.answers("r2", "ROLE", replicaAt("m", "connected", 200))
	s.wait(2 * time.Millisecond)
	if !s.env.Freshness.Settled() {
		t.Error("all replicas have everything, which nobody knows")
	}
	if at := readsAt(s.client(), "GET a"); at == "m" {
		t.Error("all replicas have it, and it was read at the master")
	}
	c.sends("SET b 1")
	s.has("SET b 1").answers("+OK\r\n", "SET b 1")
	if at := readsAt(s.client(), "GET b"); at != "m" {
		t.Errorf("no replica has the next write, which was read at %s", at)
	}
	if at := readsAt(s.client(), "GET a"); at == "m" {
		t.Error("all replicas have what was written before, which was read at the master")
	}
}

func TestAReplicaThatRefusesTheProxysOwnUserIsNotAskedAgainAndAgain(t *testing.T) {
	s := newSampled(t)
	s.proves("r2", "H", 0, 100)
	s.nodes["r1"].dies()
	refused := 0
	for range 1000 {
		s.wait(time.Millisecond)
		for i := 0; i < len(s.dials); {
			if s.dials[i].addr != "r1" {
				i++
				continue
			}
			s.connect("r1").says("-NOAUTH Authentication required.\r\n")
			refused++
		}
	}
	if refused == 0 || refused > 3 { // clients' lanes of its group among them
		t.Errorf("it was asked %d times in a second", refused)
	}
}
