package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"

	"github.com/understudy/understudy/topology"
)

// wrote has a client write a key, which no replica gets.
func wrote(w *world, request, reply string) *fakeConn {
	w.t.Helper()
	w.lagging = true
	c, m := sent(w, request)
	m.says(reply)
	c.gets(reply)
	return c
}

// readsAt has a client read and answers it where it is asked: at the master, or at a replica.
func readsAt(c *fakeConn, request string) (node string) {
	w := c.world
	w.t.Helper()
	c.sends(request)
	for _, l := range w.links {
		if l.closed || l.received == "" {
			continue
		}
		l.getsRequests(request)
		l.says("$1\r\n1\r\n")
		c.gets("$1\r\n1\r\n")
		return l.addr
	}
	w.t.Fatalf("nobody was asked %q", request)
	return ""
}

func TestAReadOfAWrittenKeyGoesToTheMasterUntilAReplicaHasIt(t *testing.T) {
	w := newWorld(t)
	wrote(w, "SET a 1", "+OK\r\n")
	other := w.client()
	if at := readsAt(other, "GET a"); at != "m" {
		t.Errorf("another client's read went to %s", at)
	}
	if at := readsAt(w.client(), "GET b"); at == "m" {
		t.Error("a read of another key went to the master")
	}
	w.replicate()
	if at := readsAt(other, "GET a"); at == "m" {
		t.Error("once the replicas have the write, the master is still asked")
	}
}

func TestWhateverAWriteChangesIsReadAtTheMasterUntilAReplicaHasIt(t *testing.T) {
	for _, test := range []struct {
		write, reply, read string
		master             bool
	}{
		{"SET a 1", "+OK\r\n", "GET b", false},
		{"SET a 1", "+OK\r\n", "MGET b a", true},
		{"SET a 1", "-ERR it may have happened all the same\r\n", "GET a", true},
		{"MSET a 1 b 2", "+OK\r\n", "GET b", true},
		{"RENAME a b", "+OK\r\n", "GET a", true},
		{"COPY a b DB 3", ":1\r\n", "GET b", true},
		{"SORT a STORE b", ":0\r\n", "LRANGE b 0 -1", true},
		{"FLUSHALL", "+OK\r\n", "GET x", true},
		{"SWAPDB 0 1", "+OK\r\n", "GET x", true},
		{"EVAL script 0", ":1\r\n", "GET x", true},
		{"FCALL f 1 a", ":1\r\n", "GET x", true},
		{"MODULE.NEW a", ":1\r\n", "GET x", true},
		{"PUBLISH a b", ":0\r\n", "GET a", false},
		{"SET a 1", "+OK\r\n", "DBSIZE", true},
		{"SET a 1", "+OK\r\n", "KEYS *", true},
		{"SET a 1", "+OK\r\n", "EVAL_RO script 0", true},
		{"SET a 1", "+OK\r\n", "SORT_RO x BY w_*", true},
		{"SET a 1", "+OK\r\n", "SORT_RO x", false},
		{"PUBLISH a b", ":0\r\n", "DBSIZE", false},
		{"SET a 1", "+OK\r\n", "RANDOMKEY", true},
	} {
		w := newWorld(t)
		if _, err := w.env.Learn([]byte("MODULE.NEW"), []byte(moduleInfo)); err != nil {
			t.Fatal(err)
		}
		wrote(w, test.write, test.reply)
		if at := readsAt(w.client(), test.read); (at == "m") != test.master {
			t.Errorf("after %s, %s went to %s", test.write, test.read, at)
		}
	}
}

func TestAWriteWhoseClientHasGoneCounts(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	c, m := sent(w, "SET a 1")
	c.dies()
	m.says("+OK\r\n")
	if at := readsAt(w.client(), "GET a"); at != "m" {
		t.Errorf("the read went to %s", at)
	}
}

func TestAWriteOfUnknownOutcomeCounts(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	c, m := sent(w, "SET a 1")
	m.dies()
	c.gets(unknownResult)
	w.client().sends("GET a")
	w.link("m").getsRequests("GET a")
}

func TestTheKeysOfATransactionCount(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	_, m := sent(w, "MULTI", "SET a 1", "SET b 2", "EXEC")
	m.says("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n")
	for key, master := range map[string]bool{"a": true, "b": true, "c": false} {
		if at := readsAt(w.client(), "GET "+key); (at == "m") != master {
			t.Errorf("GET %s went to %s", key, at)
		}
	}
}

