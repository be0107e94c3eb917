package topology

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAStateThatWentBackWithARestoreIsFollowedByNobodyUntilMembersAreRestarted(t *testing.T) {
	t.Parallel()
	server := testcluster.NewEnsemble(t, 1).Servers[0]
	a := open(t, memberConfig(t, server.Addr, "a"))
	update(t, a, stable(1))
	data, backup := filepath.Join(server.Dir, "data"), filepath.Join(t.TempDir(), "data")
	copies := func(from, to string) {
		t.Helper()
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	copies(data, backup)
	leaderOf(t, a)
	update(t, a, stable(1))
	update(t, a, stable(2))
	awaitGrant(t, a, 2)

	// The server has seen less than its clients now, and resumes none of their sessions.
	copies(backup, data)
	testcluster.WaitFor(t, "the reason why it is not taken in", func() bool {
		p := a.Status().Problem
		return p != nil && strings.Contains(p.Error(), "is of epoch 1, version ") && strings.Contains(p.Error(), "and was of epoch 2, version ")
	})
	if alarm := a.Authority().Alarm; !strings.Contains(alarm, "restart all members") {
		t.Errorf("the alarm is %q", alarm)
	}
	if a.Snapshot().State.Epoch != 2 || a.Leading() || permitted(a) {
		t.Errorf("it goes on with epoch %d, leads %v, may write %v", a.Snapshot().State.Epoch, a.Leading(), permitted(a))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = open(t, memberConfig(t, server.Addr, "a"))
	leaderOf(t, a)
	awaitGrant(t, a, 1)
}
