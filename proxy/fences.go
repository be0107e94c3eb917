package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/understudy/understudy/topology"
)

// acknowledgeRetry is how long to wait before an acknowledgement that failed is tried again.
const acknowledgeRetry = 20 * time.Millisecond

// fences gathers from all loops that nothing is in flight to a master which is being deposed.
type fences struct {
	mu     sync.Mutex
	epochs map[int]uint64 // by loop
	ready  uint64         // the newest epoch that all loops have reported
	signal chan struct{}
	once   sync.Once
}

func (f *fences) init() { f.once.Do(func() { f.signal = make(chan struct{}, 1) }) }

// done is called by loop index, one of n.
func (f *fences) done(index, n int, epoch uint64) {
	f.init()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epochs == nil {
		f.epochs = map[int]uint64{}
	}
	f.epochs[index] = max(f.epochs[index], epoch)
	if len(f.epochs) < n {
		return
	}
	least := epoch
	for _, e := range f.epochs {
		least = min(least, e)
	}
	if least > f.ready {
		f.ready = least
		select {
		case f.signal <- struct{}{}:
		default:
		}
	}
}

func (f *fences) newest() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

// acknowledge passes completed fences on to the coordinator, until ctx ends.
func (p *Proxy) acknowledge(ctx context.Context) {
	p.fences.init()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.fences.signal:
		}
		for {
			epoch := p.fences.newest()
			err := p.coord.Acknowledge(ctx, epoch)
			if err == nil {
				p.log.Info("fenced: nothing is in flight to the old master", "epoch", epoch)
				break
			}
			if ctx.Err() != nil || errors.Is(err, topology.ErrClosed) {
				return
			}
			p.log.Warn("the fence could not be acknowledged", "epoch", epoch, "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(acknowledgeRetry):
			}
		}
	}
}
