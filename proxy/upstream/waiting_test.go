package upstream

import (
	"slices"
	"testing"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
)

// called notes in which order Waiters are told.
type called struct {
	names *[]string
	name  string
	then  func()
}

func (c called) Resume() {
	*c.names = append(*c.names, c.name)
	if c.then != nil {
		c.then()
	}
}

func TestThoseWhoWaitAreToldInOrderAndThoseWhoLeaveMeanwhileAreNot(t *testing.T) {
	var l line
	var names []string
	var a, b, c, d, e Place
	l.add(&a, called{&names, "a", func() {
		b.Leave()                               // in the middle of being told
		l.add(&a, called{&names, "again", nil}) // for the next time
	}})
	l.add(&b, called{&names, "b", nil})
	l.add(&c, called{&names, "c", func() { e.Leave() }})
	l.add(&d, called{&names, "d", nil})
	l.add(&e, called{&names, "e", nil})
	d.Leave()
	l.add(&d, called{&names, "d", nil}) // at the end now
	l.add(&c, called{&names, "c", nil}) // once only, and behind it
	l.resume()
	if want := []string{"a", "e", "d", "c"}; !slices.Equal(names, want) {
		t.Errorf("told %v, want %v", names, want)
	}
	if l.resume(); names[len(names)-1] != "again" || l.n != 0 || !l.empty() {
		t.Errorf("told %v, and %d wait", names, l.n)
	}
}

func TestThoseWhoWaitAreToldInTheOrderOfTheirNumbers(t *testing.T) {
	var l line
	var names []string
	places := map[string]*Place{}
	for i, name := range []string{"c", "a", "d", "b", "gone"} {
		places[name] = &Place{}
		l.add(places[name], called{&names, name, nil})
		places[name].number = []uint64{3, 1, 4, 2, 2}[i]
	}
	l.sort()
	places["gone"].Leave()
	if l.resume(); !slices.Equal(names, []string{"a", "b", "c", "d"}) || l.n != 0 {
		t.Errorf("told %v, and %d wait", names, l.n)
	}
}

func TestWhoHasGivenUpDoesNotCountAndIsToldNevertheless(t *testing.T) {
	var l line
	var names []string
	var a, b Place
	a.Lapse() // nowhere: nothing happens
	l.add(&a, called{&names, "a", nil})
	l.add(&b, called{&names, "b", nil})
	a.Lapse()
	a.Lapse()
	if l.n != 1 {
		t.Errorf("%d count", l.n)
	}
	a.Leave()
	a.Leave()
	if l.n != 1 {
		t.Errorf("%d count when it has left", l.n)
	}
	b.Lapse()
	if l.resume(); len(names) != 1 || l.n != 0 {
		t.Errorf("told %v, and %d count", names, l.n)
	}
}

// patient is a Claimant that goes on waiting.
type patient struct{ name string }

func (patient) Honoured(uint64) bool { return true }
func (patient) Forsaken()            {}
func (patient) Waits() bool          { return true }

func TestAClaimantIsKeptOnceAndNotWhenItHasGone(t *testing.T) {
	p := &Pool{claimants: map[Claimant]struct{}{}, cfg: Config{Freshness: freshness.NewTracker().NewLoop(command.Builtin)}}
	for range 3 { // one that has claimed, and got an error in place of what it waited for
		p.Claim(patient{"a"})
		p.Claim(patient{"b"})
	}
	if len(p.claimants) != 2 || !p.awaits.Load() {
		t.Errorf("%v are kept", p.claimants)
	}
	p.Disclaim(patient{"a"})
	p.Disclaim(patient{"b"})
	if len(p.claimants) != 0 || p.awaits.Load() {
		t.Errorf("%v are kept of those who have gone", p.claimants)
	}
}
