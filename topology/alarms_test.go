package topology

import (
	"errors"
	"slices"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestWhatTheLeaderRaisesIsToldByAllMembersUntilTheNextOneTakesItBack(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	leader, i := leaderOf(t, a, b)
	other := []*ZooKeeper{b, a}[i]
	told := func(z *ZooKeeper, what, by string, texts ...string) {
		t.Helper()
		testcluster.WaitFor(t, what, func() bool {
			is := z.Raised()
			return is.By == by && slices.Equal(is.Texts, texts) && (by == "" || !is.Since.IsZero())
		})
	}
	if err := other.Raise(t.Context(), []string{"no"}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a member that does not lead raises an alarm: %v", err)
	}
	told(other, "nothing", "")
	if err := leader.Raise(t.Context(), []string{"one", "two"}); err != nil {
		t.Fatal(err)
	}
	told(other, "both alarms", leader.cfg.ID, "one", "two")
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "another leader", other.Leading)
	told(other, "what was raised, while nobody knows better", leader.cfg.ID, "one", "two")
	if err := other.Raise(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	told(other, "the end of it", other.cfg.ID)
}
