package checkup

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/monitor"
)

// Finding is one thing that was found, in a sentence that says what to do about it.
type Finding struct {
	Problem bool // else it is only worth knowing
	Text    string
}

// Settings are those of Understudy that the nodes' settings are compared with.
type Settings struct {
	StallAfter  time.Duration
	HoldTimeout time.Duration
	NoFailover  []string      // nodes that are never promoted
	LeaderLoss  time.Duration // how long it may take until another Understudy leads when the one that does is lost; 0: this one is alone
	Coordinated string        // the cluster whose Understudies agree with each other, through ZooKeeper; "": this one is alone
	Following   bool          // others see to the roles
	WriteAcks   int           // how many replicas must have a write before it is answered; 0: none
}

// Judge returns what is to be said about a cluster, in an order that is always the same.
func Judge(f *Facts, s Settings) []Finding {
	j := &judge{Facts: f, Settings: s}
	j.reachable()
	j.successors()
	j.persistence()
	j.rewrite()
	j.busy()
	j.differences()
	j.passwords()
	j.minReplicas()
	j.durable()
	j.eviction()
	j.rivals()
	return j.found
}

type judge struct {
	*Facts
	Settings
	found []Finding
}

func (j *judge) problem(format string, args ...any) {
	j.found = append(j.found, Finding{true, fmt.Sprintf(format, args...)})
}

func (j *judge) note(format string, args ...any) {
	j.found = append(j.found, Finding{false, fmt.Sprintf(format, args...)})
}

// where lists the nodes for which is holds.
func (j *judge) where(is func(*Node) bool) []string {
	var addrs []string
	for i := range j.Nodes {
		if is(&j.Nodes[i]) {
			addrs = append(addrs, j.Nodes[i].Addr)
		}
	}
	return addrs
}

func list(addrs []string) string { return strings.Join(addrs, ", ") }

// subject is a list of nodes as the subject of a sentence, with the verb that agrees with it.
func subject(addrs []string, one, several string) string {
	last := len(addrs) - 1
	if last == 0 {
		return addrs[0] + " " + one
	}
	return list(addrs[:last]) + " and " + addrs[last] + " " + several
}

// late lists the replicas that are not in sync.
func (f *Facts) late() []string {
	var addrs []string
	for _, n := range f.Nodes {
		if !n.Master && !n.InSync {
			addrs = append(addrs, n.Addr)
		}
	}
	return addrs
}

func (j *judge) reachable() {
	for _, addr := range slices.Sorted(maps.Keys(j.Unreachable)) {
		j.problem("%s cannot be reached (%s): start it, correct its address, or take it out of nodes", addr, monitor.Reason(j.Unreachable[addr]))
	}
	if blind := j.where(func(n *Node) bool { return n.Config == nil }); len(blind) > 0 {
		j.note("CONFIG GET is not allowed on %s: their settings could not be checked", list(blind))
	}
}

// successors looks for a replica that could take over.
func (j *judge) successors() {
	if len(j.Nodes) == 1 {
		j.problem("%s has no replica connected to it: nothing can take over when it fails; start one, or see in the log of one that runs why it is not "+
			"connected (masterauth that the master refuses, for instance)", j.Nodes[0].Addr)
		return
	}
	if late := j.late(); len(late) > 0 {
		j.problem("%s not in sync with the master now: see the log there for why", subject(late, "is", "are"))
	}
	able := j.where(func(n *Node) bool { return !n.Master && n.Priority > 0 && !slices.Contains(j.NoFailover, n.Addr) })
	if len(able) == 0 {
		j.problem("no replica may take over: each has replica-priority 0 or is in no-failover")
	}
}

// persistence looks for nodes that come back empty.
func (j *judge) persistence() {
	forgetful := j.where(func(n *Node) bool {
		return n.Config != nil && n.Config["save"] == "" && n.Config["appendonly"] != "yes"
	})
	if len(forgetful) > 0 {
		j.problem("%s nothing on disk (save is empty, appendonly is no): a master like that, restarted by a supervisor within a second of a crash, "+
			"comes back empty and its replicas may copy that before one of them is promoted; set appendonly yes, or have the supervisor wait some seconds",
			subject(forgetful, "keeps", "keep"))
	}
}

// rewrite looks for nodes that forget their role with a restart.
func (j *judge) rewrite() {
	if fileless := j.where(func(n *Node) bool { return n.File == "" && n.Version != "" }); len(fileless) > 0 {
		j.problem("%s without a configuration file, so CONFIG REWRITE fails there: a node restarted after a failover begins in its old role, "+
			"until Understudy has corrected that; start redis-server with a file that it may write", subject(fileless, "runs", "run"))
	}
}

// busy compares patience with what a busy server needs to say so.
func (j *judge) busy() {
	for i := range j.Nodes {
		n := &j.Nodes[i]
		value, ok := n.Config["busy-reply-threshold"]
		if !ok {
			value = n.Config["lua-time-limit"]
		}
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue // not known
		}
		if limit := time.Duration(ms) * time.Millisecond; j.StallAfter <= limit {
			j.problem("stall-after is %v and busy-reply-threshold on %s is %v: a script that runs that long would be taken for a dead server; make stall-after the longer one",
				j.StallAfter, n.Addr, limit)
		}
	}
	if j.HoldTimeout <= j.LeaderLoss && !j.Following {
		j.note("hold-timeout is %v, and when the Understudy that leads is lost together with the master it takes up to %v until another one leads (zookeeper-session-timeout and zookeeper-tick): requests may give up before",
			j.HoldTimeout, j.LeaderLoss)
	}
	if j.HoldTimeout <= j.StallAfter {
		j.note("hold-timeout is %v and stall-after is %v: when a master hangs, requests give up before a replica has taken over", j.HoldTimeout, j.StallAfter)
	}
}

