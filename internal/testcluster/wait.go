package testcluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// waitLimit is how long WaitFor waits: far longer than anything takes on a loaded machine.
	waitLimit = time.Minute

	firstPause   = time.Millisecond
	longestPause = 10 * time.Millisecond
)

// Poll calls cond, after short and growing pauses of 1 to 10 ms, until it returns nil. When ctx ends first, the error
// names what was waited for, how long, and the last error of cond; it wraps that one and the cause of ctx.
func Poll(ctx context.Context, what string, cond func() error) error {
	began := time.Now()
	pause := firstPause
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w (%w)", time.Since(began).Round(time.Millisecond), what, err, context.Cause(ctx))
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// errNotYet is what a condition without words of its own fails with.
var errNotYet = errors.New("it did not come")

// WaitFor polls cond until it holds, and fails the test when it does not within a minute. what completes the sentence
// "waited for ...".
func WaitFor(t T, what string, cond func() bool) {
	t.Helper()
	WaitWithin(t, waitLimit, what, cond)
}

// WaitWithin is WaitFor with a limit of its own.
func WaitWithin(t T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := Poll(ctx, what, func() error {
		if cond() {
			return nil
		}
		return errNotYet
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}
