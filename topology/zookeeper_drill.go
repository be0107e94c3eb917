package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	drillInterval = time.Minute      // between two drills that went well
	drillRetry    = 10 * time.Second // after one that did not, or a change of the electors: one may have just been started
	drillLimit    = 2 * time.Second  // for an answer
)

// drill finds out, while ZooKeeper is there, which electors could not be asked if it were not: an address that others do
// not reach should not be found out when it is needed. Only electors hold drills, to keep their number small.
type drill struct {
	electors []Elector
	next     time.Time
	failed   string // what the last one found, not told yet: it may be passing
	problem  string // what stands
}

// due reports whether it is time for a drill.
func (d *drill) due(z *ZooKeeper, now time.Time) bool {
	is := z.Snapshot()
	if z.cfg.Promisers == nil || is.State == nil || !is.State.elects(z.cfg.ID) {
		d.problem = ""
		return false
	}
	if !slices.Equal(d.electors, is.State.Electors) {
		d.electors, d.next = is.State.Electors, now.Add(drillRetry)
	}
	return !now.Before(d.next)
}

// run asks all other electors for a promise of no length, which everybody refuses. What fails twice is told.
func (d *drill) run(ctx context.Context, z *ZooKeeper) {
	is := z.Snapshot()
	ctx, cancel := context.WithTimeout(ctx, drillLimit)
	defer cancel()
	var all sync.WaitGroup
	problems := make([]string, len(d.electors))
	for i, e := range d.electors {
		if e.ID == z.cfg.ID {
			continue
		}
		all.Go(func() {
			var refusal Refusal
			err := z.cfg.Promisers.Promise(ctx, e, PromiseRequest{Identity: z.Identity(), ID: z.cfg.ID, Version: is.Version, Epoch: is.epoch()})
			if err != nil && !errors.As(err, &refusal) {
				problems[i] = fmt.Sprintf("%s would not promise: %v", e.ID, err)
			}
		})
	}
	all.Wait()
	found := strings.Join(slices.DeleteFunc(problems, func(s string) bool { return s == "" }), "; ")
	d.next = time.Now().Add(drillInterval)
	switch {
	case found == "" && d.problem != "":
		z.cfg.Log.Info("all electors can be asked again")
		d.problem = ""
	case found != "":
		d.next = time.Now().Add(drillRetry)
		if d.failed != "" && d.problem == "" {
			z.cfg.Log.Warn("writes would stop if ZooKeeper were away, because a member that may lead cannot be asked: start it again, or correct the address by which others reach it (its advertise)", "because", found)
		}
		if d.failed != "" {
			d.problem = found
		}
	}
	d.failed = found
}
