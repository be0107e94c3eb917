// Package session is one client's conversation: requests in, destinations out, replies back in order.
//
// A [Session] sees bytes and interfaces, no sockets and no clock of its own; everything in it runs on one event loop.
// It parses what has arrived (batch.go), decides where it goes (route.go), queues it on a lane, and copies replies to
// its output as they come (reply.go). Five rules carry it:
//
//   - A session has requests outstanding on one connection at a time, so replies come back in order by themselves. It
//     changes its connection when nothing is outstanding; until then the rest of its input stays where it is.
//   - Waiting is not doing: a request that cannot be sent now (no master, earlier requests unanswered, a client that
//     does not read) remains in the input, and reading from the client stops when that grows. Nothing is reordered,
//     nothing needs to be remembered.
//   - When a connection dies or its node declines, each unanswered request becomes an item of the redo list: either
//     the request itself, to be sent again, or the reply that is due because sending it again could apply it twice.
//     The list is worked off before any further input.
//   - An iteration (SCAN) stays on the node where it began, which its cursor names (cursor.go, scan.go).
//   - What changes the state of a connection never enters a lane. The proxy keeps that state itself (local.go,
//     client.go, subscription.go) or lends the session a pin (transaction.go, pinned.go, attachment.go).
package session
