package upstream

import (
	"slices"
	"testing"
)

func TestEverybodyPassesTheGateWhenTheSubscriptionsOfAllLoopsAreThere(t *testing.T) {
	var g Gate
	var told []uint64
	a := g.join(func(epoch uint64) { told = append(told, epoch) })
	b := g.join(func(epoch uint64) { told = append(told, epoch) })
	if !g.opened(1) {
		t.Error("it is shut, though nobody has subscriptions")
	}
	a.begin(1)
	b.begin(1)
	if !g.opened(1) || g.opened(2) {
		t.Errorf("open for epoch 1: %v, for epoch 2: %v", g.opened(1), g.opened(2))
	}
	a.begin(2) // another connection, while the first is on its way
	a.reach(2, 2)
	if g.opened(2) || len(told) > 0 {
		t.Errorf("the gate is open for one alone, and %v was said", told)
	}
	b.reach(nowhere, 2) // it has none any more
	if !g.opened(2) || !slices.Equal(told, []uint64{2, 2}) {
		t.Errorf("open: %v, %v was said, want 2 to both loops", g.opened(2), told)
	}
	a.reach(nowhere, 2)
	if !g.opened(7) {
		t.Error("it is shut, though nobody has subscriptions any more")
	}
}
