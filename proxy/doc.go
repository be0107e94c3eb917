// Package proxy is the front door: it listens, gives every client a session on one of its event loops, and keeps the
// loops' connections to the nodes in step with the State that the members agree on.
//
//	client -> eventloop -> session -> upstream -> eventloop -> node
//
// The rooms behind it: command knows what commands are, session is one client's conversation, upstream the connections
// to nodes, eventloop the sockets, freshness which replica may answer a read, pubsub the shared subscriptions, peers the
// other members as far as clients concern them, admin what INFO understudy and PROXY answer. The package itself has no more
// than the wiring: [Proxy] starts and stops everything, refresh.go learns the commands of the running server, directory.go
// answers questions about all clients.
//
// The proxy promotes nobody. It reads State and Grant of a [Coordinator], acknowledges fences and says which nodes
// it suspects.
package proxy
