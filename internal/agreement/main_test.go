package agreement

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// binary is the program under test.
var binary string

// shared is the ensemble of all tests that do not break it; each has a chroot of its own.
var shared ensembleOnce

// ensembleOnce is an ensemble that is started when it is first asked for.
type ensembleOnce struct {
	once     sync.Once
	ensemble *testcluster.Ensemble
	err      error
}

func (e *ensembleOnce) get(t testing.TB) *testcluster.Ensemble {
	t.Helper()
	e.once.Do(func() {
		e.ensemble, e.err = testcluster.StartEnsemble(context.Background(), 3, testcluster.ZooKeeperOptions{})
	})
	if e.err != nil {
		t.Fatal(e.err)
	}
	return e.ensemble
}

// stop stops the ensemble if it was started.
func (e *ensembleOnce) stop() error {
	e.once.Do(func() {})
	if e.ensemble == nil {
		return nil
	}
	return e.ensemble.Stop()
}

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "understudy-agreement-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}()
	binary = filepath.Join(dir, "understudy")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/understudy/understudy/cmd/understudy")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	status = m.Run()
	return status, shared.stop()
}
