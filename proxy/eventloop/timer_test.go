package eventloop

import (
	"slices"
	"testing"
	"time"
)

func TestTimersComeInTheOrderInWhichTheyAreDue(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		var got []int
		done := make(chan struct{})
		f.on(func() {
			began := time.Now()
			for _, i := range []int{3, 1, 4, 0, 2} {
				d := time.Duration(i) * 7 * time.Millisecond
				f.loop.After(d, func() {
					got = append(got, i)
					if since := f.loop.Now().Sub(began); since < d {
						t.Errorf("timer of %v came after %v", d, since)
					}
					if i == 4 {
						close(done)
					}
				})
			}
		})
		await(t, done)
		if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
			t.Errorf("order %v", got)
		}
	})
}

func TestTimersDueAtOnceComeInTheOrderInWhichTheyWereStarted(t *testing.T) {
	var ts timers
	now := time.Now()
	var got []int
	for i := range 100 {
		ts.add(now, func() {
			got = append(got, i)
			ts.add(now, func() { t.Error("a timer that was added in the turn came in it") })
		})
	}
	ts.run(now)
	for i, n := range got {
		if i != n {
			t.Fatalf("order %v", got)
		}
	}
	if len(got) != 100 || len(ts.heap) != 100 {
		t.Errorf("%d calls, %d timers left", len(got), len(ts.heap))
	}
}

func TestAStoppedTimerDoesNotCome(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		done := make(chan struct{})
		f.on(func() {
			var own, later Timer
			stopped := f.loop.After(time.Millisecond, func() { t.Error("a stopped timer came") })
			own = f.loop.After(2*time.Millisecond, func() {
				own.Stop()
				later.Stop() // due in the same turn
			})
			later = f.loop.After(2*time.Millisecond, func() { t.Error("a timer came that another had stopped") })
			f.loop.After(30*time.Millisecond, func() { close(done) })
			stopped.Stop()
			stopped.Stop()
			blockUntil(later.(*timer).at)
		})
		await(t, done)
	})
}

func TestATimerThatIsResetComesOnceAndAtItsNewTime(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		done := make(chan struct{})
		f.on(func() {
			began := time.Now()
			came := make(map[string]int)
			var over Timer
			moved := f.loop.After(time.Millisecond, func() {
				came["moved"]++
				if since := f.loop.Now().Sub(began); since < 20*time.Millisecond {
					t.Errorf("a timer that was moved to 20 ms came after %v", since)
				}
			})
			moved.Reset(20 * time.Millisecond)
			stopped := f.loop.After(time.Millisecond, func() { came["stopped"]++ })
			stopped.Stop()
			stopped.Reset(2 * time.Millisecond)
			over = f.loop.After(time.Millisecond, func() {
				if came["over"]++; came["over"] < 3 {
					over.Reset(time.Millisecond)
					return
				}
				// Due after all others, however late they all are.
				f.loop.After(30*time.Millisecond, func() {
					if came["moved"] != 1 || came["stopped"] != 1 || came["over"] != 3 {
						t.Errorf("calls %v", came)
					}
					close(done)
				})
			})
		})
		await(t, done)
	})
}

func TestResettingATimerAllocatesNothing(t *testing.T) {
	var ts timers
	timer := ts.add(time.Now(), func() {})
	if n := testing.AllocsPerRun(100, func() { timer.Reset(0); ts.run(time.Now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// blockUntil keeps a loop busy, so that what is due before then comes in one turn.
func blockUntil(at time.Time) {
	for time.Now().Before(at) {
	}
}

func TestTheClockGoesOnWhileATurnLasts(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		f.on(func() {
			began := f.loop.Now()
			blockUntil(time.Now().Add(time.Millisecond))
			if now := f.loop.Now(); !now.Equal(began) {
				t.Errorf("Now went on by %v in a turn", now.Sub(began))
			}
			if d := f.loop.Clock().Sub(began); d < time.Millisecond {
				t.Errorf("Clock went on by %v in a millisecond", d)
			}
		})
	})
}

func TestATimerThatRenewsItselfDoesNotStarveTheLoop(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		for _, d := range []time.Duration{0, -time.Hour} {
			calls := 0
			var again func()
			again = func() {
				if calls++; calls < 1000 {
					f.loop.After(d, again)
				}
			}
			f.on(again)
			eventually(t, "the timers", func() bool {
				var n int
				f.on(func() { n = calls })
				return n == 1000
			})
		}
	})
}

func TestTimersStartedBeforeRunOrWhileTheLoopIsIdleCome(t *testing.T) {
	for _, w := range drivers() {
		t.Run(w.name, func(t *testing.T) {
			l, err := w.driver()
			if err != nil {
				t.Fatal(err)
			}
			early, late := make(chan struct{}), make(chan struct{})
			began := time.Now()
			if d := began.Sub(l.Now()); d < 0 || d > time.Minute {
				t.Errorf("Now is %v off before Run", d)
			}
			l.After(5*time.Millisecond, func() { close(early) })
			l.After(1000*time.Hour, func() { t.Error("a distant timer came") })
			ran := make(chan error, 1)
			go func() { ran <- l.Run() }()
			await(t, early)
			if d := time.Since(began); d < 5*time.Millisecond {
				t.Errorf("came after %v", d)
			}
			l.Post(func() { l.After(10*time.Millisecond, func() { close(late) }) }) // longer than the wait with the processor held
			await(t, late)
			l.Stop()
			if err := await(t, ran); err != nil {
				t.Error(err)
			}
		})
	}
}
