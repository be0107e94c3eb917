package admin

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

const (
	// membersPatience is how long the agreement may take to tell who is there; who asks waits no longer than client.Timeout.
	membersPatience = 1500 * time.Millisecond
	// lookTime and lookTimeEach bound how often the members are listed only to be remembered. The second is for each
	// member: all list all, so that a cluster of n asks for n/lookTimeEach znodes, and not for the square of n.
	lookTime     = time.Minute
	lookTimeEach = 3 * time.Second
)

// roster is who was there when that was found out last.
type roster struct {
	mu    sync.Mutex
	list  []topology.Member
	asked time.Time // zero: it was never found out
}

// listMembers asks who is there. If that cannot be found out now, it returns who was there when it was found out last, with the time
// of that and the reason.
func (a *Admin) listMembers(ctx context.Context) (list []topology.Member, asked time.Time, reason error, err error) {
	ctx, cancel := context.WithTimeout(ctx, membersPatience)
	defer cancel()
	now := time.Now()
	list, reason = a.cluster.Members(ctx)
	a.roster.mu.Lock()
	defer a.roster.mu.Unlock()
	switch {
	case reason == nil:
		a.roster.list, a.roster.asked = list, now
		return list, now, nil, nil
	case a.roster.asked.IsZero() || errors.Is(reason, topology.ErrOtherCluster):
		return nil, now, nil, reason
	}
	return a.roster.list, a.roster.asked, reason, nil
}

// remember lists the members now and then, for when they cannot be asked for.
func (a *Admin) remember(ctx context.Context) {
	for {
		list, _, _, err := a.listMembers(ctx)
		pause := lookTime
		if err == nil {
			pause = max(pause, time.Duration(len(list))*lookTimeEach)
		}
		again := time.NewTimer(pause/2 + rand.N(pause)) // members that began together do not ask together
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// told is an error of the agreement in the words for people.
func told(err error) string { return oneLine(strings.TrimPrefix(err.Error(), "topology: ")) }

// answers asks all members whether they are there.
func (a *Admin) answers(ctx context.Context, list []topology.Member) map[string]error {
	if asker := a.asker.Load(); asker != nil {
		return (*asker).Answers(ctx, list)
	}
	return map[string]error{a.who.ID: nil}
}

// answer is what a member said to that, for people: yes, no and why not, or nothing if that is not known.
func answer(answers map[string]error, id string) (word, silence string) {
	var number syscall.Errno
	switch err, asked := answers[id]; {
	case !asked:
		return "", ""
	case err == nil:
		return "yes", ""
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no", "no answer"
	case errors.As(err, &number):
		return "no", number.Error()
	default:
		return "no", oneLine(err.Error())
	}
}

// members is the reply to PROXY MEMBERS: an array of maps, by id. If they could not be asked for, all have the age of what is
// known and the reason.
func (a *Admin) members(proto int, list []topology.Member, asked time.Time, reason error, answers map[string]error) []byte {
	state := a.cluster.Snapshot().State
	heard, why := int64(0), ""
	if reason != nil {
		heard, why = int64(time.Since(asked).Seconds()), told(reason)
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b topology.Member) int { return cmp.Compare(a.ID, b.ID) })
	reply := resp.AppendArray(nil, len(list))
	for _, m := range list {
		role := "member"
		if m.Leads {
			role = "leader"
		}
		elector := "no"
		if m.Leads && a.cluster.Authority().Source == topology.Endless {
			elector = "yes" // there is nobody to agree with on who may lead
		}
		if state != nil {
			if _, found := state.Elector(m.ID); found {
				elector = "yes"
			}
		}
		var down []string
		for _, n := range m.View {
			if n.Down {
				down = append(down, n.Addr)
			}
		}
		word, silence := answer(answers, m.ID)
		reply = appendFields(reply, proto, []field{
			{"id", m.ID},
			{"role", role},
			{"elector", elector},
			{"addr", m.Addr},
			{"applied", int64(m.Applied)},
			{"fenced", int64(m.Fenced)},
			{"nodes", int64(len(m.View))},
			{"down", down},
			{"heard", heard},
			{"reason", why},
			{"answers", word},
			{"silence", silence},
		})
	}
	return reply
}
