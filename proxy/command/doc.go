// Package command is the command table: what a Redis command is, how the proxy routes it, and where its keys are. It is
// pure; it knows no sockets, sessions or nodes.
//
// [Builtin] is the table of the Redis version the project is built against, generated from a real server and checked in
// as commands.txt. [Table.Refresh] makes a new one from the COMMAND reply of a live master, so that module commands and
// those of newer servers are routed by the server's own flags. [Table.Confirm] then takes from it what redis.conf has given
// other names, which COMMAND keeps to itself.
//
// A request passes through in two steps, neither of which allocates:
//
//	c, class := table.Classify(args)   // which command, and how this invocation of it is treated
//	keys = c.Keys(keys[:0], args)      // which keys it names
//
// The class comes from three sources. Rules written by hand (rules.go) know what no flag says: that TOUCH on a replica
// touches nothing, that WAIT would block a shared connection, that POST makes a server hang up. Rules on arguments
// (classify.go) tell XREAD from XREAD BLOCK. Everything else follows from the server's flags.
//
// What is not in the table may be anything to the server, and is [Command.Nameless]: it is sent nowhere before the master
// has said what it has under that name ([Table.Learn]).
package command

//go:generate go run ./generate -listing commands.txt
//go:generate go run ./generate -docs ../../docs/commands.md
