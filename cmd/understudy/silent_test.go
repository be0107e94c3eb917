package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAMasterThatHangsIsToldOfBeforeItIsHeldDown(t *testing.T) {
	t.Parallel()
	cluster := testcluster.New(t, 1)
	master := cluster.Nodes[0]
	p := start(t, nil, "run", "--nodes", master.Addr, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--stall-after", "5m",
		"--hold-timeout", "10m", "--state", filepath.Join(t.TempDir(), "state.json"))
	operators := field(t, p.logged("msg=ready"), "admin")
	tells := func(what, command, words string, want bool) {
		t.Helper()
		testcluster.WaitFor(t, what, func() bool {
			status, stdout, stderr := once(t, nil, command, "--addr", operators)
			if status != 0 {
				t.Fatalf("understudy %s: status %d: %s", command, status, stderr)
			}
			return strings.Contains(strings.Join(strings.Fields(stdout), " "), words) == want
		})
	}
	if err := master.Pause(); err != nil {
		t.Fatal(err)
	}
	status := "MASTER master " + master.Addr + " has not answered for "
	tells("the status to tell of the silence", "status", status, true)
	tells("the nodes to tell of the silence", "nodes", "no answer for ", true)
	if err := master.Resume(); err != nil {
		t.Fatal(err)
	}
	tells("the status to tell of it no more", "status", status, false)
	tells("the nodes to tell of it no more", "nodes", "no answer for ", false)
}
