// Package agreement holds the tests that run several Understudy processes in front of real redis-server processes, with
// a real ZooKeeper ensemble between them, kill, stop and cut off each of them, and look at the rest as clients do.
//
// Every test ends alike: all members agree on one State, exactly one redis-server is a master and it is the one of that
// State, no write was applied twice, and no client saw an error that the fault does not excuse.
package agreement
