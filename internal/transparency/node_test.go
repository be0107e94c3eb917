package transparency

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestIoredisAndNodeRedisWorkAsWithAServer runs testdata/node/tour.js, with the clients as npm has them. It is
// skipped where there is no node, or no registry to install them from: nothing of the proxy depends on them.
func TestIoredisAndNodeRedisWorkAsWithAServer(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed, so ioredis cannot be driven: %v", program, err)
		}
	}
	script, err := filepath.Abs("testdata/node/tour.js")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "ioredis@6", "redis@6")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm could not install ioredis@6 and redis@6, so they cannot be driven: %v\n%s", err, out)
	}
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "tour.js"), text, 0o600); err != nil { // beside node_modules, where require looks
		t.Fatal(err)
	}

	s := newSystem(t, 2)
	cmd := exec.CommandContext(ctx, "node", "tour.js", s.addr)
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
