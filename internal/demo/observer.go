package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/understudy/understudy/proxy/admin/client"
)

const (
	// askInterval is how often the Understudy is asked what it sees.
	askInterval = 100 * time.Millisecond
	// lineInterval is how often a line is written.
	lineInterval = time.Second
	// settleTime is how long after a failover its account is given: by then the requests that it held up have ended.
	settleTime = 300 * time.Millisecond
)

// observer asks the Understudy what it sees and tells it in lines, together with what the clients met with.
type observer struct {
	addr   string
	script *script
	load   *load
	keeper *keeper

	conn   *client.Client
	epoch  string           // of the last failover told
	due    *failover        // seen, to be told
	before map[string]int64 // by address: requests at the last line
	lineAt time.Time
	total  counts
	lines  int
	alarms map[string]bool

	failovers int
	worst     time.Duration // the longest pause of a client in a failover

	mu     sync.Mutex // guards what settled looks at
	master string
	well   bool
}

// failover is one that is over.
type failover struct {
	info client.Fields
	took time.Duration
	seen time.Time
}

// settled returns the master and whether every node is in its place.
func (o *observer) settled() (master string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.master, o.well
}

func (o *observer) run(ctx context.Context) {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	defer o.hangUp()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := o.look(now); err != nil {
				o.script.event("the Understudy does not say how it is: %v", err)
				o.hangUp()
			}
		}
	}
}

func (o *observer) hangUp() {
	if o.conn != nil {
		// It is given up because it failed or because the show is over; how it closes is of no interest.
		_ = o.conn.Close()
		o.conn = nil
	}
}

// look asks once and tells what is new.
func (o *observer) look(now time.Time) error {
	if o.conn == nil {
		conn, err := client.Dial(o.addr, "", "")
		if err != nil {
			return err
		}
		o.conn = conn
	}
	info, err := o.conn.Info()
	if err != nil {
		return err
	}
	nodes, err := o.conn.Nodes()
	if err != nil {
		return err
	}
	if o.before == nil {
		o.before = requests(nodes) // the load has begun already
		o.total = o.load.counts()
		o.lineAt = now
	}
	o.keep(info, nodes)
	o.tellAlarms(info)
	o.tellFailover(info, now)
	if now.Sub(o.lineAt) >= lineInterval {
		o.tellLine(nodes, now)
	}
	return nil
}

func (o *observer) keep(info client.Fields, nodes []client.Fields) {
	well := info["phase"] == "stable" && len(nodes) == replicas+1
	for _, n := range nodes {
		well = well && n["health"] == "online" && !o.keeper.dead(n["addr"])
	}
	o.mu.Lock()
	o.master, o.well = info["master"], well
	o.mu.Unlock()
}

func (o *observer) tellAlarms(info client.Fields) {
	now := make(map[string]bool)
	for i := range info.Int("alarms") {
		text := info[fmt.Sprintf("alarm%d", i)]
		if now[text] = true; !o.alarms[text] {
			o.script.event("%s", text)
		}
	}
	o.alarms = now
}

// tellFailover gives the account of a failover a moment after it was over.
func (o *observer) tellFailover(info client.Fields, now time.Time) {
	took := info.Milliseconds("last_failover_duration_ms")
	if took > 0 && info["last_failover_epoch"] != o.epoch {
		o.epoch = info["last_failover_epoch"]
		o.due = &failover{info: info, took: took, seen: now}
	}
	if o.due == nil || now.Sub(o.due.seen) < settleTime {
		return
	}
	f := o.due
	o.due = nil
	longest := o.load.longest(f.seen.Add(-f.took-2*askInterval), now)
	o.failovers++
	o.worst = max(o.worst, longest)
	is := o.load.counts()
	o.script.event("failover to %s: epoch %s, done in %v; longest pause of a client %v; client errors %d, writes with unknown result %d%s",
		f.info["last_failover_to"], o.epoch, f.took.Round(100*time.Microsecond), longest.Round(100*time.Microsecond), is.errors, is.unknown, o.losses(is))
	if pid := o.keeper.pid(f.info["last_failover_to"]); pid != 0 && !o.keeper.chaos {
		o.script.event("to see it again: kill -9 %d", pid)
	}
}

// losses tells what no failover should cost, if it did.
func (o *observer) losses(c counts) string {
	var b strings.Builder
	if c.lost > 0 {
		fmt.Fprintf(&b, ", writes lost with an old master before it had passed them on %d", c.lost)
	}
	if c.twice > 0 {
		fmt.Fprintf(&b, ", WRITES APPLIED TWICE %d", c.twice)
	}
	return b.String()
}

// tellLine writes the line of the last second.
func (o *observer) tellLine(nodes []client.Fields, now time.Time) {
	const linesPerHeading = 20
	took := now.Sub(o.lineAt).Seconds()
	o.lineAt = now
	sum, longest := o.load.counts(), o.load.takeLongest()
	sent := requests(nodes)
	cells := make([]cell, 0, len(nodes))
	byAddr := make(map[string]client.Fields, len(nodes))
	for _, n := range nodes {
		byAddr[n["addr"]] = n
	}
	for _, node := range o.keeper.cluster.Nodes { // in this order always, whoever is master
		c := cell{addr: node.Addr, role: "unknown"}
		if n, ok := byAddr[node.Addr]; ok {
			c.role = role(n)
			if was, ok := o.before[node.Addr]; ok {
				c.rate = float64(max(0, sent[node.Addr]-was)) / took
			}
		}
		if o.keeper.dead(node.Addr) {
			c.role = "dead"
		}
		cells = append(cells, c)
	}
	o.before = sent
	if o.lines%linesPerHeading == 0 {
		o.script.heading(cells)
	}
	o.lines++
	o.script.line(now, cells, float64(sum.requests-o.total.requests)/took, longest, sum)
	o.total = sum
}

// requests returns how many requests each node has got so far.
func requests(nodes []client.Fields) map[string]int64 {
	sent := make(map[string]int64, len(nodes))
	for _, n := range nodes {
		sent[n["addr"]] = n.Int("requests")
	}
	return sent
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
	o.script.event("requests %d, failovers %d, longest pause of a client in one %v, client errors %d, writes with unknown result %d%s", sum.requests,
		o.failovers, o.worst.Round(100*time.Microsecond), sum.errors, sum.unknown, o.losses(sum))
	if sum.last != "" {
		o.script.event("the last client error: %s", sum.last)
	}
}
