// Package upstream holds the proxy's connections to nodes.
//
// Everything in it belongs to one event loop. A [Pool] knows the State that the loop routes under. For each kind of
// conversation that clients have (database, protocol version, credentials: a [Key]) it keeps a [Group]: two lanes to
// the master, for what holds writes and for what only reads, and one to each replica. A lane is a [Conn] that many sessions share; a pin is a Conn that the pool lends to
// one session at a time. Both are the same thing inside: a log of requests, a queue of what each was and who asked
// ([Entry]), and a scanner that finds where replies end. Requests stay in the log until they are answered, so that
// when a connection dies, each owner is told which of its requests were not answered and whether they had been sent.
//
// A new connection introduces itself before it carries anything (handshake.go): protocol, credentials, database,
// name, and it checks that the server is still the run that the State names. A master that was restarted empty
// within milliseconds is therefore never taken for the one that died.
//
// A State is taken in, and a fence acknowledged, in a task of the loop's own or before a node's bytes are looked at, because
// that ends connections: see [Pool.Refresh]. So what a session was given it has until it returns to the loop, unless it
// gives it back itself.
//
//	session -> Group.Write/Read -> Conn.Send -> log -> socket -> node
//	session <- Owner.Reply      <- Entry     <- scanner <- socket <-
package upstream
