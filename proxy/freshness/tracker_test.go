package freshness

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

var (
	reign1 = Reign{Epoch: 1, Master: Node{Addr: "m"}}
	reign2 = Reign{Epoch: 2, Master: Node{Addr: "r1"}}
)

// request is one as words.
func request(words ...string) (args [][]byte, bytes []byte) {
	for _, w := range words {
		args = append(args, []byte(w))
	}
	return args, resp.AppendRequest(nil, args...)
}

// answered notes a write as a connection does.
func answered(l *Loop, words ...string) {
	args, bytes := request(words...)
	cmd, _ := command.Builtin().Classify(args)
	if m := l.Mark(cmd, args); m != Unknown {
		l.Answered(m)
	} else {
		l.Look(bytes)
	}
}

func needs(l *Loop, words ...string) uint64 {
	args, _ := request(words...)
	cmd, _ := command.Builtin().Classify(args)
	return l.Needs(l.AppendKeys(nil, cmd, args)...)
}

func TestAReplicaServesNothingBeforeItsFirstSample(t *testing.T) {
	tr := NewTracker()
	l := tr.NewLoop(command.Builtin)
	r := tr.Enroll(1, reign1, []Node{{Addr: "r1"}})[0]
	w := Want{Keys: needs(l, "GET", "a")}
	if w.Allows(r) {
		t.Error("a replica of which nothing is known serves")
	}
	s := tr.NewSamples()
	s.Answered(s.Begin(time.Time{}), 100)
	if s.Reached(r, 99, time.Time{}) || w.Allows(r) {
		t.Error("a replica serves that has not come to the first sample")
	}
	if !s.Reached(r, 100, time.Time{}) || !w.Allows(r) {
		t.Error("a replica does not serve that has come to it")
	}
}

func TestASampleThatWasBegunBeforeAWriteWasAnsweredProvesNothingOfIt(t *testing.T) {
	tr := NewTracker()
	l := tr.NewLoop(command.Builtin)
	r := tr.Enroll(1, reign1, []Node{{Addr: "r1"}})[0]
	s := tr.NewSamples()
	n := s.Begin(time.Time{})
	answered(l, "SET", "a", "1")
	s.Answered(n, 100)
	s.Reached(r, 100, time.Time{})
	if w := (Want{Keys: needs(l, "GET", "a")}); w.Allows(r) {
		t.Error("the write may be missing")
	}
	s.Answered(s.Begin(time.Time{}), 100)
	s.Reached(r, 100, time.Time{})
	if w := (Want{Keys: needs(l, "GET", "a")}); !w.Allows(r) {
		t.Error("the write is there")
	}
}

func TestEveryReplicaOfANewMasterBeginsAnew(t *testing.T) {
	tr := NewTracker()
	l := tr.NewLoop(command.Builtin)
	node := []Node{{Addr: "r2"}}
	old := tr.Enroll(1, reign1, node)[0]
	s := tr.NewSamples()
	s.Answered(s.Begin(time.Time{}), 100)
	s.Reached(old, 100, time.Time{})
	late := tr.Enroll(3, reign2, node)[0]
	if late == old {
		t.Fatal("it is the same")
	}
	if again := tr.Enroll(3, reign2, node)[0]; again != late {
		t.Error("two loops under one State know different replicas")
	}
	if behind := tr.Enroll(2, reign1, node)[0]; behind == late || behind.AsOf() != 0 {
		t.Error("a loop that is late gets what is known under the new master")
	}
	w := Want{Keys: needs(l, "GET", "a")}
	if w.Allows(old) || w.Allows(late) {
		t.Error("nothing is proven under the new master")
	}
}

func TestAReplicaThatWasAwayBeginsAnew(t *testing.T) {
	tr := NewTracker()
	node := []Node{{Addr: "r1", RunID: "x"}}
	r := tr.Enroll(1, reign1, node)[0]
	s := tr.NewSamples()
	s.Answered(s.Begin(time.Time{}), 100)
	s.Reached(r, 100, time.Time{})
	if tr.Enroll(2, reign1, node)[0] != r {
		t.Error("a State that changes nothing for it makes it begin anew")
	}
	tr.Enroll(3, reign1, nil)
	if tr.Enroll(4, reign1, node)[0] == r {
		t.Error("it was away and counts as fresh")
	}
	if tr.Enroll(5, reign1, []Node{{Addr: "r1", RunID: "y"}})[0].AsOf() != 0 {
		t.Error("it was restarted and counts as fresh")
	}
}

func TestAReplicaThatIsFarBehindIsStillPlacedAmongTheSamples(t *testing.T) {
	tr := NewTracker()
	r := tr.Enroll(1, reign1, []Node{{Addr: "r1"}})[0]
	s := tr.NewSamples()
	for i := range int64(100 * maxSamples) {
		s.Answered(s.Begin(time.Time{}), 10*i)
	}
	if len(s.answered) > maxSamples {
		t.Errorf("%d samples are remembered", len(s.answered))
	}
	last := uint64(0)
	for i := range int64(100 * maxSamples) {
		s.Reached(r, 10*i+5, time.Time{})
		if asOf := r.AsOf(); asOf > beginning+uint64(i)+1 || asOf < last {
			t.Fatalf("at offset %d, and before at %d, it is taken to be fresh as of %d", 10*i+5, last, asOf)
		}
		last = r.AsOf()
	}
	if last != beginning+100*maxSamples {
		t.Errorf("in the end it is fresh as of %d", last)
	}
}

