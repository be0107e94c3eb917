package upstream

import (
	"slices"
	"testing"
	"time"
)

func TestANodeThatWasSlowOnceIsTriedAgain(t *testing.T) {
	start := time.Unix(1000, 0)
	slow, quick := &node{latency: startLatency}, &node{latency: startLatency}
	for range 20 {
		slow.observe(50*time.Millisecond, start)
	}
	quick.observe(time.Millisecond, start)
	if slow.expected(start) <= quick.expected(start) {
		t.Fatalf("right after being slow: %v, the other %v", slow.expected(start), quick.expected(start))
	}
	later := start.Add(time.Second)
	quick.observe(time.Millisecond, later)
	if slow.expected(later) >= quick.expected(later) {
		t.Fatalf("a second later it still expects %v, the other %v", slow.expected(later), quick.expected(later))
	}
}

func TestPausesBetweenConnectionsGrowAndStayBounded(t *testing.T) {
	previous := time.Duration(0)
	for misses := 1; misses < 40; misses++ {
		p := backoff(misses)
		if p <= 0 || p > lastBackoff {
			t.Fatalf("after %d failures: %v", misses, p)
		}
		if misses <= 8 && p < firstBackoff<<(misses-1)/2 {
			t.Fatalf("after %d failures only %v", misses, p)
		}
		previous = max(previous, p)
	}
	if previous < lastBackoff/2 {
		t.Fatalf("the longest pause is %v", previous)
	}
}

func TestEntriesKeepTheirOrderWhileTheRingGrows(t *testing.T) {
	var q entries
	next, want := 0, 0
	for round := range 50 {
		es := make([]Entry, 3+round%7)
		for i := range es {
			es[i].Size = next
			next++
		}
		q.push(es)
		for range 2 {
			for i := range 1 + round%3 {
				if got := q.at(i).Size; got != want+i {
					t.Fatalf("entry %d is %d, want %d", i, got, want+i)
				}
			}
			q.pop(1 + round%3)
			want += 1 + round%3
		}
	}
	for i := range q.n {
		if got := q.at(i).Size; got != want+i {
			t.Fatalf("entry %d is %d, want %d", i, got, want+i)
		}
	}
	q.pop(q.n)
	if i := slices.IndexFunc(q.ring, func(e Entry) bool { return e != (Entry{}) }); i >= 0 {
		t.Errorf("entry %d of %d is still there", i, len(q.ring))
	}
}
