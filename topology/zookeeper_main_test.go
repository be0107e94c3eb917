package topology

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/understudy/understudy/internal/testcluster"
)

// shared is one ZooKeeper server for all tests that do not break it; each has a chroot of its own.
var shared = sync.OnceValues(func() (*testcluster.Ensemble, error) {
	return testcluster.StartEnsemble(context.Background(), 1, testcluster.ZooKeeperOptions{})
})

// TestMain fails the whole run if a goroutine is left over at its end.
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
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "left over after all tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}
