package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/understudy/understudy/proxy/admin/client"
)

const (
	// askInterval is how often the Understudys are asked what they see.
	askInterval = 100 * time.Millisecond
	// lineInterval is how often a line is written, and how long an Understudy that lives may be silent.
	lineInterval = time.Second
	// settleTime is how long after a failover its account is given: by then the requests that it held up have ended.
	settleTime = 300 * time.Millisecond
)

// observer asks the Understudys what they see and tells it in lines, together with what the clients met with.
type observer struct {
	nodes   []string // in this order always, whoever is master
	proxies []*asked
	script  *script
	load    *load
	keeper  *keeper

	epoch  int64     // of the last failover told
	due    *failover // seen, to be told
	begun  bool
	lineAt time.Time
	heard  time.Time // when every Understudy that lives last answered
	silent bool      // it was told that one does not
	total  counts
	told   counts // what the failovers told so far have cost
	lines  int
	alarms map[string]bool
	lead   leadership

	failovers int
	worst     time.Duration // the longest pause of a client in a failover

	mu     sync.Mutex // guards what settled looks at
	master string
	leader string
	well   bool
}

// failover is one that is over.
type failover struct {
	info client.Fields
	took time.Duration
	seen time.Time
}

// settled returns the addresses of the master and of the leading Understudy, and whether everybody is in their place.
func (o *observer) settled() (master, leader string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.master, o.leader, o.well
}

func (o *observer) run(ctx context.Context) {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	defer func() {
		for _, p := range o.proxies {
			p.hangUp()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			o.look(ctx, now)
		}
	}
}

// look asks once and tells what is new.
func (o *observer) look(ctx context.Context, now time.Time) {
	var said []*asked
	silence := ""
	for _, p := range o.proxies {
		if err := p.ask(ctx); err == nil {
			said = append(said, p)
		} else if !o.keeper.dead(p.addr) {
			silence = fmt.Sprintf("the Understudy %s does not say how it is: %v", p.addr, err)
		}
	}
	if !o.begun {
		o.begun, o.total, o.lineAt, o.heard = true, o.load.counts(), now, now // the load has begun already
	}
	o.tellSilence(silence, now)
	o.keep(said)
	o.tellAlarms(said)
	o.tellLeadership(said, now)
	o.tellFailover(said, now)
	if now.Sub(o.lineAt) >= lineInterval {
		o.tellLine(said, now)
	}
}

// tellSilence tells of an Understudy that lives and does not answer, once, when that has lasted.
func (o *observer) tellSilence(silence string, now time.Time) {
	switch {
	case silence == "":
		o.heard, o.silent = now, false
	case !o.silent && now.Sub(o.heard) >= lineInterval:
		o.silent = true
		o.script.event("%s", silence)
	}
}

// keep notes for the keeper who has which place, and whether all agree that everything is well.
func (o *observer) keep(said []*asked) {
	leader, several := leading(said), len(o.proxies) > 1
	well := len(said) == len(o.proxies) && (!several || leader != "" && !o.keeper.dead(leader))
	master := ""
	for _, p := range said {
		if master == "" {
			master = p.info["master"]
		}
		well = well && p.info["phase"] == "stable" && p.info["master"] == master && len(p.nodes) == len(o.nodes) && (!several || len(p.members) == len(o.proxies))
		for _, n := range p.nodes {
			well = well && n["health"] == "online" && !o.keeper.dead(n["addr"])
		}
	}
	o.mu.Lock()
	o.master, o.leader, o.well = master, leader, well
	o.mu.Unlock()
}

func (o *observer) tellAlarms(said []*asked) {
	now := make(map[string]bool)
	for _, p := range said {
		for i := range p.info.Int("alarms") {
			text := p.info[fmt.Sprintf("alarm%d", i)]
			if !now[text] && !o.alarms[text] {
				o.script.event("%s", text)
			}
			now[text] = true
		}
	}
	o.alarms = now
}

