// Package console serves the admin port: PROXY, INFO understudy and FAILOVER over RESP, at an address of its own.
//
// Clients can ask the same on their own port, where the servers' permissions count. The admin port needs no server: it
// answers while there is no master, no replica and no grant, which is when an operator needs it most. So it belongs on
// the loopback address, or behind a password.
//
// Connections are served by redcon. Its reader trusts its input: a length of 2^63-1 ends the process, a command that
// arrives byte by byte the stack (docs/data-path.md). So it never sees the network. A framer stands in front of it, which
// finds requests with package resp under limits of its own and hands over one whole, encoded anew, at a time.
package console
