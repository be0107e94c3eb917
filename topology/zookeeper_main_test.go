package topology

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// shared is one ZooKeeper server for all tests that do not break it; each has a chroot of its own.
var shared = sync.OnceValues(func() (*testcluster.Ensemble, error) {
	return testcluster.StartEnsemble(context.Background(), 1, testcluster.ZooKeeperOptions{})
})

// TestMain fails the whole run if a goroutine of this package, or of the ZooKeeper library, is left over at its end.
func TestMain(m *testing.M) {
	if os.Getenv(frozenVariable) != "" {
		beFrozen()
	}
	code := m.Run()
	if startedShared.Load() {
		if e, err := shared(); err == nil {
			if err := e.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	if code == 0 {
		if leak := leaked(); leak != "" {
			fmt.Fprintf(os.Stderr, "left over after all tests:\n%s\n", leak)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked describes the goroutines of this package that do not end by themselves within a second.
func leaked() string {
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(time.Second); ; runtime.Gosched() {
		all := stacks[:runtime.Stack(stacks, true)]
		var ours [][]byte
		for _, stack := range bytes.Split(all, []byte("\n\n")) {
			if (bytes.Contains(stack, []byte("/topology.")) || bytes.Contains(stack, []byte("go-zookeeper"))) &&
				!bytes.Contains(stack, []byte("topology.TestMain")) {
				ours = append(ours, stack)
			}
		}
		if len(ours) == 0 {
			return ""
		}
		if time.Now().After(deadline) {
			return string(bytes.Join(ours, []byte("\n\n")))
		}
	}
}
