package topology

import (
	"testing"
	"time"
)

// tenureWorld is what a Tenure sees.
type tenureWorld struct {
	newest Snapshot
	grant  Grant
	turn   time.Time // began
	now    time.Time
}

func (w *tenureWorld) Snapshot() Snapshot { return w.newest }
func (w *tenureWorld) Grant() Grant       { return w.grant }
func (w *tenureWorld) Now() time.Time     { return w.turn }
func (w *tenureWorld) Clock() time.Time   { return w.now }

// newTenureWorld is one with a stable State of epoch 1, known to the loop, whose grant lasts a second.
func newTenureWorld() (*tenureWorld, *Tenure) {
	now := time.Now()
	w := &tenureWorld{turn: now, now: now, grant: Grant{Epoch: 1, Until: now.Add(time.Second)}}
	t := NewTenure(w, w)
	w.replace(&t, reign(1, Stable, "m"))
	return w, &t
}

// reign is a State.
func reign(epoch uint64, phase Phase, master string) *State {
	return &State{Epoch: epoch, Phase: phase, Master: Node{Addr: master, RunID: master + "/1"},
		Durable: &Durable{Acks: 1, Holders: []Holder{{"r1", "r1/1"}, {"r2", "r2/1"}}}}
}

// planned makes a fence of it that was planned.
func planned(s *State) *State {
	s.Failover = &Failover{Planned: true}
	return s
}

// replace has the loop know another State.
func (w *tenureWorld) replace(t *Tenure, s *State) {
	w.newest = Snapshot{State: s, Version: w.newest.Version + 1}
	t.State, t.Version, t.Fencing = s, w.newest.Version, s.Phase == Fencing
}

func TestNothingIsSentWhileTheStateIsNotStable(t *testing.T) {
	w, tenure := newTenureWorld()
	if !tenure.Granted(0) {
		t.Fatal("there is a grant, and it does not count")
	}
	if tenure.Granted(2 * time.Second) {
		t.Error("the grant counts for longer than it lasts")
	}
	w.replace(tenure, reign(2, Fencing, "m"))
	w.grant = Grant{Epoch: 2, Until: w.now.Add(time.Second)} // of a stable State that this loop has yet to see
	if tenure.Granted(0) {
		t.Error("the grant for another master counts for the one that is deposed")
	}
}

func TestRepliesAreBelievedBehindAFenceAsLongAsTheLeaseUnderWhichTheyWereAskedLasts(t *testing.T) {
	w, tenure := newTenureWorld()
	tenure.Granted(0)
	w.replace(tenure, reign(2, Fencing, "m"))
	if !tenure.Answerable() {
		t.Error("a reply is not believed although nobody can be promoted yet")
	}
	w.grant = Grant{Epoch: 2, Until: w.now.Add(time.Hour)} // of a stable State that this loop has yet to see
	tenure.Granted(0)
	w.now = w.now.Add(time.Second) // the turn is old
	if tenure.Answerable() {
		t.Error("a reply is believed after the lease, by the grant for another master")
	}
	w.now = w.turn
	tenure.Fencing = false
	if tenure.Answerable() {
		t.Error("a reply is believed after the fence was acknowledged")
	}
}

func TestRepliesAreBelievedWhenAFenceWasRaisedInTheMiddleOfATurn(t *testing.T) {
	w, tenure := newTenureWorld()
	tenure.Granted(0)
	w.grant = Grant{}
	if tenure.Answerable() {
		t.Error("a reply is believed without a grant")
	}
	w.newest = Snapshot{State: reign(2, Fencing, "m"), Version: w.newest.Version + 1}
	if !tenure.Answerable() {
		t.Error("a reply is not believed although this loop has not acknowledged the fence")
	}
	w.now = w.now.Add(time.Second)
	if tenure.Answerable() {
		t.Error("a reply is believed after the lease")
	}
}

