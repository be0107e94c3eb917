package peers

import (
	"context"
	"sync"
	"time"

	"github.com/understudy/understudy/topology"
)

const (
	// answerPatience is how long members may take to say that they are there. Who asks is a person.
	answerPatience = 500 * time.Millisecond
	// answersAtOnce bounds how many are asked at a time.
	answersAtOnce = 64
)

// Answers asks members whether they are there, and tells why one is not, by id: nil for those that are. A member that was killed is listed until
// its session ends, and only by this is it known to be gone. Who has no address, or could not be asked in time, is left out.
func (p *Peers) Answers(ctx context.Context, list []topology.Member) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	found := map[string]error{p.self: nil}
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, answersAtOnce)
	for _, m := range list {
		if m.ID == p.self || m.Addr == "" {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		all.Go(func() {
			defer func() { <-slots }()
			_, err := p.askOne(ctx, m, []any{"MEMBER", p.cluster.Identity()})
			mu.Lock()
			defer mu.Unlock()
			found[m.ID] = err
		})
	}
	all.Wait()
	return found
}
