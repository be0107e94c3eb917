// Package testcluster starts real servers for tests and for the demonstration: redis-server processes alone or as a
// master with replicas, ZooKeeper servers alone or as an ensemble, and a TCP relay that injects faults between any two
// of them. Where the kernel lets it (Linux, as root), each server can have a host of its own on a network that is cut as
// real ones are.
//
// Everything listens on 127.0.0.1, or on such a host, on ports below the range the kernel gives to outgoing connections, so that a server
// that was killed finds its port free when it is restarted. Everything lives in one folder that is removed at the end,
// and no child outlives this process, even if it is killed (on Linux; elsewhere, if it ends in order).
//
// A test starts what it needs with [New], [NewRedis], [NewEnsemble] or [NewRelay]; they stop it at the end and show the
// tail of each server's log if the test failed. Programs use [StartCluster], [StartRedis], [StartEnsemble] and
// [StartRelay], and [StartNetwork] for one with hosts.
//
// Nothing here waits for a fixed time: it polls for the condition it needs ([Poll], [WaitFor], [WaitWithin]).
package testcluster
