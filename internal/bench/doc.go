// Bench compares Understudy with a direct connection to Redis, with HAProxy and with twemproxy (nutcracker) on one
// machine, and prints a report in Markdown. It runs as
//
//	make bench                                        about five minutes
//	make bench ARGS=--quick                           under a minute, for a first impression
//	make bench ARGS="--out docs/benchmarks.md"        replaces the report in that file
//
// It starts a master with two replicas and every proxy as a process of its own, and drives each of them with
// redis-benchmark under every load (loads.go). How fast a process is depends on where the scheduler has put it, so all
// proxies are restarted before each round, they take turns within a round, and the report shows medians over the
// rounds. The figure that survives a noisy machine is the proxy's own CPU time per request: what it used while the
// load ran, by the kernel's account of the process, over the number of requests.
//
// It compares and does not judge: whatever the figures are, the exit status is 0. Ctrl-C ends everything that was
// started.
package main
