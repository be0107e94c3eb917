package checkup

import (
	"context"
	"time"

	"github.com/understudy/understudy/monitor"
)

// lookAgain is the time between two looks at replicas that are not in sync yet.
const lookAgain = 500 * time.Millisecond

// GatherSettled is Gather for nodes that may have been started a moment ago: as long as a replica is not in sync, it
// looks again, for up to patience.
func GatherSettled(ctx context.Context, cfg monitor.Config, patience time.Duration) (*Facts, error) {
	return settle(ctx, func(ctx context.Context) (*Facts, error) { return Gather(ctx, cfg) }, patience)
}

func settle(ctx context.Context, gather func(context.Context) (*Facts, error), patience time.Duration) (*Facts, error) {
	end := time.Now().Add(patience)
	for {
		facts, err := gather(ctx)
		if err != nil || len(facts.late()) == 0 || !time.Now().Before(end) {
			return facts, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lookAgain):
		}
	}
}
