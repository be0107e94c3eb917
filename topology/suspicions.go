package topology

import (
	"maps"
	"slices"
	"sync"
)

// suspicions collects the nodes that the proxy of this member doubts until its monitor takes them. Every Coordinator
// embeds one. A node suspected a thousand times before the monitor looks is one suspicion, and suspecting never
// blocks: the proxy does it from its event loops.
type suspicions struct {
	mu      sync.Mutex
	nodes   map[string]struct{}
	waiting chan struct{}
}

func newSuspicions() *suspicions {
	return &suspicions{nodes: make(map[string]struct{}), waiting: make(chan struct{}, 1)}
}

// Suspect implements Coordinator.
func (s *suspicions) Suspect(addr string) {
	s.mu.Lock()
	s.nodes[addr] = struct{}{}
	s.mu.Unlock()
	signal(s.waiting)
}

// Suspicions implements Coordinator.
func (s *suspicions) Suspicions() <-chan struct{} { return s.waiting }

// TakeSuspicions implements Coordinator.
func (s *suspicions) TakeSuspicions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := slices.Sorted(maps.Keys(s.nodes))
	clear(s.nodes)
	return taken
}

// signal leaves one token in c, which has room for one: whoever reads it looks at everything there is.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
