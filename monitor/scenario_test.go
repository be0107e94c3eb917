package monitor

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/understudy/understudy/topology"
)

// TestDecidingFollowsTheScenarios runs testdata/*.txt. Each tells a story in commands:
//
//	cluster master=m replicas=r1,r2 members=a,b,c leader=a   a stable State, everybody alive and in sync at offset 1000
//	state phase=fencing|promoting [epoch=N] [choice=r1 position=1000] ...  the State that a leader finds
//	node r1 offset=900 priority=10 down seen-by=a ...        something changes at a node (see change)
//	fenced a b                                               members acknowledge the fence of the current epoch
//	fail promote r1 times=3                                  the next attempts at an action fail
//	takeover b                                               another member leads, which remembers nothing
//	lose m witness=r1                                        m is down for all, but r1 goes on receiving from it
//	outage m for=1h r1=2h                                    m is found dead at the start, for so long, and r1 cut for longer
//	silent b                                                 members that take in no new State
//	ask switchover target=r1 force timeout=1s by=a           somebody asks the leader for something
//	fail swap m times=1                                      the master cannot hand over
//	swapped                                                  the servers have exchanged their parts, and no leader has seen it
//	acks 2                                                   write-acks changes
//	counted                                                  all members count by the holders that the State names
//	unlooked yes|no                                          the master was not asked again since a resume was asked for
//	unborn yes|no                                            this process has only begun to look, and has heard nobody
//	sentinel r1                                              Sentinels tell one another that r1 is master
//	after 2s                                                 time passes
//
// After each of them the world does what decide asks for until it asks for nothing more; that is the expected output.
func TestDecidingFollowsTheScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				w = newWorld(t, d)
			} else {
				w.obey(t, d)
			}
			return w.settle()
		})
	})
}

func newWorld(t *testing.T, d *datadriven.TestData) *world {
	w := emptyWorld()
	master, members := "", []string{"a"}
	var replicas []string
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "master":
			master = arg.Vals[0]
		case "replicas":
			replicas = arg.Vals
		case "members":
			members = arg.Vals
		case "leader":
			w.leader = arg.Vals[0]
		case "nofailover":
			for _, n := range arg.Vals {
				w.rules.noFailover[n] = true
			}
		case "forget-after":
			w.rules.forgetAfter = duration(t, arg.Vals[0])
		case "configured":
			for _, n := range arg.Vals {
				w.rules.configured[n] = true
			}
		case "failback-delay":
			w.rules.failbackDelay = duration(t, arg.Vals[0])
		case "max-failovers":
			w.rules.maxFailovers, w.rules.failoverPeriod = atoi(t, arg.Vals[0]), time.Hour
		case "follow":
			w.rules.follow = true
		case "classic":
			w.classic = true
		case "acks":
			w.rules.writeAcks = atoi(t, arg.Vals[0])
		case "rivals":
			w.rivals = arg.Vals
		case "strategy":
			w.rules.strategy = Strategy(arg.Vals[0])
		case "required":
			w.rules.requiredMonitors = atoi(t, arg.Vals[0])
		default:
			t.Fatalf("%s: cluster knows no %q", d.Pos, arg.Key)
		}
	}
	w.populate(master, replicas, members)
	return w
}

