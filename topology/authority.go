package topology

import "time"

// Source says what a member's grant rests on.
type Source string

const (
	NoGrant  Source = "none"     // there is none: writes wait
	Leased   Source = "lease"    // a heartbeat that ZooKeeper has confirmed
	Promised Source = "failsafe" // the electors' promises not to lead, while ZooKeeper is away
	Endless  Source = "alone"    // nobody else could depose the master
)

// Authority is what a member's permission to write rests on, for people to read.
type Authority struct {
	Source Source
	Until  time.Time // zero: without end, or no grant
	By     []string  // the electors that promised
	// Reason is why there are no promises although they are wanted, or cannot be, in one sentence; "" if there is nothing
	// to say.
	Reason string
	// Namesake says who has the id of this member, in one sentence: as long as it has, this one neither writes nor leads. ""
	// if nobody has, or only for a moment, as a predecessor that was killed.
	Namesake string
	// Waits says for what a member that is in touch with ZooKeeper has no lease yet, in one sentence; "" if it does not wait.
	Waits string
	// Alarm is what an operator must do something about, in one sentence; "" if there is nothing.
	Alarm string
}

// Authority implements Coordinator.
func (l *Local) Authority() Authority {
	if l.Grant().Epoch == 0 {
		return Authority{Source: NoGrant}
	}
	return Authority{Source: Endless}
}

// Promise implements Coordinator: nobody can ask for one.
func (l *Local) Promise(PromiseRequest) error { return ErrStranger }

// WatchAuthority implements Coordinator. There is no other source than the State itself, which is watched for that.
func (l *Local) WatchAuthority(f func(Authority)) (stop func()) {
	f(l.Authority())
	return func() {}
}