// differing are settings that should be the same on all nodes, because any of them may become master, and why.
var differing = []struct{ name, why string }{
	{"databases", "SELECT fails after a failover"},
	{"maxmemory", "the new master evicts or refuses writes at another size"},
	{"maxmemory-policy", "the new master evicts other keys, or refuses writes"},
	{"min-replicas-to-write", "the new master refuses writes under other conditions"},
	{"min-replicas-max-lag", "the new master refuses writes under other conditions"},
	{"notify-keyspace-events", "subscribers to keyspace events miss some after a failover"},
	{"proto-max-bulk-len", "large values are refused after a failover"},
	{"client-output-buffer-limit", "replicas or subscribers are disconnected at another size"},
	{"maxclients", "the new master refuses connections at another number"},
}

// differences looks for settings that a failover would change.
func (j *judge) differences() {
	for _, d := range differing {
		j.same(d.name, d.why, true, func(n *Node) (string, bool) { v, ok := n.Config[d.name]; return v, ok })
	}
	j.same("the list of users (ACL LIST)", "clients may be refused after a failover", false,
		func(n *Node) (string, bool) { return strings.Join(n.Users, "\n"), n.Users != nil })
	j.same("the version of redis-server", "an older node cannot copy the data of a newer master", true,
		func(n *Node) (string, bool) { return n.Version, n.Version != "" })
}

// same looks whether all nodes that tell have the same value.
func (j *judge) same(what, why string, show bool, value func(*Node) (string, bool)) {
	var first *Node
	for i := range j.Nodes {
		n := &j.Nodes[i]
		v, ok := value(n)
		switch {
		case !ok:
			continue
		case first == nil:
			first = n
			continue
		}
		if was, _ := value(first); was != v {
			if show {
				j.problem("%s is %q on %s and %q on %s: %s; make them the same", what, was, first.Addr, v, n.Addr, why)
			} else {
				j.problem("%s differs between %s and %s: %s; make them the same", what, first.Addr, n.Addr, why)
			}
		}
	}
}

// passwords looks for nodes that could not follow another one as master. No password is shown.
func (j *judge) passwords() {
	j.same("requirepass", "clients are refused, or let in, after a failover", false,
		func(n *Node) (string, bool) { v, ok := n.Config["requirepass"]; return v, ok })
	for i := range j.Nodes {
		n := &j.Nodes[i]
		if n.Config == nil || n.Config["masteruser"] != "" {
			continue
		}
		refused := j.where(func(m *Node) bool {
			return m != n && m.Config["requirepass"] != "" && m.Config["requirepass"] != n.Config["masterauth"]
		})
		if len(refused) > 0 {
			j.problem("masterauth on %s is not the password (requirepass) of %s: it could not be its replica; set it", n.Addr, list(refused))
		}
	}
}

// minReplicas looks whether a cluster that has lost its master would still accept writes.
func (j *judge) minReplicas() {
	left := len(j.Nodes) - 2 // replicas of a promoted one, while the old master is dead
	for i := range j.Nodes {
		n := &j.Nodes[i]
		if want, err := strconv.Atoi(n.Config["min-replicas-to-write"]); err == nil && want > max(left, 0) && len(j.Nodes) > 1 {
			j.problem("min-replicas-to-write is %d on %s: after a failover the number of replicas is %d until the old master is back, and it would refuse writes; "+
				"lower it or add replicas", want, n.Addr, left)
		}
	}
}

// eviction warns of policies that look at when a key was used.
func (j *judge) eviction() {
	using := j.where(func(n *Node) bool {
		p := n.Config["maxmemory-policy"]
		return strings.HasSuffix(p, "lru") || strings.HasSuffix(p, "lfu")
	})
	if len(using) > 0 {
		j.note("maxmemory-policy on %s evicts the keys used least, and of reads that replicas serve the master learns by a sample alone (touch-rate): "+
			"where that does not suffice let those clients use a listener with policy=strong", list(using))
	}
	if writable := j.where(func(n *Node) bool { return n.Config["replica-read-only"] == "no" }); len(writable) > 0 {
		j.problem("replica-read-only is no on %s: a write that reaches a replica is accepted there and lost; set it to yes", list(writable))
	}
}

// rivals looks for others that would promote a replica.
func (j *judge) rivals() {
	if j.Following {
		return
	}
	members := map[string]bool{}
	sentinel := false
	for i := range j.Nodes {
		for _, name := range j.Nodes[i].Clients {
			name = monitor.MemberName(name)
			agreed := j.Coordinated != "" && strings.HasPrefix(name, "understudy:"+j.Coordinated+":")
			if strings.HasPrefix(name, "understudy:") && !agreed {
				members[name] = true
			}
			sentinel = sentinel || strings.HasPrefix(name, "sentinel-")
		}
	}
	switch names := list(slices.Sorted(maps.Keys(members))); {
	case j.Coordinated != "" && len(members) > 0:
		j.problem("other Understudies are connected to these nodes (%s) and not agreed with this cluster's: they would promote a replica of "+
			"their own; give all the same --zookeeper and --cluster", names)
	case len(members) > 1:
		j.problem("several Understudies are connected to these nodes (%s): alone, each would promote a replica of its own; let one run, "+
			"or give all the same --zookeeper", names)
	}
	if sentinel {
		j.problem("Sentinel looks after these nodes, too, and would promote a replica of its own: stop one of the two, or run with --failover off to follow it")
	}
}
