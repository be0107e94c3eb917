package transparency

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// nodeClients are what npm installs for the scripts in testdata/node.
var nodeClients = []string{"ioredis@6.0.0", "redis@6.3.1", "bullmq@6.7.0"}

// leastNode is the major version of Node.js that ioredis and node-redis ask for.
const leastNode = 20

// TestNodeClientsWorkAsWithAServer runs the scripts in testdata/node, with the clients as npm has them, through a failover.
// It is skipped, and says what is not run, where there is no node, or no registry to install them from: nothing of the proxy depends on them.
func TestNodeClientsWorkAsWithAServer(t *testing.T) {
	folder := installNodeClients(t)
	for _, script := range []struct {
		file, does string
		acks       int
	}{
		{"tour.js", "ioredis and node-redis", 0},
		// That no job is lost with the master is what durable writes are for.
		{"bullmq.js", "BullMQ", 1},
	} {
		t.Run(script.does, func(t *testing.T) {
			s := systemOptions{acks: script.acks}.start(t, 2)
			runNode(t, folder, script.file, s)
		})
	}
}

// installNodeClients returns a folder with the clients and the scripts.
func installNodeClients(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v are not driven, because %s is not installed (apt-get install nodejs npm): %v", nodeClients, program, err)
		}
	}
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Fatalf("node --version: %v", err)
	}
	var major int
	if _, err := fmt.Sscanf(string(version), "v%d.", &major); err != nil {
		t.Fatalf("node says its version is %q: %v", version, err)
	}
	if major < leastNode {
		t.Skipf("%v are not driven, because they need Node.js %d or later, and this is %s (install a newer one: https://nodejs.org)",
			nodeClients, leastNode, bytes.TrimSpace(version))
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("testdata/node")); err != nil { // beside node_modules, where require looks
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts"}, nodeClients...)
	install := exec.CommandContext(ctx, "npm", args...)
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("%v are not driven, because npm could not install them (it needs a registry that it reaches): %v\n%s", nodeClients, err, out)
	}
	return folder
}

// runNode runs a script, and kills the master when it asks for that.
func runNode(t *testing.T, folder, script string, s *system) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script, s.addr)
	cmd.Dir = folder
	var errors bytes.Buffer
	cmd.Stderr = &errors
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() != "kill" {
			t.Logf("node: %s", lines.Text())
			continue
		}
		s.killMaster()
		if _, err := fmt.Fprintln(stdin, "killed"); err != nil {
			t.Errorf("telling node: %v", err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("node: %v\n%s", err, errors.String())
	}
}
