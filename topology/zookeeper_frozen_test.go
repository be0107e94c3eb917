package topology

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// frozenVariable makes the test program a member of the cluster at this address; see beFrozen.
const frozenVariable = "TOPOLOGY_FREEZE_A_MEMBER"

// beFrozen joins and prints, whenever something has changed and at least every 10 ms, what authority it has, as one
// line with the time at which it looked.
func beFrozen() {
	z, err := OpenZooKeeper(context.Background(), ZooKeeperConfig{
		Servers: os.Getenv(frozenVariable), Cluster: "shop", ID: "frozen",
		SessionTimeout: testSession, Heartbeat: 150 * time.Millisecond, Tick: testTick,
	})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	for range time.Tick(time.Millisecond) {
		// The time is taken after: authority at a moment that is not before it.
		grant, leading := z.Grant() != (Grant{}), z.Leading()
		if _, err := fmt.Println(time.Now().UnixNano(), grant, leading, z.Snapshot().epoch()); err != nil {
			os.Exit(0) // nobody listens any more
		}
	}
}

func TestAProcessThatWasStoppedHasNoAuthorityWhenItRunsOn(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), frozenVariable+"="+servers)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	type look struct {
		at             time.Time
		grant, leading bool
		epoch          uint64
	}
	lines := bufio.NewScanner(out)
	next := func() (l look) {
		if !lines.Scan() {
			t.Fatalf("the process ended: %v", lines.Err())
		}
		var nanos int64
		if _, err := fmt.Sscan(lines.Text(), &nanos, &l.grant, &l.leading, &l.epoch); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		l.at = time.Unix(0, nanos)
		return l
	}
	for !next().leading {
	}
	b := open(t, memberConfig(t, servers, "b"))
	c, root := operator(t, servers)
	encoded, err := Encode(stable(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set(root+"/shop/state", encoded, 0); err != nil {
		t.Fatal(err)
	}
	for l := next(); !l.grant || !l.leading; l = next() {
	}
	awaitGrant(t, b, 1)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	testcluster.WaitFor(t, "the successor", b.Leading)
	update(t, b, fencing(stable(1)))
	update(t, b, stable(2))
	took := time.Now()
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// What it said before it was stopped is still to be read; what it says after is about now.
	for {
		l := next()
		if l.at.Before(took) {
			continue
		}
		if l.leading || l.grant && l.epoch < 2 {
			t.Fatalf("%v after another took over: grant %t under epoch %d, leading %t", l.at.Sub(took), l.grant, l.epoch, l.leading)
		}
		if l.grant && l.epoch == 2 {
			break
		}
	}
	if got := ids(t, b); !strings.Contains(got, "frozen") {
		t.Errorf("members %q", got)
	}
}
