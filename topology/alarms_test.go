package topology

import (
	"errors"
	"slices"
	"strings"
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

func TestTheLeaderRaisesAgainWhatSomebodyDeletesOrReplaces(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	leader, _ := leaderOf(t, a, b)
	c, root := operator(t, servers)
	path := root + "/shop/alarms"
	raises := func(what, text string) {
		t.Helper()
		testcluster.WaitFor(t, what, func() bool {
			data, _, err := c.Get(path)
			return err == nil && strings.Contains(string(data), text)
		})
	}
	if err := leader.Raise(t.Context(), []string{"one"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(path, -1); err != nil {
		t.Fatal(err)
	}
	raises("the alarm that was deleted", "one")
	if _, err := c.Set(path, []byte("{}"), -1); err != nil {
		t.Fatal(err)
	}
	raises("the alarm that was replaced", "one")
	if err := c.Delete(path, -1); err != nil {
		t.Fatal(err)
	}
	if err := leader.Raise(t.Context(), []string{"two"}); err != nil {
		t.Fatal(err)
	}
	raises("another one, where there is no znode", "two")
}
