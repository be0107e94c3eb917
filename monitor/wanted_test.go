package monitor

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestDurableWritesNeedAsManyAcknowledgementsAsAnyMemberWants(t *testing.T) {
	members := func(acks ...int) (list []topology.Member) {
		for _, n := range acks {
			list = append(list, topology.Member{WriteAcks: n})
		}
		return list
	}
	var w wantedAcks
	now := time.Now()
	look := func(in *term, own, agreed int, list []topology.Member, want int) {
		t.Helper()
		if w.look(in, own, agreed, list, now); w.acks != want {
			t.Errorf("%d acknowledgements are wanted, and it should be %d", w.acks, want)
		}
	}
	first, second := &term{}, &term{}
	look(first, 0, 0, members(0, 0, 0), 0)
	look(first, 0, 0, members(0, 1, 0), 1) // the first that was started again
	look(first, 0, 1, members(0, 1, 2), 2)
	now = now.Add(acksPatience - time.Second)
	look(first, 0, 2, members(0, 1, 2), 2)
	// It is gone: what it has answered as durable stays so, until it would be back.
	look(first, 0, 2, members(0, 1), 2)
	now = now.Add(acksPatience - time.Second)
	look(first, 0, 2, members(0, 1), 2)
	// A new leader knows nothing of when it went.
	look(second, 0, 2, members(0, 1), 2)
	now = now.Add(acksPatience - time.Second)
	look(second, 0, 2, members(0, 1), 2)
	now = now.Add(time.Second)
	look(second, 0, 2, members(0, 1), 1)
	// What it has lowered is not raised again by the State, in which it is not written yet.
	look(second, 0, 2, members(0, 1), 1)
	look(second, 1, 1, members(0, 0), 1) // its own counts, too
}
