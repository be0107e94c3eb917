package freshness

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// slots is the size of the table of stamps, a power of two. Keys that share a slot share their stamps: some reads of the
// one go to the master because the other was written. With 10 000 writes a second of which a replica is 10 ms behind,
// 100 slots are ahead of it, so one read in 650 does. The table takes 512 KB.
const slots = 1 << 16

// Tracker is what a process knows of how fresh its replicas must be and are. Unless said otherwise its methods may be
// called by any goroutine; none of them waits for anything but memory.
type Tracker struct {
	sent    atomic.Uint64 // the number of the last sample that was begun
	needed  atomic.Uint64 // the sample that the replicas should reach: the greatest that anybody asked for
	floor   atomic.Uint64 // for every key
	last    atomic.Uint64 // the stamp of the last write of anything
	reached atomic.Uint64 // the newest sample that all replicas have been found to have reached
	resting atomic.Bool   // no samples are taken until somebody needs one
	slow    atomic.Bool   // few samples are taken until somebody reads what needs one
	read    atomic.Bool   // something was read since WasRead was last called
	wake    atomic.Pointer[func()]
	told    []func() // of progress

	began  time.Time
	seed   maphash.Seed
	stamps *[slots]atomic.Uint64

	hurried atomic.Int64 // loops that are in a hurry

	mu       sync.Mutex
	version  int64
	reign    Reign
	replicas map[Node]*Replica
}

// beginning is the number of a sample before the first one.
const beginning = 1

// NewTracker returns a Tracker under which no replica may serve anything before it has reached a first sample: what was
// written before this process began was answered, too.
func NewTracker() *Tracker {
	t := &Tracker{began: time.Now(), seed: maphash.MakeSeed(), stamps: new([slots]atomic.Uint64), replicas: map[Node]*Replica{}}
	t.sent.Store(beginning)
	t.floor.Store(beginning)
	t.needed.Store(beginning + 1)
	return t
}

// Next returns the number of the next sample. What was answered or observed before the call is in the data of a replica
// that is fresh as of it.
func (t *Tracker) Next() uint64 { return t.sent.Load() + 1 }

// Age returns a moment as the time since the Tracker was made.
func (t *Tracker) Age(now time.Time) time.Duration { return now.Sub(t.began) }

// RaiseFloor notes that any key may have been written, or that something was observed which may depend on any.
func (t *Tracker) RaiseFloor() {
	n := t.Next()
	raise(&t.floor, n)
	raise(&t.last, n)
	t.written(n)
}

// Floor returns the sample as of which a replica must be fresh to serve any key at all.
func (t *Tracker) Floor() uint64 { return t.floor.Load() }

// Need has samples taken until every replica has reached sample n: somebody wants to read what is in it. It costs nothing
// while they are being taken.
func (t *Tracker) Need(n uint64) {
	raise(&t.needed, n)
	if t.slow.Load() && t.slow.CompareAndSwap(true, false) || t.resting.Load() && t.resting.CompareAndSwap(true, false) {
		t.call()
	}
}

// written is Need for who has written something, which perhaps nobody will read: it hurries nobody.
func (t *Tracker) written(n uint64) {
	if raise(&t.needed, n); t.resting.Load() && t.resting.CompareAndSwap(true, false) {
		t.call()
	}
}

func (t *Tracker) call() {
	if f := t.wake.Load(); f != nil {
		(*f)()
	}
}

// WasRead reports whether a read has asked for stamps since the last call.
func (t *Tracker) WasRead() bool { return t.read.Load() && t.read.Swap(false) }

// Slow says that samples are taken, but seldom, because nothing is read, until the function of OnNeed is called.
func (t *Tracker) Slow() { t.slow.Store(true) }

// Settled says that all replicas have reached sample n.
func (t *Tracker) Settled(n uint64) { t.reached.Store(n) }

// OnNeed sets what is called when samples are needed while none are taken, or are needed at once, and calls it: a first
// one is. It must not block.
func (t *Tracker) OnNeed(f func()) {
	t.wake.Store(&f)
	t.resting.Store(false)
	f()
}

// OnProgress has f called whenever a replica has become fresher. It must be called before samples are taken, and f must
// not block.
func (t *Tracker) OnProgress(f func()) { t.told = append(t.told, f) }

// progress tells those who want to know of it.
func (t *Tracker) progress() {
	for _, f := range t.told {
		f()
	}
}

// Hurry has samples taken at once, and at short intervals until Calm has been called as often: somebody waits for a
// replica to become fresher.
func (t *Tracker) Hurry() {
	t.hurried.Add(1)
	t.resting.Store(false)
	t.call()
}

// Calm ends a Hurry.
func (t *Tracker) Calm() { t.hurried.Add(-1) }

// Hurried reports whether somebody is in a hurry.
func (t *Tracker) Hurried() bool { return t.hurried.Load() > 0 }

// Needed returns the sample that the replicas should reach.
func (t *Tracker) Needed() uint64 { return t.needed.Load() }

// Rest says that no more samples are taken until the function of OnNeed is called. It returns false if a sample beyond
// done has been asked for meanwhile: then there is no rest.
func (t *Tracker) Rest(done uint64) bool {
	t.resting.Store(true)
	return t.needed.Load() <= done || !t.resting.CompareAndSwap(true, false)
}

// raise makes a at least n.
func raise(a *atomic.Uint64, n uint64) {
	for {
		was := a.Load()
		if was >= n || a.CompareAndSwap(was, n) {
			return
		}
	}
}
