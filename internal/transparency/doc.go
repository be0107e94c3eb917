// Package transparency holds the tests that the proxy looks like a redis-server: whatever is sent to a server directly
// and through the proxy must be answered by the same bytes.
//
// What is said is written down in testdata, as conversations of one or more clients, and made up at random by
// generate_test.go. Each conversation is held in RESP2 and RESP3, command by command, as one pipeline, and byte by
// byte. What may differ, and why, is the list in differences_test.go, which is also a chapter of docs/compatibility.md.
// Clients written by others have their say, too: tours through what they offer, across a failover (goredis_test.go, node_test.go),
// and, with -suites, the tests that their authors have for them (suites_test.go).
// The other tests look at what a comparison cannot show: memory, descriptors, connections that are lost.
package transparency