func atoi(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// obey carries out one command of the script.
func (w *world) obey(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "node":
		w.change(t, d)
	case "fenced":
		for _, arg := range d.CmdArgs {
			i := slices.IndexFunc(w.members, func(m topology.Member) bool { return m.ID == arg.Key })
			w.members[i].Fenced = w.state.Epoch
		}
	case "fail":
		var times int
		d.ScanArgs(t, "times", &times)
		w.failing[step{deed(d.CmdArgs[0].Key), d.CmdArgs[1].Key}] = times
	case "takeover":
		w.leader, w.reading, w.peak, w.began = d.CmdArgs[0].Key, nil, 0, w.now
		clear(w.tried)
	case "silent":
		for _, arg := range d.CmdArgs {
			w.silent[arg.Key] = len(arg.Vals) == 0
		}
	case "ask":
		w.ask(t, d)
	case "counted": // all members know the holders that the State names
		w.durableFrom = w.now
	case "acks":
		w.rules.writeAcks = atoi(t, d.CmdArgs[0].Key)
	case "sentinel":
		w.appointed = d.CmdArgs[0].Key
	case "swapped": // by the servers alone, while no leader looked
		w.exchange(w.state.Master.Addr, w.state.Failover.Target)
	case "join":
		w.members = append(w.members, topology.Member{ID: d.CmdArgs[0].Key})
	case "unlooked": // the master was not asked again since
		w.unlooked = d.CmdArgs[0].Key != "no"
	case "unborn": // this process has only begun to look
		w.unborn = d.CmdArgs[0].Key != "no"
	case "leave":
		w.members = slices.DeleteFunc(w.members, func(m topology.Member) bool { return m.ID == d.CmdArgs[0].Key })
	case "lose":
		var witness string
		d.ScanArgs(t, "witness", &witness)
		addr := d.CmdArgs[0].Key
		w.since[addr], w.downFor[addr] = w.now, make(map[string]string)
		for _, m := range w.members {
			w.downFor[addr][m.ID] = "no connection for 1s"
		}
		n := w.nodes[witness]
		n.advancedFrom, n.advancedTo = w.now.Add(100*time.Millisecond), w.now.Add(200*time.Millisecond)
		n.Offset += 100
		w.nodes[witness] = n
		w.now = n.advancedTo
	case "outage":
		addr := d.CmdArgs[0].Key
		var span string
		d.ScanArgs(t, "for", &span)
		for replica, n := range w.nodes {
			if n.Role == roleReplica {
				n.LinkUp, n.LinkDown, n.Loading = false, duration(t, span), false
				for _, arg := range d.CmdArgs[2:] {
					if arg.Key == replica {
						n.LinkDown = duration(t, arg.Vals[0])
					}
				}
				w.nodes[replica] = n
			}
		}
		w.since[addr], w.downFor[addr] = w.now, map[string]string{w.leader: "connection refused"}
	case "after":
		w.now = w.now.Add(duration(t, d.CmdArgs[0].Key))
	case "state":
		w.recall(t, d)
	case "announce":
		w.announced[d.CmdArgs[0].Key] = d.CmdArgs[0].Vals[0]
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
}

// recall makes the State one that is found in the middle of a failover.
func (w *world) recall(t *testing.T, d *datadriven.TestData) {
	w.state = w.state.Clone()
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "phase":
			w.state.Phase = topology.Phase(arg.Vals[0])
			w.state.Failover = &topology.Failover{Cause: "a test", MasterDown: true}
		case "epoch":
			w.state.Epoch = uint64(atoi(t, arg.Vals[0]))
		case "choice":
			w.state.Failover.Choice = arg.Vals[0]
		case "position":
			w.state.Failover.Position = int64(atoi(t, arg.Vals[0]))
		case "planned":
			f := w.state.Failover
			f.Planned, f.MasterDown, f.Target, f.Request = true, false, f.Choice, "1"
			w.exchange(w.state.Master.Addr, f.Target)
		case "met":
			w.state.Outcome = &topology.Outcome{Request: arg.Vals[0], Answer: topology.Done, Text: "it was done by another"}
		case "unknown-history":
			w.state.Master.ReplID = ""
		case "never-seen":
			w.state.Unavailable = append(w.state.Unavailable, topology.Node{Addr: arg.Vals[0]})
		default:
			t.Fatalf("%s: state knows no %q", d.Pos, arg.Key)
		}
	}
}

