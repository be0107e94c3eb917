package checkup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplicasGetTheTimeOfAStartToComeIntoSync(t *testing.T) {
	for name, c := range map[string]struct {
		syncing time.Duration // for how long a replica is not in sync
		late    int           // replicas that are said to be late
		took    time.Duration // at most
	}{
		"in sync from the start": {0, 0, 0},
		"in sync after a moment": {2 * time.Second, 0, 2*time.Second + lookAgain},
		"never in sync":          {time.Hour, 1, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				facts, err := settle(t.Context(), func(context.Context) (*Facts, error) {
					f, _ := sound()
					f.Nodes[1].InSync = time.Since(began) >= c.syncing
					return f, nil
				}, 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if late := facts.late(); len(late) != c.late {
					t.Errorf("late are %q", late)
				}
				if took := time.Since(began); took > c.took {
					t.Errorf("it took %v, want at most %v", took, c.took)
				}
			})
		})
	}
}

func TestWaitingForReplicasEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := settle(ctx, func(context.Context) (*Facts, error) {
		f, _ := sound()
		f.Nodes[1].InSync = false
		cancel()
		return f, nil
	}, time.Hour)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
