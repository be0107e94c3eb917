package topology

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/understudy/understudy/internal/lease"
)

// PromiseRequest asks a member for its promise not to lead for a time, so that another may write without ZooKeeper.
type PromiseRequest struct {
	Identity string        // of the cluster; see ZooKeeper.Identity
	ID       string        // of the member that asks
	Version  int64         // of the State that it writes under
	Epoch    uint64        // of that State
	Duration time.Duration // for how long, counted from when the request arrives
}

var (
	// ErrStranger means that a promise was asked for by somebody who does not know the cluster's identity.
	ErrStranger = errors.New("topology: a stranger asks for a promise")

	errInContact = errors.New("this member is in contact with ZooKeeper")
	errUnsettled = errors.New("this member may have replaced the state")
	errNewcomer  = errors.New("this member has not been in contact with ZooKeeper since it was started")
)

// ledger holds what decides whether this member may promise not to lead, and whether it may lead. Both are decided, and
// written down, under one mutex: a member leads or has promised, never both.
//
// It lives as long as the process. Promises are measured by the monotonic clock, which stands still while a machine is
// suspended and never runs ahead: they end late, never early.
type ledger struct {
	self  Elector       // as this member wants to be listed
	fresh time.Duration // a heartbeat that is not older proves contact
	most  time.Duration // the longest promise

	mu       sync.Mutex
	closed   bool
	contact  time.Time // when the newest heartbeat that was confirmed was sent; zero: none since the process began
	updating int       // how many Updates are under way
	unsure   bool      // the outcome of an Update is unknown, and no heartbeat since has told
	turn     uint64    // how often unsure was set
	until    time.Time // end of the promises given
	inherits time.Time // end of those that an earlier process of this member may have given
}

// promise gives the promise that r asks for, or returns why not, in words. known gives the State that this member
// knows; it is called when no Update is under way.
func (l *ledger) promise(now time.Time, r PromiseRequest, known func() Snapshot) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.settled(); err != nil {
		return err
	}
	silence := lease.Age(now, l.contact)
	if silence < l.fresh {
		return errInContact
	}
	is := known()
	switch {
	case is.State == nil:
		return errors.New("this member knows no state")
	case is.Version > r.Version:
		return fmt.Errorf("this member knows version %d of the state, and version %d is asked about", is.Version, r.Version)
	case is.State.Phase != Stable:
		return fmt.Errorf("the state is %s", is.State.Phase)
	case is.State.Epoch > r.Epoch:
		return fmt.Errorf("this member knows epoch %d, and epoch %d is asked about", is.State.Epoch, r.Epoch)
	case r.Duration <= 0 || r.Duration > l.most:
		return fmt.Errorf("%v is asked for, and this member promises for up to %v", r.Duration, l.most)
	}
	if listed, _ := is.State.Elector(l.self.ID); listed != l.self {
		return errors.New("as far as this member knows it is no elector")
	}
	if silence+r.Duration > l.self.Limit {
		return fmt.Errorf("this member was last in contact with ZooKeeper %v ago, and promises nothing beyond %v", silence.Round(time.Second), l.self.Limit)
	}
	l.record(now.Add(r.Duration))
	return nil
}

// pledge promises the same for this member's own writes, elector or not.
func (l *ledger) pledge(now time.Time, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.settled(); err != nil {
		return err
	}
	l.record(now.Add(d))
	return nil
}

func (l *ledger) record(until time.Time) {
	if until.After(l.until) {
		l.until = until
	}
}

// settled says why this member cannot know whether it has replaced the State.
func (l *ledger) settled() error {
	switch {
	case l.closed:
		return ErrClosed
	case l.contact.IsZero():
		return errNewcomer
	case l.updating > 0 || l.unsure:
		return errUnsettled
	}
	return nil
}

// free reports whether no promise stands in the way of leading. Those of an earlier process count for an elector.
func (l *ledger) free(now time.Time, elector bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isFree(now, elector)
}

func (l *ledger) isFree(now time.Time, elector bool) bool {
	return !now.Before(l.until) && !(elector && now.Before(l.inherits))
}

// begin reports whether an Update may be made, and if so, none is promised against until end.
func (l *ledger) begin(now time.Time, elector bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isFree(now, elector) {
		return false
	}
	l.updating++
	return true
}

// end ends what begin began. If its outcome is unknown, a heartbeat that is sent later, and confirmed, settles it.
func (l *ledger) end(unsure bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.updating--
	if unsure {
		l.unsure = true
		l.turn++
	}
}

// sending returns what a heartbeat that is about to be sent gives to confirm.
func (l *ledger) sending() (turn uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turn
}

// confirm takes in that ZooKeeper has confirmed a heartbeat and with it the State that this member knows.
func (l *ledger) confirm(sent time.Time, turn uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.contact) {
		l.contact = sent
	}
	if turn == l.turn {
		l.unsure = false
	}
}

// inherit takes over the promises that an earlier process of this member may have given until that moment.
func (l *ledger) inherit(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inherits = until
}

// touched returns when this member was last in contact with ZooKeeper; zero: never.
func (l *ledger) touched() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.contact
}

// close ends the giving of promises, and reports whether none is outstanding.
func (l *ledger) close(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.isFree(now, true)
}