func TestTheKeysOfATransactionOnAPinCount(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	c := w.client()
	c.sends("MULTI")
	pin := w.accept("m")
	for _, step := range []struct{ request, reply string }{
		{"MULTI", "+OK\r\n"}, {"SET a 1", "+QUEUED\r\n"}, {"DEL b x", "+QUEUED\r\n"}, {"EXEC", "*2\r\n+OK\r\n:0\r\n"},
	} {
		if step.request != "MULTI" {
			c.sends(step.request)
		}
		pin.getsRequests(step.request)
		pin.says(step.reply)
	}
	for key, master := range map[string]bool{"a": true, "b": true, "x": true, "c": false} {
		if at := readsAt(w.client(), "GET "+key); (at == "m") != master {
			t.Errorf("GET %s went to %s", key, at)
		}
	}
}

func TestWhatASessionHasSeenAtTheMasterIsNotMissingFromItsReads(t *testing.T) {
	for _, test := range []struct {
		request, reply string
		own, others    bool // must the session's own reads of other keys, and those of others, go to the master?
	}{
		{"SET a 1", "+OK\r\n", false, false},
		{"SET a 1 NX", "+OK\r\n", true, false}, // a lock that somebody has given back
		{"INCR a", ":7\r\n", true, false},
		{"LPOP a", "$1\r\nj\r\n", true, true}, // a job that somebody has left
		{"LPOP a", "$-1\r\n", true, false},
		{"TIME", "*2\r\n:1\r\n:2\r\n", true, false},
	} {
		w := newWorld(t)
		c := wrote(w, test.request, test.reply)
		if at := readsAt(c, "GET other"); (at == "m") != test.own {
			t.Errorf("after %s the session's read went to %s", test.request, at)
		}
		if at := readsAt(w.client(), "GET other"); (at == "m") != test.others {
			t.Errorf("after %s another session's read went to %s", test.request, at)
		}
		w.replicate()
		if at := readsAt(c, "GET other"); at == "m" {
			t.Errorf("after %s, once the replicas have caught up, the master is still asked", test.request)
		}
	}
}

func TestASessionStaysWithItsReplicaUntilAnotherHasWhatItHasSeen(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	c := w.client()
	first := readsAt(c, "GET a")
	for range 50 {
		if at := readsAt(c, "GET a"); at != first {
			t.Fatalf("after %s it read at %s, which may be behind", first, at)
		}
	}
	second := map[string]string{"r1": "r2", "r2": "r1"}[first]
	w.state(1, "stable", "m", second)
	if at := readsAt(c, "GET a"); at != "m" {
		t.Errorf("without %s it read at %s", first, at)
	}
	w.replicate()
	if at := readsAt(c, "GET a"); at == "m" {
		t.Error("the master is still asked")
	}
}

func TestAnotherMasterMakesReplicasProveThemselvesAnew(t *testing.T) {
	w := newWorld(t)
	w.lagging = true
	w.state(2, "fencing", "m", "r1", "r2")
	if at := readsAt(w.client(), "GET a"); !strings.HasPrefix(at, "r") {
		t.Errorf("while the master is deposed a read goes to %s", at)
	}
	w.grant.Epoch = 2
	w.state(2, "stable", "r1", "m", "r2")
	w.acceptAll()
	c := w.client()
	c.sends("GET a")
	w.link("r1").getsRequests("GET a")
	w.link("r1").says("$1\r\n1\r\n")
	w.replicate()
	if at := readsAt(w.client(), "GET a"); at == "r1" {
		t.Error("the new master is still asked")
	}
}

func TestThePolicyDecidesWhatReadsSee(t *testing.T) {
	for policy, want := range map[Policy]string{Causal: "m", Eventual: "r", Strong: "m"} {
		w := newWorld(t)
		wrote(w, "SET a 1", "+OK\r\n")
		c := w.client()
		c.session.policy = policy
		if at := readsAt(c, "GET a"); at[:1] != want {
			t.Errorf("%v: the read of what was written goes to %s", policy, at)
		}
		c = w.client()
		c.session.policy = policy
		if at := readsAt(c, "GET b"); (at == "m") != (policy == Strong) {
			t.Errorf("%v: the read of another key goes to %s", policy, at)
		}
	}
}

