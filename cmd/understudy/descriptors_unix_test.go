//go:build unix && !freebsd && !dragonfly

package main

import "testing"

func TestClientsAreLimitedToTheDescriptorsThereAre(t *testing.T) {
	for _, c := range []struct {
		descriptors uint64
		want, room  int
	}{
		{100000, 10000, 10000}, {1024, 10000, 768}, {257, 10, 1}, {1 << 63, 10, 10},
	} {
		if room, err := clientsThatFit(c.descriptors, c.want); room != c.room || err != nil {
			t.Errorf("%d descriptors and %d clients give %d, %v; want %d", c.descriptors, c.want, room, err, c.room)
		}
	}
	if room, err := clientsThatFit(256, 10); err == nil {
		t.Errorf("256 descriptors give %d clients", room)
	}
}
