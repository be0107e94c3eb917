package topology

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func example() *State {
	return &State{
		Format: Format, Cluster: "shop", Epoch: 3, Phase: Stable,
		Master:      Node{Addr: "127.0.0.1:7001", RunID: "aa", ReplID: "cc"},
		Replicas:    []Replica{{Node: Node{Addr: "127.0.0.1:7002", RunID: "bb"}, Health: Online, Priority: 100}},
		Unavailable: []Node{{Addr: "127.0.0.1:7003"}},
	}
}

func fencing(s *State) *State {
	n := s.Clone()
	n.Epoch++
	n.Phase = Fencing
	n.Failover = &Failover{Cause: "a test", MasterDown: true, Candidates: []string{"127.0.0.1:7002"}}
	return n
}

func openLocal(t *testing.T, path string) *Local {
	t.Helper()
	l, err := OpenLocal(LocalConfig{Cluster: "shop", ID: "a", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mustUpdate(t *testing.T, l *Local, next *State) {
	t.Helper()
	if err := l.Update(context.Background(), l.Snapshot().Version, next); err != nil {
		t.Fatal(err)
	}
}

func TestTheStateOutlivesTheProcessInItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l := openLocal(t, path)
	if s := l.Snapshot(); s.State != nil || s.Version != 0 {
		t.Fatalf("without a file the snapshot is %+v", s)
	}
	mustUpdate(t, l, fencing(example()))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := openLocal(t, path).Snapshot()
	if !got.State.Equal(fencing(example())) {
		t.Fatalf("read back %+v", got.State)
	}
	if got.Version == 0 {
		t.Fatal("a state that was read has version 0, which means that there is none")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.new"))
	if err != nil || len(left) > 0 {
		t.Fatalf("temporary files are left: %v (%v)", left, err)
	}
}

func TestASecondProcessCannotOpenTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l := openLocal(t, path)
	_, err := OpenLocal(LocalConfig{Cluster: "shop", ID: "b", Path: path})
	if err == nil || !strings.Contains(err.Error(), "another Understudy process uses this state") {
		t.Fatalf("second open: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	openLocal(t, path)
}

func TestWhoWithdrawsLeavesNoFileOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l := openLocal(t, path)
	mustUpdate(t, l, example())
	if err := l.Withdraw(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
	// The next one finds nothing, and keeps what it makes from others.
	next := openLocal(t, path)
	if next.Snapshot().State != nil {
		t.Error("a State was found that was withdrawn")
	}
	mustUpdate(t, next, example())
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	// What was there before stays.
	if err := openLocal(t, path).Withdraw(); err != nil {
		t.Fatal(err)
	}
	if s := openLocal(t, path).Snapshot().State; !s.Equal(example()) {
		t.Errorf("a State of before is now %v", s)
	}
}

func TestAFileThatCannotBeUsedIsRefusedAndLeftAsItIs(t *testing.T) {
	newer := `{"format": 99, "cluster": 7}`
	for name, c := range map[string]struct {
		content, says string
		is            error
	}{
		"a newer format":    {newer, "newer version", ErrNewerFormat},
		"half a file":       {`{"format": 1, "clus`, "damaged", ErrCorrupt},
		"an empty file":     {"", "damaged", ErrCorrupt},
		"no master":         {`{"format":1,"cluster":"shop","epoch":1,"phase":"stable"}`, "names no master", ErrCorrupt},
		"another cluster":   {`{"format":1,"cluster":"bank","epoch":1,"phase":"stable","master":{"addr":"x:1"}}`, `"bank"`, nil},
		"a node twice":      {`{"format":1,"cluster":"shop","epoch":1,"phase":"stable","master":{"addr":"x:1"},"unavailable":[{"addr":"x:1"}]}`, "twice", ErrCorrupt},
		"an unknown phase":  {`{"format":1,"cluster":"shop","epoch":1,"phase":"odd","master":{"addr":"x:1"}}`, `"odd"`, ErrCorrupt},
		"nothing of choice": {`{"format":1,"cluster":"shop","epoch":1,"phase":"promoting","master":{"addr":"x:1"},"failover":{}}`, "no choice", ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenLocal(LocalConfig{Cluster: "shop", ID: "a", Path: path})
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want one with %q and the path", err, c.says)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("error %v is not %v", err, c.is)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != c.content {
				t.Fatalf("the file was changed to %q (%v)", b, err)
			}
			// The refusal gave the lock back.
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			openLocal(t, path)
		})
	}
}

func TestAnUpdateNeedsTheVersionThatWasRead(t *testing.T) {
	l := openLocal(t, "")
	ctx := context.Background()
	if err := l.Update(ctx, 7, example()); !errors.Is(err, ErrStale) {
		t.Fatalf("update of a version that never was: %v", err)
	}
	mustUpdate(t, l, example())
	if err := l.Update(ctx, 0, example()); !errors.Is(err, ErrStale) {
		t.Fatalf("creating over an existing state: %v", err)
	}
}

func TestAnUpdateIsRefusedWhenTheStateMakesNoSense(t *testing.T) {
	l := openLocal(t, filepath.Join(t.TempDir(), "state.json"))
	mustUpdate(t, l, example())
	older, foreign, unsorted := example(), example(), example()
	older.Epoch = 2
	foreign.Cluster = "bank"
	unsorted.Unavailable = []Node{{Addr: "b:1"}, {Addr: "a:1"}}
	for _, s := range []*State{older, foreign, unsorted} {
		before := l.Snapshot()
		if err := l.Update(context.Background(), before.Version, s); err == nil {
			t.Errorf("%+v was accepted", s)
		}
		if l.Snapshot() != before {
			t.Errorf("a refused update changed the snapshot")
		}
	}
}

func TestAStateThatCannotBeWrittenIsSeenByNobody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := openLocal(t, filepath.Join(dir, "state.json"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	calls := 0
	defer l.Watch(func(Snapshot) { calls++ })()
	if err := l.Update(context.Background(), 0, example()); err == nil {
		t.Fatal("a state was written into a folder that is gone")
	}
	if l.Snapshot().State != nil || calls != 0 {
		t.Fatalf("the state became visible (%d calls)", calls)
	}
}

func TestTheStateIsNotChangedThroughWhatWasHandedIn(t *testing.T) {
	l := openLocal(t, "")
	s := example()
	mustUpdate(t, l, s)
	s.Replicas[0].Health = Lagging
	if l.Snapshot().State.Replicas[0].Health != Online {
		t.Fatal("the caller's copy is the coordinator's")
	}
}

func TestTheGrantIsForTheStableEpochOnlyAndEndsWithClose(t *testing.T) {
	l := openLocal(t, "")
	if l.Grant() != (Grant{}) {
		t.Fatal("a grant without a state")
	}
	mustUpdate(t, l, example())
	if g := l.Grant(); !g.Permits(3, time.Now()) || g.Permits(4, time.Now()) || g.Permits(2, time.Now()) {
		t.Fatalf("grant of a stable state: %+v", g)
	}
	mustUpdate(t, l, fencing(example()))
	if l.Grant() != (Grant{}) {
		t.Fatal("a grant while fencing")
	}
	done := example()
	done.Epoch = 4
	mustUpdate(t, l, done)
	if !l.Grant().Permits(4, time.Now()) || !l.Leading() {
		t.Fatal("no grant after the failover")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l.Grant() != (Grant{}) || l.Leading() {
		t.Fatal("a closed coordinator still grants or leads")
	}
	if err := l.Update(context.Background(), l.Snapshot().Version, done); !errors.Is(err, ErrClosed) {
		t.Fatalf("update after close: %v", err)
	}
}

func TestWatchersSeeEveryChangeInOrderAndMayCallBack(t *testing.T) {
	l := openLocal(t, "")
	var first, second []uint64
	stop := l.Watch(func(s Snapshot) {
		first = append(first, s.State.Epoch)
		// Calling the coordinator from a call, as the proxy does when it has nothing in flight to drain.
		if s.State.Epoch == 3 {
			mustUpdate(t, l, fencing(s.State))
			if err := l.Acknowledge(context.Background(), 4); err != nil {
				t.Error(err)
			}
		}
	})
	mustUpdate(t, l, example())
	defer l.Watch(func(s Snapshot) { second = append(second, s.State.Epoch) })()
	stop()
	mustUpdate(t, l, fencing(l.Snapshot().State))
	if len(first) != 2 || first[0] != 3 || first[1] != 4 {
		t.Errorf("the first saw %v", first)
	}
	if len(second) != 2 || second[0] != 4 || second[1] != 5 {
		t.Errorf("the second saw %v", second)
	}
}

func TestTheOneMemberShowsWhatItAcknowledgedAndPublished(t *testing.T) {
	l := openLocal(t, "")
	ctx := context.Background()
	mustUpdate(t, l, example())
	for _, epoch := range []uint64{4, 3} {
		if err := l.Acknowledge(ctx, epoch); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Publish(ctx, []NodeView{{Addr: "x:1", Down: true}}); err != nil {
		t.Fatal(err)
	}
	<-l.MembersChanged()
	members, err := l.Members(ctx)
	if err != nil || len(members) != 1 {
		t.Fatalf("members %v (%v)", members, err)
	}
	if m := members[0]; m.ID != "a" || m.Applied != 3 || m.Fenced != 4 || len(m.View) != 1 || !m.View[0].Down {
		t.Fatalf("member %+v", m)
	}
}

func TestSuspicionsAreTakenOnceEach(t *testing.T) {
	l := openLocal(t, "")
	for range 1000 {
		l.Suspect("b:1")
		l.Suspect("a:1")
	}
	<-l.Suspicions()
	if got := strings.Join(l.TakeSuspicions(), " "); got != "a:1 b:1" {
		t.Fatalf("took %q", got)
	}
	if got := l.TakeSuspicions(); len(got) != 0 {
		t.Fatalf("took %v again", got)
	}
}

func FuzzDecodeNeverAcceptsWhatItCannotEncode(f *testing.F) {
	b, err := Encode(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"cluster":"c","epoch":1,"phase":"stable","master":{"addr":"x:1"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(s)
		if err != nil {
			t.Fatalf("decoded a state that cannot be encoded: %v", err)
		}
		if back, err := Decode(again); err != nil || !back.Equal(s) {
			t.Fatalf("%s came back as %+v (%v)", again, back, err)
		}
	})
}
