package topology

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// promiser is a ledger that is ready to promise: it has been without ZooKeeper for a while, and knows version 7 of the
// State, of epoch 3, in which it is an elector.
func promiser() (l *ledger, known *Snapshot) {
	self := Elector{ID: "x", Addr: "x:1", Limit: time.Hour}
	l = &ledger{self: self, fresh: 2 * time.Second, most: 10 * time.Second}
	l.confirm(time.Now(), l.sending())
	time.Sleep(5 * time.Second) // of a synctest bubble
	state := stable(3)
	state.Electors = []Elector{self}
	return l, &Snapshot{State: state, Version: 7}
}

func TestAPromiseIsGivenOnlyByWhoCannotHaveReplacedTheState(t *testing.T) {
	wish := PromiseRequest{ID: "m", Version: 7, Epoch: 3, Duration: 6 * time.Second}
	for name, c := range map[string]struct {
		change func(*ledger, *Snapshot, *PromiseRequest)
		why    string // "": it is given
	}{
		"it is":                          {func(*ledger, *Snapshot, *PromiseRequest) {}, ""},
		"who asks knows a newer version": {func(_ *ledger, _ *Snapshot, r *PromiseRequest) { r.Version, r.Epoch = 8, 4 }, ""},
		"it knows a newer version":       {func(_ *ledger, s *Snapshot, _ *PromiseRequest) { s.Version = 8 }, "knows version 8"},
		"it knows a newer epoch":         {func(_ *ledger, s *Snapshot, _ *PromiseRequest) { s.State.Epoch = 4 }, "knows epoch 4"},
		"a failover is under way":        {func(_ *ledger, s *Snapshot, _ *PromiseRequest) { *s.State = *fencing(s.State); s.State.Epoch = 3 }, "fencing"},
		"it knows no State":              {func(_ *ledger, s *Snapshot, _ *PromiseRequest) { s.State = nil }, "knows no state"},
		"it is in contact with ZooKeeper": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) {
			l.confirm(time.Now().Add(-l.fresh+time.Nanosecond), l.sending())
		}, "in contact"},
		"it has just lost ZooKeeper": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) {
			l.confirm(time.Now().Add(-l.fresh), l.sending())
		}, ""},
		"it was just started":       {func(l *ledger, _ *Snapshot, _ *PromiseRequest) { l.contact = time.Time{} }, "since it was started"},
		"it replaces the State now": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) { l.begin(time.Now(), true) }, "may have replaced"},
		"it has replaced the State, as it knows": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) {
			l.begin(time.Now(), true)
			l.end(false)
		}, ""},
		"it may have replaced the State": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) {
			l.begin(time.Now(), true)
			l.end(true)
		}, "may have replaced"},
		"a heartbeat has told what became of it": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) {
			l.begin(time.Now(), true)
			l.end(true)
			l.confirm(time.Now().Add(-l.fresh), l.sending())
		}, ""},
		"a heartbeat was sent too early to tell": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) {
			turn := l.sending()
			l.begin(time.Now(), true)
			l.end(true)
			l.confirm(time.Now().Add(-l.fresh), turn)
		}, "may have replaced"},
		"it is no elector":                {func(_ *ledger, s *Snapshot, _ *PromiseRequest) { s.State.Electors = nil }, "no elector"},
		"it is listed with another limit": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) { l.self.Limit = 2 * time.Hour }, "no elector"},
		"it is listed at another address": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) { l.self.Addr = "y:1" }, "no elector"},
		"the promise would be too long":   {func(_ *ledger, _ *Snapshot, r *PromiseRequest) { r.Duration = 11 * time.Second }, "up to 10s"},
		"the promise would be none":       {func(_ *ledger, _ *Snapshot, r *PromiseRequest) { r.Duration = 0 }, "up to 10s"},
		"it would end after the limit": {func(l *ledger, s *Snapshot, _ *PromiseRequest) {
			l.self.Limit = 11*time.Second - time.Nanosecond
			s.State.Electors[0] = l.self
		}, "promises nothing beyond"},
		"it would end at the limit": {func(l *ledger, s *Snapshot, _ *PromiseRequest) {
			l.self.Limit = 11 * time.Second
			s.State.Electors[0] = l.self
		}, ""},
		"it leaves": {func(l *ledger, _ *Snapshot, _ *PromiseRequest) { l.close(time.Now()) }, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, known := promiser()
				r := wish
				c.change(l, known, &r)
				now := time.Now()
				err := l.promise(now, r, func() Snapshot { return *known })
				if c.why != "" {
					if err == nil || !strings.Contains(err.Error(), c.why) {
						t.Errorf("it says %v, not that %q", err, c.why)
					}
					if l.until.After(now) {
						t.Error("what was refused stands in the way of leading")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if l.free(now, true) || l.begin(now, true) || l.free(now.Add(r.Duration-1), true) {
					t.Error("it may lead although it has promised not to")
				}
				if !l.free(now.Add(r.Duration), true) {
					t.Error("the promise does not end")
				}
			})
		})
	}
}

func TestTheLongestOfSeveralPromisesCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, known := promiser()
		now := time.Now()
		for _, d := range []time.Duration{8 * time.Second, 2 * time.Second} {
			if err := l.promise(now, PromiseRequest{Version: 7, Epoch: 3, Duration: d}, func() Snapshot { return *known }); err != nil {
				t.Fatal(err)
			}
		}
		if l.free(now.Add(7*time.Second), true) {
			t.Error("a shorter promise has ended a longer one")
		}
	})
}

func TestWhatAnEarlierProcessMayHavePromisedBindsElectorsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := promiser()
		now := time.Now()
		l.inherit(now.Add(time.Second))
		if l.free(now, true) || l.begin(now, true) {
			t.Error("an elector may lead although its last process may have promised not to")
		}
		if !l.free(now, false) || !l.free(now.Add(time.Second), true) {
			t.Error("it may not lead although no promise can last")
		}
		if l.close(now) {
			t.Error("it leaves as if nothing were outstanding")
		}
	})
}

func TestNobodyPledgesWhileItsOwnUpdateIsUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := promiser()
		now := time.Now()
		if !l.begin(now, true) {
			t.Fatal("it may not lead")
		}
		if err := l.pledge(now, time.Second); err == nil {
			t.Error("it pledges while it replaces the State")
		}
		l.end(true)
		if err := l.pledge(now, time.Second); err == nil {
			t.Error("it pledges although it may have replaced the State")
		}
		l.confirm(now, l.sending())
		if err := l.pledge(now, time.Second); err != nil {
			t.Error(err)
		}
		if l.free(now, true) {
			t.Error("it may lead although it has pledged not to")
		}
	})
}
