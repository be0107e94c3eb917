package topology

import (
	"testing"
	"time"
)

func TestWritesGoOnUntilTheFirstPromiseEnds(t *testing.T) {
	const s = time.Second
	begin := time.Now()
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	electors := []Elector{{ID: "a"}, {ID: "b"}, {ID: "m"}}
	for name, c := range map[string]struct {
		electors []Elector
		self     string
		sent     map[string]time.Duration // of the promises, each for 20 s
		limit    time.Duration
		want     time.Duration // 0: no failsafe
	}{
		"all have promised":             {electors, "m", map[string]time.Duration{"a": 1 * s, "b": 2 * s}, time.Hour, 20 * s},
		"the oldest counts":             {electors, "m", map[string]time.Duration{"a": -3 * s, "b": 2 * s}, time.Hour, 16 * s},
		"one is missing":                {electors, "m", map[string]time.Duration{"a": 1 * s}, time.Hour, 0},
		"another than it is no elector": {electors, "n", map[string]time.Duration{"a": 1 * s, "b": 1 * s}, time.Hour, 0},
		"all electors, and it is none":  {electors, "n", map[string]time.Duration{"a": 1 * s, "b": 1 * s, "m": 1 * s}, time.Hour, 20 * s},
		"it is the only one":            {electors[2:], "m", nil, time.Hour, 20 * s},
		"there are none":                {nil, "m", nil, time.Hour, 0},
		"the limit is nearer":           {electors[2:], "m", nil, 5 * s, 5 * s},
	} {
		t.Run(name, func(t *testing.T) {
			var p promises
			is := Snapshot{State: stable(3), Version: 7}
			p.about(is)
			for id, sent := range c.sent {
				p.take(7, id, at(sent), 20*s)
			}
			own := promise{at(1 * s), 20 * s}
			f := p.failsafe(c.electors, c.self, own, at(c.limit))
			if c.want == 0 {
				if f != nil {
					t.Fatalf("it may write until %v", f.until.Sub(begin))
				}
				return
			}
			if f == nil || f.until.Sub(begin) != c.want || f.version != 7 || f.epoch != 3 {
				t.Fatalf("%+v, and not until %v", f, c.want)
			}
			if !f.holds(at(c.want-1)) || f.holds(at(c.want)) {
				t.Error("it does not end when it should")
			}
			// The machine slept for a minute, in which the monotonic clock stood still and the wall clock did not.
			f.wall = f.wall.Add(-time.Minute)
			if f.holds(at(2 * s)) {
				t.Error("it lasts while the machine sleeps")
			}
		})
	}
}

func TestPromisesForAnotherStateAreWorthNothing(t *testing.T) {
	var p promises
	electors := []Elector{{ID: "a"}}
	now := time.Now()
	own := promise{now, time.Minute}
	worth := func() bool { return p.failsafe(electors, "m", own, now.Add(time.Hour)) != nil }
	p.about(Snapshot{State: stable(3), Version: 7})
	p.take(7, "a", now, time.Minute)
	if !worth() {
		t.Fatal("the promise is worth nothing")
	}
	p.about(Snapshot{State: stable(3), Version: 7})
	if !worth() {
		t.Fatal("the State is the same, and the promise is gone")
	}
	p.about(Snapshot{State: stable(3), Version: 8})
	p.take(7, "a", now, time.Minute) // an answer that comes late
	if worth() {
		t.Error("a promise for version 7 lets it write under version 8")
	}
}
