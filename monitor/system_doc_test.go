package monitor

// The simulation of the whole system.
//
// The files system_*_test.go are one system in virtual time: applications, members, redis-servers, and the store in which
// members agree. A seed is a schedule: a few hundred milliseconds of calm, a reason to change the master, and up to five
// other faults around it (processes that die, are stopped, or lose their data; networks that are cut between any two;
// requests of operators), and in most seeds something that happens to the leader at one certain step of the failover.
// Then all faults end, and everything must come to rest.
//
// What is real, and what is modelled:
//
//   - Real: everything of this package that judges and decides. Each member has a loop, which is fed with observations and
//     asked for actions as Monitor does it (vitality, record, trail, combine, decide, what was tried, noticeGap, term);
//     topology's State with its rules of validity, what durable writes rest on (topology.Durable, counting), and Grant.
//     What a loop may send, believe, and answer as durable (topology.Tenure), samples (proxy/freshness), and for how long
//     a lease lasts (internal/lease).
//   - Modelled, in the words of the code that it stands for: what has sockets and goroutines. The store (simStore) is
//     linearizable, and has ZooKeeper's sessions, ephemerals, candidates, versions and watches; its servers tell their leader of sessions
//     by ticks that members know or do not know, or crash before. A member's session and its heartbeats (simMember) follow topology.ZooKeeper; the way of requests through it (simFlow) follows upstream.Pool; what asks
//     nodes how far they are (simSampler) follows upstream.Sampler; replies that are withheld (simClaim) follow
//     proxy/session; the connections for commands (simOrders) follow term, control and commander.
//   - Modelled from Redis: servers with histories, offsets, partial and full synchronisation, saved roles and FAILOVER
//     (simServer, simFeed, simHandover). Data is a log of the numbers of all writes; a counter would be the length of it, and
//     a write that is applied twice a number that is in it twice.
//
// Promises between members, while the store is away, have a simulation of their own in package topology. Members have
// none here: writes stop when the lease ends. What that one shows is what this one would need: as long as somebody writes
// by promises under a version of the State, it is the State's version, and nobody may replace it.
//
// What is asserted is in system_check_test.go: when something is sent, when it is answered, when the State is replaced,
// when a server is promoted, and when all has settled.
//
// How to work with it:
//
//	go test ./monitor -run TheWholeSystem -schedules 1000000     more of them
//	go test ./monitor -run TheWholeSystem -seed 4711 -v          the story of one, line by line
//
// To add a fault, add it to disturb or to spring in system_fault_test.go; it must end in heal. To add a rule, add a
// simRule, let the model break it, and add it to TestTheSimulationFindsEveryBrokenRule with the invariant that it is there
// for: an assertion that finds nothing when a rule is broken is none. Rules are broken in the model's part alone. Everything must be taken from the system's
// own generator and clock, and nothing may depend on the order of a map, or seeds are no schedules any more:
// TestASeedIsASchedule looks at that.
