package topology

import (
	"strings"
	"testing"
)

func TestWhatDurableWritesRestOn(t *testing.T) {
	a, b, c := Holder{"a:1", "run"}, Holder{"b:1", "run"}, Holder{"b:1", "run2"}
	d := &Durable{Acks: 2, Holders: []Holder{a, b}, Former: []Holder{b, c}, FormerAcks: 1}
	if got := d.All(); len(got) != 3 || got[0] != a || got[1] != b || got[2] != c {
		t.Errorf("all: %v", got)
	}
	if d.Needed() != 1 || (&Durable{Acks: 2}).Needed() != 2 || (&Durable{Acks: 1, FormerAcks: 3}).Needed() != 1 {
		t.Error("the least of what is, and was, counted is needed")
	}
	if !d.Counts("b:1", "run") || d.Counts("b:1", "run2") || d.Counts("a:1", "") || d.Counts("c:1", "run") {
		t.Error("only the present holders count, each in its run")
	}
	if d.Settled() || (&Durable{Acks: 1, FormerAcks: 1}).Settled() || !(&Durable{Acks: 1}).Settled() {
		t.Error("settled")
	}
	clone := d.Clone()
	clone.Holders[0].Addr, clone.Former[0].Addr = "x", "x"
	if d.Holders[0] != a || d.Former[0] != b || (*Durable)(nil).Clone() != nil {
		t.Error("a clone shares its lists")
	}
}

func TestAStateWhoseHoldersContradictThemselvesIsNotStored(t *testing.T) {
	a, b := Holder{"a:1", "run"}, Holder{"b:1", "run"}
	for says, d := range map[string]*Durable{
		"wants 0 acknowledgements":        {},
		"does not say how many":           {Acks: 1, Former: []Holder{a}},
		"holder without address or run":   {Acks: 1, Holders: []Holder{{Addr: "a:1"}}},
		"lists the holder a:1 after b:1":  {Acks: 1, Holders: []Holder{b, a}},
		"lists the holder a:1 after a:1":  {Acks: 1, Holders: []Holder{a, a}},
		"lists the holder b:1 after b:1;": {Acks: 1, Holders: []Holder{a}, Former: []Holder{b, b}, FormerAcks: 1},
	} {
		s := example()
		s.Durable = d
		if _, err := Encode(s); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	s := example()
	s.Durable = &Durable{Acks: 1, Holders: []Holder{a, b}, Former: []Holder{{"b:1", "run0"}}, FormerAcks: 1}
	text, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(text); err != nil || !back.Equal(s) {
		t.Errorf("%v\n%s", err, text)
	}
	if s.Clone().Durable == s.Durable {
		t.Error("a clone shares what durable writes rest on")
	}
}
