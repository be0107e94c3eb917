package checkup

import (
	"fmt"
	"slices"
)

// durable looks whether there are as many replicas as must have a write before it is answered.
func (j *judge) durable() {
	if j.WriteAcks == 0 {
		return
	}
	ready := j.where(func(n *Node) bool { return !n.Master && n.InSync })
	replicas := len(j.Nodes) - 1
	have := "no replica is in sync"
	if len(ready) > 0 {
		have = "only " + subject(ready, "is in sync", "are in sync")
	}
	switch {
	case len(ready) < j.WriteAcks:
		j.problem("write-acks is %d and %s: every write is answered -UNREPLICATED until there are as many; start replicas, see to those that are not in sync, "+
			"or lower write-acks", j.WriteAcks, have)
	case replicas == j.WriteAcks:
		j.note("write-acks is %d and there %s: as soon as one is lost, and after a failover until the old master is back, every write is answered -UNREPLICATED; "+
			"add a replica, or lower write-acks, if that is not meant", j.WriteAcks, number(replicas))
	}
	never := j.where(func(n *Node) bool {
		return !n.Master && n.InSync && (n.Priority == 0 || slices.Contains(j.NoFailover, n.Addr))
	})
	if len(never) >= j.WriteAcks && len(never) < replicas {
		j.note("write-acks counts also what %s: of a write that no other replica has when the master fails the failover has to wait, or be forced; "+
			"give write-acks a number above %d to rule that out", subject(never, "has, which is never promoted", "have, which are never promoted"), len(never))
	}
}

func number(replicas int) string {
	if replicas == 1 {
		return "is 1 replica"
	}
	return fmt.Sprintf("are %d replicas", replicas)
}