func TestAWriteIsDurableAsOfTheSampleThatEnoughHoldersHaveReached(t *testing.T) {
	r1, r2 := Holding{Holder{"r1", "r1/1"}, 7}, Holding{Holder{"r2", "r2/1"}, 5}
	restarted, stranger := Holding{Holder{"r1", "r1/2"}, 9}, Holding{Holder{"r3", "r3/1"}, 9}
	none := Holding{Holder: Holder{"r1", "r1/1"}}
	for name, c := range map[string]struct {
		have []Holding
		acks int
		want uint64
	}{
		"one":                                 {[]Holding{r1, r2}, 1, 7},
		"two":                                 {[]Holding{r1, r2}, 2, 5},
		"too few":                             {[]Holding{r1}, 2, 0},
		"no replica":                          {nil, 1, 0},
		"State wants more than the member":    {[]Holding{r1}, 0, 7},
		"a run that is none of the holders":   {[]Holding{restarted, r2}, 1, 5},
		"a replica that is none of them":      {[]Holding{stranger, r2}, 1, 5},
		"one that has not reached any sample": {[]Holding{none, r2}, 2, 0},
	} {
		_, tenure := newTenureWorld()
		if got := tenure.DurableAsOf(c.have, c.acks); got != c.want {
			t.Errorf("%s: %d instead of %d", name, got, c.want)
		}
	}
}

func TestNothingIsDurableWithoutAuthority(t *testing.T) {
	have := []Holding{{Holder{"r1", "r1/1"}, 7}}
	for name, lose := range map[string]func(*tenureWorld, *Tenure){
		"no grant":                 func(w *tenureWorld, _ *Tenure) { w.grant = Grant{} },
		"an end of the grant":      func(w *tenureWorld, _ *Tenure) { w.turn = w.turn.Add(time.Second) },
		"a newer State":            func(w *tenureWorld, _ *Tenure) { w.newest.Version++ },
		"a fence":                  func(w *tenureWorld, t *Tenure) { w.replace(t, reign(2, Fencing, "m")) },
		"a fence that is answered": func(w *tenureWorld, t *Tenure) { w.replace(t, planned(reign(2, Fencing, "m"))); t.Fencing = false },
		"a planned fence after the lease": func(w *tenureWorld, t *Tenure) {
			w.replace(t, planned(reign(2, Fencing, "m")))
			w.now = w.now.Add(time.Second)
		},
		"no holders": func(_ *tenureWorld, t *Tenure) { t.State.Durable = nil },
	} {
		w, tenure := newTenureWorld()
		tenure.Granted(0)
		if lose(w, tenure); tenure.DurableAsOf(have, 1) != 0 {
			t.Errorf("%s: a write is durable", name)
		}
	}
	w, tenure := newTenureWorld()
	tenure.Granted(0)
	if w.replace(tenure, planned(reign(2, Fencing, "m"))); tenure.DurableAsOf(have, 1) != 7 {
		t.Error("behind a planned fence nothing is durable any more")
	}
}

func TestWhatWaitsIsKeptAsLongAsTheSameMasterGoesOnAndNothingWasMissed(t *testing.T) {
	aborted := planned(reign(2, Fencing, "m"))
	aborted.Failover.Aborted = "it took too long"
	restarted := reign(1, Stable, "m")
	restarted.Master.RunID = "m/2"
	for name, c := range map[string]struct {
		is, next *State
		keeps    bool
	}{
		"other replicas":                {reign(1, Stable, "m"), reign(1, Stable, "m"), true},
		"a planned fence":               {reign(1, Stable, "m"), planned(reign(2, Fencing, "m")), true},
		"the same fence":                {planned(reign(2, Fencing, "m")), planned(reign(2, Fencing, "m")), true},
		"a switchover given up":         {planned(reign(2, Fencing, "m")), reign(3, Stable, "m"), true},
		"another fence":                 {reign(1, Stable, "m"), reign(2, Fencing, "m"), false},
		"a fence that was not seen":     {reign(1, Stable, "m"), reign(2, Stable, "m"), false},
		"a later fence":                 {reign(1, Stable, "m"), planned(reign(3, Fencing, "m")), false},
		"a switchover that is given up": {planned(reign(2, Fencing, "m")), aborted, false},
		"a choice":                      {planned(reign(2, Fencing, "m")), reign(2, Promoting, "m"), false},
		"more than was seen given up":   {planned(reign(2, Fencing, "m")), reign(4, Stable, "m"), false},
		"another master":                {planned(reign(2, Fencing, "m")), reign(3, Stable, "r1"), false},
		"another run of the master":     {reign(1, Stable, "m"), restarted, false},
	} {
		tenure := Tenure{State: c.is}
		if got := tenure.Keeps(c.next); got != c.keeps {
			t.Errorf("%s: %v", name, got)
		}
	}
}
