// Package demo is what "understudy demo" shows: a master and two replicas on this machine, a few clients that work
// through an Understudy in front of them, and a running account of who serves what and what a failover costs.
//
// The package starts the servers and knows the Understudy only as its clients do, by an address: everything that it
// shows was measured by its own clients or asked over RESP, as anybody could. With ZooKeeper there are two Understudys,
// each a process of its own that can be killed as anything else here; every client has one of them as its sidecar.
package demo
