package monitor

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

var (
	simSchedules = flag.Int("schedules", 0, "how many schedules of the whole system are tried; 0: 5000, or 500 with the race detector; make test tries 100000")
	simSeed      = flag.Uint64("seed", 0, "tell the story of this schedule of the whole system")
)

// simRule is a rule that a test breaks, to see that its absence is found.
type simRule string

const (
	simSound                 simRule = ""
	simNoFenceWait           simRule = "the leader goes on without waiting for acknowledgements or the end of leases"
	simUnversionedWrite      simRule = "the State is written whatever version it has, by whoever thinks that it leads"
	simNoLease               simRule = "writes are sent without a lease"
	simNoCheckOfReplies      simRule = "replies are delivered without looking at the lease again"
	simOneClock              simRule = "leases end by the monotonic clock alone"
	simTickBelieved          simRule = "a lease rests on the tick that was told, whatever that of the store's servers is"
	simEarlierLeadersStay    simRule = "connections for commands of earlier leaders are not ended"
	simLeaseOfAnyVersion     simRule = "a heartbeat renews the lease whatever version of the State is known"
	simLeadsInAnotherSession simRule = "who led in one session leads in the next"
	simLeadsWithoutLease     simRule = "who once led leads on without a lease"
	simBlindPromotion        simRule = "a node is promoted without a look at which process it is"
	simSentAgain             simRule = "a write of unknown outcome is sent again"
	simNoDurableRule         simRule = "a replica is promoted although the holders of durable writes cannot be read"
	simNoAcks                simRule = "durable writes are acknowledged before replicas have them"
	simEarlierSample         simRule = "a write counts as replicated as of a sample that was begun before it was answered"
	simAnyReplicaCounts      simRule = "what any replica has counts, whether it is a holder or not"
	simClaimsKept            simRule = "what is withheld waits for replicas under whatever State comes next"
)

// newSystem makes the system of a seed.
func newSystem(seed uint64, rule simRule) *simSystem {
	y := &simSystem{seed: seed, rule: rule, rng: rand.New(rand.NewPCG(seed, 5))}
	y.ledger.newest = make(map[string]int64)
	y.plan.pace = y.between(30*time.Millisecond, 150*time.Millisecond)
	y.plan.classic = y.chance(30)
	y.arrangeEnsemble()
	addrs := []string{"m", "r1", "r2"}
	if y.chance(15) {
		addrs = addrs[:2]
	}
	first := &topology.State{Format: topology.Format, Cluster: "sim", Epoch: 1, Phase: topology.Stable}
	for i, addr := range addrs {
		role, master := roleReplica, addrs[0]
		if i == 0 {
			role, master = roleMaster, ""
		}
		s := y.newServer(addr, 1+i, role, master)
		y.servers = append(y.servers, s)
		if i == 0 {
			first.Master = topology.Node{Addr: addr, RunID: s.run, ReplID: s.replID}
		} else {
			first.Replicas = append(first.Replicas, topology.Replica{Node: topology.Node{Addr: addr, RunID: s.run}, Health: topology.Online, Priority: 100})
		}
	}
	if y.chance(40) {
		y.plan.acks = 1 + y.rng.IntN(len(addrs)-1)/(1+y.rng.IntN(3))
	}
	if y.plan.acks > 0 {
		first.Durable = &topology.Durable{Acks: y.plan.acks}
		for _, r := range first.Replicas {
			first.Durable.Holders = append(first.Durable.Holders, topology.Holder{Addr: r.Addr, RunID: r.RunID})
		}
	}
	y.store = y.newStore(topology.Snapshot{State: first, Version: 1})
	for i, id := range []string{"a", "b", "c"}[:2+y.rng.IntN(2)] {
		y.members = append(y.members, y.newMember(id, 1+len(addrs)+i))
	}
	for i := range y.members {
		y.apps = append(y.apps, &simApp{simSystem: y, place: i, durable: y.plan.acks > 0 && y.chance(80)})
		y.at(y.between(100*time.Millisecond, 200*time.Millisecond), y.apps[i].ask)
	}
	for _, s := range y.servers {
		s.reconnect()
	}
	y.arrange()
	return y
}

// server returns the one at an address.
func (y *simSystem) server(addr string) *simServer {
	for _, s := range y.servers {
		if s.addr == addr {
			return s
		}
	}
	return nil
}

