// Package pubsub shares subscriptions: however many clients of an event loop listen to a channel, the server is asked
// for it once.
//
// A [Hub] has one connection to the master for the clients of one user. Its [Book] is the pure part: who listens to
// what, what the server has yet to confirm, and what must be sent to it. Three rules carry it:
//
//   - Every SUBSCRIBE and UNSUBSCRIBE of a client is sent, also where nothing changes for the server, and takes effect
//     for the client when the answer to it arrives. So each client sees exactly the messages that it would see on a
//     connection of its own, and whether it may subscribe is always the server's own decision.
//   - What a client gives up and others still listen to is replaced, in what is sent, by a name that nobody has.
//   - When the connection is lost, what clients listen to is subscribed to again on the next master without a word, and
//     requests that were not answered are given back, to be made again.
//
// A change of master loses nothing that is published through this process: move.go says how.
//
// The connection speaks RESP2: every server understands it, and a message differs between the protocol versions in its
// first byte alone, so the rest is shared among all receivers.
package pubsub