// tellFailover gives the account of a failover a moment after it was over.
func (o *observer) tellFailover(said []*asked, now time.Time) {
	for _, p := range said {
		took, epoch := p.info.Milliseconds("last_failover_duration_ms"), p.info.Int("last_failover_epoch")
		if took > 0 && epoch > o.epoch {
			o.epoch = epoch
			o.due = &failover{info: p.info, took: took, seen: now}
		}
	}
	if o.due == nil || now.Sub(o.due.seen) < settleTime {
		return
	}
	f := o.due
	o.due = nil
	longest := o.load.longest(f.seen.Add(-f.took-2*askInterval), now)
	o.failovers++
	o.worst = max(o.worst, longest)
	cost := o.cost()
	o.script.event("failover to %s: epoch %d, done in %v; longest pause of a client %v; client errors %d, writes with unknown result %d, %s",
		f.info["last_failover_to"], o.epoch, f.took.Round(100*time.Microsecond), longest.Round(100*time.Microsecond), cost.errors, cost.unknown, o.losses(cost))
	if pid := o.keeper.pid(f.info["last_failover_to"]); pid != 0 && !o.keeper.chaos {
		o.script.event("to see it again: kill -9 %d", pid)
	}
}

// cost returns what the clients met with since it was asked last.
func (o *observer) cost() counts {
	before := o.told
	o.told = o.load.counts()
	return o.told.since(before)
}

// losses tells what no failover should cost: writes that an old master had answered and not passed on, and those that
// were applied twice.
func (o *observer) losses(c counts) string {
	return fmt.Sprintf("writes lost with the old master %d, applied twice %d", c.lost, c.twice)
}

// tellLine writes the line of the last second.
func (o *observer) tellLine(said []*asked, now time.Time) {
	const linesPerHeading = 20
	took := now.Sub(o.lineAt).Seconds()
	o.lineAt = now
	sum := o.load.counts()
	r := row{rate: float64(sum.requests-o.total.requests) / took, longest: o.load.takeLongest(), sum: sum}
	o.total = sum
	for _, addr := range o.nodes {
		r.nodes = append(r.nodes, o.nodeCell(addr, said, took))
	}
	if len(o.proxies) > 1 {
		for _, p := range o.proxies {
			r.proxies = append(r.proxies, o.proxyCell(p, leading(said), took))
		}
	}
	for _, p := range said {
		p.settle()
	}
	if o.lines%linesPerHeading == 0 {
		o.script.heading(r)
	}
	o.lines++
	o.script.line(now, r)
}

// nodeCell is what the Understudys say of a node and did with it in the last seconds.
func (o *observer) nodeCell(addr string, said []*asked, seconds float64) cell {
	c := cell{addr: addr, role: "unknown"}
	for _, p := range said {
		for _, n := range p.nodes {
			if n["addr"] == addr {
				c.role = role(n)
			}
		}
		c.rate += float64(p.sentTo(addr)) / seconds
	}
	if o.keeper.dead(addr) {
		c.role = "dead"
	}
	return c
}

// proxyCell is what an Understudy is and did in the last seconds.
func (o *observer) proxyCell(p *asked, leader string, seconds float64) cell {
	c := cell{addr: p.addr, role: "member", rate: float64(p.took()) / seconds}
	switch {
	case o.keeper.dead(p.addr):
		c.role = "dead"
	case p.err != nil:
		c.role = "silent"
	case p.addr == leader:
		c.role = "leader"
	}
	return c
}

// role is what a node is in one word.
func role(n client.Fields) string {
	switch {
	case n["health"] == "online":
		return n["role"]
	case n["role"] == "master":
		return "master " + n["health"]
	}
	return n["health"]
}

// summary ends the show.
func (o *observer) summary() {
	sum := o.load.counts()
	moved := ""
	if len(o.proxies) > 1 {
		moved = fmt.Sprintf(", connections moved to the other Understudy %d", sum.moved)
	}
	o.script.event("requests %d, failovers %d, longest pause of a client in one %v, client errors %d%s, writes with unknown result %d, %s", sum.requests,
		o.failovers, o.worst.Round(100*time.Microsecond), sum.errors, moved, sum.unknown, o.losses(sum))
	if sum.last != "" {
		o.script.event("the last client error: %s", sum.last)
	}
}