// change changes one node: what it is, or who can see it.
func (w *world) change(t *testing.T, d *datadriven.TestData) {
	addr := d.CmdArgs[0].Key
	n := w.nodes[addr]
	if n.Priority == 0 && n.RunID == "" {
		n.info = info{RunID: addr + "-run1", Role: roleReplica, Priority: 100}
	}
	seenBy, reason := []string(nil), ""
	for _, arg := range d.CmdArgs[1:] {
		value := ""
		if len(arg.Vals) > 0 {
			value = arg.Vals[0]
		}
		switch arg.Key {
		case "down":
			reason = "connection refused"
		case "silent":
			reason = "no answer for 6s"
		case "seen-by":
			seenBy = arg.Vals
		case "unheard": // it was lost sight of, and has told nothing since
			w.unheard[addr] = value != "no"
		case "denied": // it answers only with an error
			n.denied = "WRONGPASS"
			if value == "no" {
				n.denied = ""
			}
		case "up":
			delete(w.downFor, addr)
			delete(w.since, addr)
		case "restarted": // an empty process under the same address
			n = node{info: info{RunID: addr + "-run2", Role: roleMaster, ReplID: addr + "-H2", Priority: n.Priority}}
			if value == "with-data" {
				// It saved its data and the place in history when it ended.
				n.ReplID2, n.SecondAt, n.Offset = w.nodes[addr].ReplID, w.nodes[addr].Offset+1, w.nodes[addr].Offset
			} else if value == "as-replica" {
				old := w.nodes[addr]
				n.Role, n.Master, n.ReplID, n.Offset, n.LinkDown = roleReplica, old.Master, old.ReplID, old.Offset, never
			}
		case "offset":
			n.Offset = int64(atoi(t, value))
			if addr == w.state.Master.Addr {
				w.peak = max(w.peak, n.Offset)
			}
		case "offset-back":
			n.Offset = int64(atoi(t, value))
		case "priority":
			n.Priority = atoi(t, value)
		case "latency":
			n.latency = duration(t, value)
		case "role":
			n.Role = role(value)
		case "follows":
			n.Role, n.Master = roleReplica, value
		case "link":
			n.LinkUp = value == "up"
			n.linkLost = time.Time{}
			if !n.LinkUp {
				n.linkLost = w.now
			}
		case "link-down-for":
			n.LinkUp, n.LinkDown = false, duration(t, value)
		case "replid":
			n.ReplID = value
		case "replid2":
			n.ReplID2, n.SecondAt = value, n.Offset+1
		case "loading":
			n.Loading = value != "no"
		case "syncing":
			n.Syncing = value != "no"
		case "doubted":
			n.doubted = value != "no"
		case "lag":
			n.lagBytes = int64(atoi(t, value))
		case "lag-time":
			n.lagTime = duration(t, value)
		default:
			t.Fatalf("%s: node knows no %q", d.Pos, arg.Key)
		}
	}
	w.nodes[addr] = n
	if reason != "" {
		if seenBy == nil {
			for _, m := range w.members {
				seenBy = append(seenBy, m.ID)
			}
		}
		w.downFor[addr] = make(map[string]string)
		w.since[addr] = w.now
		for _, m := range seenBy {
			w.downFor[addr][m] = reason
		}
	}
}

// ask submits a request.
func (w *world) ask(t *testing.T, d *datadriven.TestData) {
	r := topology.Request{ID: fmt.Sprint(len(w.requests) + 1), Kind: topology.RequestKind(d.CmdArgs[0].Key), By: "ops", At: w.now}
	for _, arg := range d.CmdArgs[1:] {
		switch arg.Key {
		case "target":
			r.Target = arg.Vals[0]
		case "force":
			r.Force = true
		case "timeout":
			r.Timeout = duration(t, arg.Vals[0])
		case "reason":
			r.Reason = arg.Vals[0]
		default:
			t.Fatalf("%s: ask knows no %q", d.Pos, arg.Key)
		}
	}
	w.requests = append(w.requests, r)
}