// run lets a schedule take place.
func (y *simSystem) run() {
	y.runUntil(simFaults + 500*time.Millisecond)
	if y.fault == "" {
		y.heal()
	}
	const patience = 15 * time.Second
	healed := y.now
	for end := y.now + patience; y.fault == ""; {
		y.runUntil(y.now + 250*time.Millisecond)
		why := y.unsettled()
		if y.fault != "" || why == "" {
			break
		}
		// Where so many servers were started again that nobody knows who has the durable writes, an operator must decide.
		if y.now-healed > 4*time.Second && y.now-y.ledger.waited < time.Second && y.ledger.restarts > 0 && !y.forced {
			y.forced = true
			y.tell("an operator gives durable writes up")
			y.store.ask(topology.Request{ID: fmt.Sprintf("%03d", len(y.store.requests)+1), Kind: topology.Switchover, Force: true, By: "ops", At: y.clock(y.store.proc).Round(0)})
		}
		if y.now > end {
			y.violate(simSettles, "it does not settle: %s", why)
		}
	}
	for _, app := range y.apps {
		app.done = true
	}
	for end := y.now + 3*time.Second; y.fault == "" && y.now < end && !y.sameData(); {
		y.runUntil(y.now + 100*time.Millisecond)
	}
	if y.fault == "" {
		y.checkEnd()
	}
}

// simTally is what has happened in many schedules.
type simTally struct{ changes, planned, acked, durable int }

func (t *simTally) add(y *simSystem) {
	t.changes += y.ledger.changes
	t.planned += y.ledger.planned
	t.acked += len(y.ledger.acked)
	t.durable += len(y.ledger.durable)
}

// search tries so many seeds, from one on, on all processors, until one breaks an invariant, or one of those given. It
// returns the lowest that does, and what is wrong; and what has happened in all of them.
func search(rule simRule, from uint64, seeds int, wanted ...simInvariant) (seed uint64, fault string, all simTally) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // there is little memory, and much garbage
	var mu sync.Mutex
	var workers sync.WaitGroup
	next, found := from, from+uint64(seeds)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var tally simTally
			for {
				mu.Lock()
				n := next
				next++
				over := n >= found
				mu.Unlock()
				if over {
					break
				}
				y := newSystem(n, rule)
				y.run()
				tally.add(y)
				if y.fault == "" || len(wanted) > 0 && !slices.Contains(wanted, y.broken) {
					continue
				}
				mu.Lock()
				if n < found {
					found, fault = n, y.fault
				}
				mu.Unlock()
			}
			mu.Lock()
			defer mu.Unlock()
			all.changes += tally.changes
			all.planned += tally.planned
			all.acked += tally.acked
			all.durable += tally.durable
		})
	}
	workers.Wait()
	return found, fault, all
}

// story tells what happens under a seed.
func story(seed uint64, rule simRule) (lines []string, fault string) {
	y := newSystem(seed, rule)
	y.telling = true
	y.run()
	return y.story, y.fault
}

func TestTheWholeSystemKeepsItsInvariants(t *testing.T) {
	if *simSeed != 0 {
		lines, fault := story(*simSeed, simSound)
		t.Logf("seed %d\n%s", *simSeed, strings.Join(lines, "\n"))
		if fault != "" {
			t.Fatalf("seed %d: %s", *simSeed, fault)
		}
		return
	}
	seeds := 5000
	switch {
	case *simSchedules > 0:
		seeds = *simSchedules
	case simRacing:
		seeds = 500
	}
	seed, fault, all := search(simSound, 1, seeds)
	if fault != "" {
		lines, _ := story(seed, simSound)
		t.Fatalf("seed %d: %s\n%s", seed, fault, strings.Join(lines, "\n"))
	}
	t.Logf("%d schedules: %d changes of master, %d of them planned; %d writes acknowledged, %d of them as durable",
		seeds, all.changes, all.planned, all.acked, all.durable)
	if all.changes < seeds/2 || all.planned < seeds/20 || all.durable < seeds {
		t.Error("the schedules show little")
	}
}

func TestASeedIsASchedule(t *testing.T) {
	for seed := range uint64(50) {
		first, _ := story(1+seed, simSound)
		for range 3 {
			again, _ := story(1+seed, simSound)
			if !slices.Equal(first, again) {
				t.Fatalf("seed %d tells two stories:\n%s\n\n%s", 1+seed, strings.Join(first, "\n"), strings.Join(again, "\n"))
			}
		}
	}
}
