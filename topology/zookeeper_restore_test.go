package topology

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/understudy/understudy/internal/testcluster"
)

func TestAnOldStateThatWasPutBackByHandIsActedOnByNoRunningMember(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	leader, _ := leaderOf(t, a, b)
	update(t, leader, stable(1))
	c, root := operator(t, servers)
	path := root + "/shop/state"
	old, _, err := c.Get(path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, leader, stable(2))
	awaitGrant(t, a, 2)
	awaitGrant(t, b, 2)
	if _, err := c.Set(path, old, -1); err != nil {
		t.Fatal(err)
	}
	for _, z := range []*ZooKeeper{a, b} {
		testcluster.WaitFor(t, "the alarm of "+z.cfg.ID, func() bool { return strings.Contains(z.Authority().Alarm, "is of epoch 1, version ") })
		if z.Snapshot().State.Epoch != 2 || z.Leading() || permitted(z) {
			t.Errorf("%s goes on with epoch %d, leads %v, may write %v", z.cfg.ID, z.Snapshot().State.Epoch, z.Leading(), permitted(z))
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	awaitGrant(t, open(t, memberConfig(t, servers, "a")), 1)
}

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
	if alarm := a.Authority().Alarm; !strings.Contains(alarm, "another node may have become the master since then: stop all members, delete all of /understudy/shop") {
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

func TestWhoMeetsAnOlderStateIsToldWhetherTheMasterMayHaveChangedSince(t *testing.T) {
	z := &ZooKeeper{home: "/u/shop"}
	data, err := Encode(stable(2))
	if err != nil {
		t.Fatal(err)
	}
	for known, want := range map[uint64]string{2: "restart all members to go on from it", 3: "stop all members, delete all of /u/shop and start them"} {
		err := z.older(data, &zk.Stat{Version: 4}, Snapshot{State: stable(known), Version: 6})
		if !errors.Is(err, ErrWentBack) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("epoch %d was known: %v", known, err)
		}
	}
}
