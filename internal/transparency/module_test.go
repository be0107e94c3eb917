package transparency

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
)

// compileModule makes the module in testdata/module, or skips the test where it cannot be made.
func compileModule(t *testing.T) string {
	t.Helper()
	compiler, err := exec.LookPath(cmp.Or(os.Getenv("CC"), "gcc"))
	if err != nil {
		t.Skipf("there is no C compiler to make a module with (apt-get install gcc libc6-dev, or name another one in CC): %v", err)
	}
	source, err := os.Open("testdata/module/drawer.c") // here, so that go test knows what the result depends on
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	path := filepath.Join(t.TempDir(), "drawer.so")
	compile := exec.Command(compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", path, "-x", "c", "-")
	compile.Stdin = source
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compile the module: %v\n%s", err, out)
	}
	return path
}

// callsOf is how often a node has carried out a command.
func callsOf(t *testing.T, node *testcluster.Redis, command string) string {
	t.Helper()
	stats, err := node.Info("commandstats")
	if err != nil {
		t.Fatal(err)
	}
	calls, _, _ := strings.Cut(stats["cmdstat_"+command], ",")
	return calls
}

func TestCommandsOfModulesAreRoutedByTheirFlagsAndKeys(t *testing.T) {
	module := compileModule(t)
	f := newFront(t, testcluster.New(t, 1, "--enable-module-command", "local"), func(c *proxy.Config) { c.CommandInterval = 50 * time.Millisecond })
	master, replica := f.cluster.Nodes[0], f.cluster.Nodes[1]
	c := f.dial()
	c.expect("-ERR unknown command 'DRAWER.LOOK', with args beginning with: 'k' ", "DRAWER.LOOK", "k")

	// It is loaded while the proxy runs: from some moment on replicas are asked.
	for _, node := range f.cluster.Nodes {
		must(t, node, "MODULE", "LOAD", module)
	}
	c.expect("+OK", "DRAWER.PUT", "v", "k")
	testcluster.WaitFor(t, "a replica to be asked for what the module reads", func() bool {
		c.expect("$1\r\nv", "DRAWER.LOOK", "k")
		return callsOf(t, replica, "drawer.look") != ""
	})
	if calls := callsOf(t, replica, "drawer.put"); calls != "" {
		t.Errorf("the replica was sent what the module writes: %s", calls)
	}

	// Where the key is is known, too: who writes it reads what was written, over whatever connection, and other keys are read
	// from the replica meanwhile. A value that looks like the other key would be taken for it otherwise.
	c.expect("+OK", "SET", "still", "here")
	for i := range 200 {
		value := strings.Repeat("x", i%7) + "still"
		c.expect("+OK", "DRAWER.PUT", value, "k")
		if got := f.dial().do("DRAWER.LOOK", "k"); !strings.Contains(got, "\r\n"+value+"\r\n") {
			t.Fatalf("after %q was put into it, %q was in the drawer", value, got)
		}
	}

	// When it is unloaded, the server's words are the client's.
	for _, node := range f.cluster.Nodes {
		must(t, node, "MODULE", "UNLOAD", "drawer")
	}
	c.expect("-ERR unknown command 'DRAWER.LOOK', with args beginning with: 'k' ", "DRAWER.LOOK", "k")
	testcluster.WaitFor(t, "what is unknown to be asked about again", func() bool {
		asked := callsOf(t, master, "command|info")
		c.expect("-ERR unknown command 'DRAWER.LOOK', with args beginning with: 'k' ", "DRAWER.LOOK", "k")
		return callsOf(t, master, "command|info") != asked
	})
}

func TestAModuleThatHasJustBeenLoadedBlocksNobodyElse(t *testing.T) {
	module := compileModule(t)
	f := newFront(t, testcluster.New(t, 0, "--enable-module-command", "local"), func(c *proxy.Config) { c.CommandInterval = time.Hour })
	c, other := f.dial(), f.dial()
	c.expect("+PONG", "PING")
	must(t, f.master(), "MODULE", "LOAD", module)
	c.expect("+OK", "DRAWER.PUT", "v", "k")
	c.expect("$1\r\nv", "DRAWER.LOOK", "k")
	c.send(request("DRAWER.WAIT"))
	testcluster.WaitFor(t, "the module to block its client", func() bool {
		clients, err := f.master().Info("clients")
		return err == nil && clients["blocked_clients"] == "1"
	})
	other.expect("+OK", "SET", "k", "w")
	other.expect("$1\r\nw", "GET", "k")
}
