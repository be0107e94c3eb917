package lease

import "time"

// Settings are what a member is told.
type Settings struct {
	Heartbeat time.Duration // between renewals
	Tick      time.Duration // of the servers, as far as is known
	Lease     time.Duration // 0: as long as is useful
}

// Terms are the times that leases of a session are computed from.
type Terms struct {
	Session   time.Duration // the timeout that ZooKeeper granted
	Heartbeat time.Duration
	Telling   time.Duration // how long a server may keep a touch to itself
	Lease     time.Duration // how long a lease lasts when heartbeats are on time; 0: there is none
}

// NewTerms computes the lease for a session timeout that ZooKeeper granted. There is none if no useful one fits into it, which
// would have to last between Least and Most.
//
// Servers tell their leader of touches every half tick, and do not say how long their ticks are. But they grant no session
// shorter than two of them, unless minSessionTimeout says so: whatever the tick is, half of one is no more than a quarter of the session. A
// longer one has to be told (zookeeper-tick).
func NewTerms(cfg Settings, session time.Duration) Terms {
	return Terms{Session: session, Heartbeat: cfg.Heartbeat, Telling: max(cfg.Tick, session/2) / 2}.lasting(cfg.Lease)
}

// lasting returns the terms with a lease of that length, or with none; of 0 with the one that is useful.
func (t Terms) lasting(lease time.Duration) Terms {
	t.Lease = lease
	if t.Lease == 0 {
		t.Lease = min(t.Session*6/10, t.Most())
	}
	if t.Lease < t.Least() || t.Lease > t.Most() {
		t.Lease = 0
	}
	return t
}

// Least is how long a lease must last: it must outlast a heartbeat that comes late by another one, or writes would stop now and then.
func (t Terms) Least() time.Duration { return 2 * t.Heartbeat }

// Most is how long a lease may last when heartbeats are on time.
func (t Terms) Most() time.Duration { return t.most(t.Telling + t.Heartbeat) }

// most is how long a lease may last at most after a heartbeat, when the last one of which the servers' leader must know was
// sent this much earlier: the session may have been touched last by that one. Clocks may differ by 5 %. That servers let sessions
// end at whole ticks makes them end later, never earlier.
func (t Terms) most(gap time.Duration) time.Duration {
	return t.Session - gap - t.Session/20
}

// until is when the lease ends that a heartbeat confirmed which was sent at that moment.
func (t Terms) until(sent time.Time, gap time.Duration) time.Time {
	return sent.Add(min(t.Lease, t.most(gap)))
}

// Limit is when any lease must have ended of a session that was granted these terms on a connection that began then, whatever it
// was granted before: the servers' leader counts the new timeout from when it was asked whether the session lives.
func (t Terms) Limit(began time.Time) time.Time { return began.Add(t.most(0)) }