func TestASessionThatWouldStayAtTheMasterWaitsForAReplicaNowAndThen(t *testing.T) {
	w := newWorld(t)
	w.env.Config.MaxCatchUp = 10 * time.Millisecond
	c := wrote(w, "INCR a", ":1\r\n")
	for range stuckAt {
		if at := readsAt(c, "GET b"); at != "m" {
			t.Fatalf("a read that must see the increment went to %s", at)
		}
	}
	c.sends("GET b")
	w.link("m").gets("")
	w.replicate()
	w.turn()
	r := w.asked()
	r.getsRequests("GET b")
	r.says("$-1\r\n")
	c.gets("$-1\r\n")

	// When none comes in time, the master answers.
	c.sends("INCR a")
	w.link("m").answers(":2\r\n", "INCR a")
	c.gets(":2\r\n")
	w.wait(time.Second)
	for range stuckAt {
		readsAt(c, "GET b")
	}
	c.sends("GET b")
	w.link("m").gets("")
	w.wait(10 * time.Millisecond)
	w.link("m").answers("$-1\r\n", "GET b")
	c.gets("$-1\r\n")
	c.sends("GET b")
	c.dies() // and nothing waits for it any more
	w.replicate()
	w.turn()
}

func TestPROXYREADChangesWhatASessionsReadsSee(t *testing.T) {
	w := newWorld(t)
	wrote(w, "SET a 1", "+OK\r\n")
	c := w.client()
	for _, step := range []struct{ policy, name, node string }{
		{"eventual", "eventual", "r"}, {"master", "strong", "m"}, {"REPLICA", "eventual", "r"}, {"causal", "causal", "m"}, {"split", "causal", "m"},
	} {
		c.sends("PROXY READ "+step.policy, "PROXY READ")
		c.gets(fmt.Sprintf("+OK\r\n$%d\r\n%s\r\n", len(step.name), step.name))
		if at := readsAt(c, "GET a"); at[:1] != step.node {
			t.Errorf("%s: the read went to %s", step.policy, at)
		}
	}
	c.sends("PROXY READ nothing", "PROXY READ eventual", "RESET", "PROXY READ")
	c.gets("-ERR unknown policy for reads. It must be one of " + strings.Join(PolicyNames(), ", ") + "\r\n+OK\r\n+RESET\r\n$6\r\ncausal\r\n")
}

func TestABoundedReadGoesToAReplicaOfKnownAge(t *testing.T) {
	w := newWorld(t)
	w.env.Config.MaxStaleness = time.Second
	wrote(w, "SET a 1", "+OK\r\n")
	c := w.client()
	c.sends("PROXY READ bounded")
	c.gets("+OK\r\n")
	if at := readsAt(c, "GET a"); at == "m" {
		t.Error("a replica that is a little behind is not asked")
	}
	w.wait(1100 * time.Millisecond)
	if at := readsAt(c, "GET a"); at != "m" {
		t.Errorf("%s is asked, of which nothing is known for more than a second", at)
	}
	if w.tracker.Needed() < w.tracker.Next() {
		t.Error("no sample is asked for")
	}
	w.replicate()
	if at := readsAt(c, "GET a"); at == "m" {
		t.Error("a replica that has come up is not asked")
	}
}

// wantReadsAt fails if some client reads at another node.
func wantReadsAt(w *world, node string) {
	w.t.Helper()
	for range 20 {
		if at := readsAt(w.client(), "GET a"); at != node {
			w.t.Fatalf("a read goes to %s", at)
		}
	}
}

func TestReadsGoToReplicasOfTheOwnZoneAsLongAsOneMayAnswer(t *testing.T) {
	w := newWorldWith(t, 0, func(c *upstream.Config) { c.Near = map[string]bool{"r2": true} })
	wantReadsAt(w, "r2")
	w.state(1, "stable", "m", "r1")
	if at := readsAt(w.client(), "GET a"); at != "r1" {
		t.Errorf("without a replica in the zone a read goes to %s", at)
	}
}

func TestAReplicaWithoutWeightAnswersNothing(t *testing.T) {
	w := newWorldWith(t, 0, func(c *upstream.Config) { c.Weights = map[string]int{"r1": 0} })
	wantReadsAt(w, "r2")
	w.state(1, "stable", "m", "r1")
	if at := readsAt(w.client(), "GET a"); at != "m" {
		t.Errorf("with no other replica a read goes to %s", at)
	}
}

func TestASlowReplicaIsAskedAllTheSameWhenThereIsNoMaster(t *testing.T) {
	for _, master := range []bool{true, false} {
		w := newWorld(t)
		w.state(1, topology.Stable, "m", "r1") // r2 is no help
		w.client().sends("GET a")
		w.link("r1").getsRequests("GET a")
		w.now = w.now.Add(60 * time.Millisecond)
		if !master {
			w.state(2, topology.Fencing, "m", "r1")
		}
		w.client().sends("GET b")
		if asked := w.link("r1").received != ""; asked == master {
			t.Errorf("with a master %v the replica is asked: %v", master, asked)
		}
	}
}
