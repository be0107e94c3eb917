package demo

import (
	"fmt"
	"time"
)

// leadership is what was told about who leads, and about Understudys that died.
type leadership struct {
	leader string               // the last one told
	deaths map[string]time.Time // by address: the last death whose cost was told
}

// leading returns the address of the Understudy that leads, as those who answered have it; "" if nobody does.
func leading(said []*asked) string {
	for _, p := range said {
		for _, m := range p.members {
			if m["role"] == "leader" {
				return m["addr"]
			}
		}
	}
	return ""
}

// tellLeadership tells, where there are several Understudys, who leads now, and what the death of one cost its clients.
func (o *observer) tellLeadership(said []*asked, now time.Time) {
	if len(o.proxies) < 2 {
		return
	}
	for _, p := range o.proxies {
		o.tellDeath(p.addr, now)
	}
	leader := leading(said)
	if leader == "" || leader == o.lead.leader || o.keeper.dead(leader) {
		return
	}
	if died, dead := o.keeper.diedAt(o.lead.leader); dead && now.After(died) {
		o.script.event("Understudy %s leads now, %v after %s died: it decides about failovers", leader,
			now.Sub(died).Round(100*time.Millisecond), o.lead.leader)
	} else {
		o.script.event("Understudy %s leads: it decides about failovers", leader)
	}
	o.lead.leader = leader
}

// tellDeath tells, a moment after an Understudy died, how its clients got on.
func (o *observer) tellDeath(addr string, now time.Time) {
	died, dead := o.keeper.diedAt(addr)
	if !dead || now.Sub(died) < settleTime || o.lead.deaths[addr].Equal(died) {
		return
	}
	if o.lead.deaths == nil {
		o.lead.deaths = make(map[string]time.Time)
	}
	o.lead.deaths[addr] = died
	cost, pause := o.cost(), fmt.Sprintf("less than %v", slow)
	if longest := o.load.longest(died.Add(-2*lookInterval), now); longest > 0 {
		pause = longest.Round(100 * time.Microsecond).String()
	}
	o.script.event("%d connections of clients ended with Understudy %s and went on with the other one; longest pause of a client %s; client errors %d, writes with unknown result %d",
		cost.moved, addr, pause, cost.errors, cost.unknown)
}
