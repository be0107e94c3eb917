// Package resp is the Redis serialization protocol as a proxy needs it: where does a request or a reply end, and how is
// one written.
//
// A proxy forwards bytes; it does not translate them. So the two types at the heart of the package frame a stream and
// leave its content alone:
//
//   - [RequestParser] reads what clients send. It accepts exactly what redis-server accepts, multibulk and inline, refuses
//     the rest with the server's own error texts, and yields the arguments as slices of the caller's buffer.
//   - [ReplyScanner] reads what servers send. It keeps no bytes, only a position in the grammar, so a reply of any size
//     can be passed on while it arrives.
//
// Both can be interrupted at any byte and resume there: the cost of a request or reply is linear in its size however it
// is cut up by the network. Neither trusts a length it was told. Memory grows with bytes that have arrived, never with
// bytes that were announced. In steady state neither allocates.
//
// The Append functions write protocol into a caller's buffer. Where RESP2 and RESP3 differ they take the protocol version
// of the connection (2 or 3). [Decode] turns one whole reply into a tree of [Value]; it allocates and is meant for the few
// replies that must be understood rather than passed on, and for tests.
//
// The package has no sockets, goroutines, locks or clocks, and imports nothing of this project.
package resp
