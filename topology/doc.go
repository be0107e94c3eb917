// Package topology is what every member agrees on: who is master, which replicas there are, and which epoch it is.
//
// The whole agreement is one immutable value, [State]. It is replaced, never edited, and every replacement is a
// versioned write through a coordinator. There are two: [Local], one process alone with its State in a file, and
// [ZooKeeper], for many members. Both give out the same three things:
//
//   - the current State, and a call when it changes;
//   - a [Grant], without which nobody may send a write to the master;
//   - leadership, without which nobody may change the State.
//
// With ZooKeeper a grant rests on a lease, which ZooKeeper confirms, or, while ZooKeeper is away, on the promises of all
// members that may lead not to do so ([Elector], [Promisers]).
//
// The package knows neither Redis connections nor clients. The proxy reads State and Grant and acknowledges fences;
// the monitor proposes new States. They meet nowhere else.
package topology
