// Package checkup looks at the nodes of a cluster for settings that would bite in a failover, and changes nothing.
//
// It asks every node once ([Gather]) and then judges what all of them said together ([Judge]), without I/O: most of
// what goes wrong is a difference between nodes, because Redis replicates neither its configuration nor its users.
package checkup
