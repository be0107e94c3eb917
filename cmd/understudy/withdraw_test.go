package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAStartThatFailsLeavesNoFiles(t *testing.T) {
	node, other := testcluster.NewRedis(t), testcluster.NewRedis(t)
	for name, c := range map[string]struct {
		args []string
		word string
	}{
		"an address in use": {[]string{"--nodes", node.Addr, "--listen", other.Addr}, "--listen"},
		"two masters":       {[]string{"--nodes", node.Addr + "," + other.Addr}, "REPLICAOF"},
		"no node":           {[]string{"--nodes", closedPort(t)}, "check the addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state.json")
			status, _, stderr := once(t, nil, append([]string{"run", "--state", path}, c.args...)...)
			if status != 1 || !strings.Contains(stderr, c.word) {
				t.Fatalf("status %d: %s", status, stderr)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			// What was there before stays: it is what is known of an earlier failover.
			if c.word != "--listen" {
				return
			}
			p := start(t, nil, "run", "--state", path, "--nodes", node.Addr, "--listen", "127.0.0.1:0,policy=strong")
			if ready := p.logged("msg=ready"); !strings.Contains(ready, ",policy=strong") {
				t.Errorf("%q does not tell the policy of the listener", ready)
			}
			p.signal(syscall.SIGTERM)
			if status := p.exit(); status != 0 {
				t.Fatalf("the status is %d", status)
			}
			was, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			once(t, nil, append([]string{"run", "--state", path}, c.args...)...)
			if is, err := os.ReadFile(path); err != nil || string(is) != string(was) {
				t.Errorf("the State of before is now %q, %v", is, err)
			}
		})
	}
}
