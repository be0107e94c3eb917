// Package monitor watches the redis-servers of one cluster, forms this member's view of them, and, while this member
// leads, decides on failovers and carries them out.
//
// It is built in three layers, and what each may not do matters as much as what it does.
//
//   - Watching. Each node has a watch connection that only waits to be lost, a control connection that is asked for
//     INFO every ProbeInterval, and fresh connections that are opened when either of those gives reason to doubt.
//     What they see becomes an observation, with the moment its probing began. They judge nothing.
//   - Judging, without clock, socket or goroutine. A vitality turns the observations of one node into alive or down;
//     combine makes one verdict from the views of all members; decide looks at the State, the verdicts and what is
//     known of the nodes, and returns the next actions. decide remembers nothing: it is called again after everything
//     that happens, and finds from the situation alone what remains to be done. So a leader that takes over in the
//     middle of a failover, or finds one in the State's file, needs no code of its own.
//   - Acting. The loop of Monitor owns everything above, runs each action in a goroutine of its own, and feeds the
//     outcome back. Leadership and epoch are checked again before every command, and no command is repeated unless
//     the node was asked since and still needs it.
//
// A failover goes through the phases of topology.State: a fence that all members acknowledge, then a reading of the
// offsets, the recorded choice, the promotion, and a stable State of the new epoch. The monitor never touches a
// client's connection; holding the clients meanwhile is the proxy's part, which follows the State.
//
// A switchover is a failover that somebody asked for: it is rehearsed first, its fence drains, and the living master hands
// its part over. With Config.Follow the roles are changed by others; decide then only has the State say what the nodes say.
//
// Each time of leading is a term. It commands nodes over connections of its own, whose opening ends those of all leaders before,
// and what it knew of the other members is forgotten with it.
package monitor