func TestRestIsRefusedToWhoHasNotSeenWhatIsNeeded(t *testing.T) {
	tr := NewTracker()
	woken := 0
	tr.OnNeed(func() { woken++ })
	if woken != 1 {
		t.Fatalf("woken %d times for the first sample", woken)
	}
	l := tr.NewLoop(command.Builtin)
	s := tr.NewSamples()
	done := s.Begin(time.Time{})
	answered(l, "SET", "a", "1")
	if tr.Rest(done) {
		t.Error("rest is granted although a write waits for a sample")
	}
	if !tr.Rest(s.Begin(time.Time{})) || woken != 1 {
		t.Errorf("rest is refused, or came with a call: %d", woken)
	}
	answered(l, "SET", "a", "1")
	answered(l, "SET", "b", "1")
	if woken != 2 {
		t.Errorf("two writes during a rest woke %d times", woken-1)
	}
}

// history is what really happened: the naive second account that the core is compared with.
type history struct {
	offset int64            // of the master
	keys   map[string]int64 // by key: the offset of the last write of it that was answered
	any    int64            // of the last write of anything that was answered
}

// TestNoReplicaServesAReadThatMissesAnAnsweredWrite lets writes, samples, replication and changes of master happen in
// random orders, with sessions that read, and compares every permission with what the replica has.
func TestNoReplicaServesAReadThatMissesAnAnsweredWrite(t *testing.T) {
	for seed := range uint64(300) {
		simulate(t, seed)
	}
}

func simulate(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	tr := NewTracker()
	loops := []*Loop{tr.NewLoop(command.Builtin), tr.NewLoop(command.Builtin)}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"}
	h := history{keys: map[string]int64{}}
	h.offset = rng.Int64N(100) // written before this process began, and answered
	started := h.offset
	reign, version := reign1, int64(1)
	nodes := []Node{{Addr: "r1"}, {Addr: "r2"}}
	replicas := tr.Enroll(version, reign, nodes)
	samples := tr.NewSamples()
	reached := make([]int64, len(nodes)) // what each replica really has
	type asked struct {
		n      uint64
		offset int64
	}
	type written struct {
		words  []string
		offset int64
	}
	var question *asked    // a sample that was sent, and when it was executed the offset
	var inFlight []written // executed by the master, not answered yet
	type session struct {
		floor uint64
		at    *Replica
		seen  int64 // the offset of the newest data that it has observed
	}
	sessions := make([]session, 3)
	served, refused := 0, 0
	for range 2000 {
		l := loops[rng.IntN(len(loops))]
		key := names[rng.IntN(len(names))]
		s := &sessions[rng.IntN(len(sessions))]
		switch rng.IntN(12) {
		case 0, 1: // the master executes a write
			h.offset += 1 + rng.Int64N(3)
			words := []string{"SET", key, "1"}
			switch rng.IntN(60) {
			case 0:
				words = []string{"MSET", key, "1", names[rng.IntN(len(names))], "2"}
			case 1:
				words = []string{"FLUSHALL"}
			case 2:
				words = []string{"EVAL", "script", "0"}
			}
			inFlight = append(inFlight, written{words, h.offset})
		case 2, 3: // a write is answered: it is stamped, and then counts
			if len(inFlight) > 0 {
				w := inFlight[0]
				inFlight = inFlight[1:]
				answered(l, w.words...)
				h.any = w.offset
				switch w.words[0] {
				case "SET":
					h.keys[w.words[1]] = w.offset
				case "MSET":
					h.keys[w.words[1]], h.keys[w.words[3]] = w.offset, w.offset
				default:
					for _, k := range names {
						h.keys[k] = w.offset
					}
				}
			}
		case 4: // a sample is sent, and executed
			if question == nil {
				n := samples.Begin(time.Time{})
				question = &asked{n, h.offset}
			}
		case 5: // it is answered
			if question != nil {
				samples.Answered(question.n, question.offset)
				question = nil
			}
		case 6, 7: // a replica gets some of the history
			i := rng.IntN(len(nodes))
			if reached[i] += rng.Int64N(h.offset - reached[i] + 1); rng.IntN(2) == 0 {
				reached[i] = h.offset
			}
		case 8: // a replica is asked
			i := rng.IntN(len(nodes))
			samples.Reached(replicas[i], reached[i], time.Time{})
		case 9: // a session observes the master
			s.seen, s.floor, s.at = h.offset, tr.Next(), nil
		case 10, 11: // a session reads from a replica that is allowed to answer
			words := []string{"GET", key}
			if rng.IntN(10) == 0 {
				words = []string{"DBSIZE"}
			}
			i := rng.IntN(len(nodes))
			w := Want{Keys: needs(l, words...), Floor: s.floor, At: s.at}
			if !w.Allows(replicas[i]) {
				refused++
				break
			}
			served++
			must := max(h.keys[key], started)
			if words[0] == "DBSIZE" {
				must = h.any
			}
			if reached[i] < must {
				t.Fatalf("seed %d: %v is served by a replica at %d, the write it must see is at %d", seed, words, reached[i], must)
			}
			if reached[i] < s.seen {
				t.Fatalf("seed %d: a session that has seen %d reads from a replica at %d", seed, s.seen, reached[i])
			}
			s.seen, s.floor, s.at = reached[i], tr.Next(), replicas[i]
		}
		if rng.IntN(500) == 0 { // a change of master: the new one has what was answered, replicas lose some
			version++
			reign.Epoch++
			replicas = tr.Enroll(version, reign, nodes)
			samples, question = tr.NewSamples(), nil
			for i := range reached {
				reached[i] -= rng.Int64N(reached[i] + 1)
			}
		}
	}
	if served < 5 || refused < 20 {
		t.Errorf("seed %d: %d reads were served and %d refused: the schedule shows nothing", seed, served, refused)
	}
}
