// Package e2e holds the tests that run the whole of Understudy, proxy and monitor with a coordinator between them,
// against real redis-server processes that are killed, stopped and restarted, and look at it as clients do.
package e2e
